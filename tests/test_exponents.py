"""A few cases of every plan of fuzz_exponents.py; `python tests/fuzz_exponents.py` runs as many as one likes."""

import pytest
from fuzz_exponents import PLANS, TYPES, check_all, indices

CASES = 24

# What does not hold yet; a line is taken out when it does.
FAILING: dict[str, tuple[str, ...]] = {
    "vjp(sigmoid)": ("float64",),
    "vjp(log_sigmoid)": ("float64",),
    "vjp(softplus)": ("float64",),
    "vjp(logit)": ("float64",),
    "vjp(log1mexp)": ("float64",),
    "vjp(softmax)": TYPES,
    "log_softmax": ("float64",),
    "logsumexp": ("float64",),
    "vjp(logsumexp)": TYPES,
    "vjp(entropy)": TYPES,
    "inverse_softmax": ("float64",),
    "vjp(inverse_softmax)": ("float64",),
    "binary_cross_entropy": ("float64",),
    "binary_cross_entropy of probabilities": ("float64",),
    "cross_entropy of indices": TYPES,
    "cross_entropy of distributions": TYPES,
    "cross_entropy of probabilities and indices": ("float32",),
    "cross_entropy of probabilities and distributions": TYPES,
    "kl_divergence of distributions": TYPES,
    "kl_divergence of logits": ("float64", "float16"),
    "distillation_loss of indices": ("float64", "float32"),
    "distillation_loss of distributions": ("float64",),
}


def known(plan: str, dtype: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.xfail(strict=True)] if dtype in FAILING.get(plan, ()) else []


@pytest.mark.parametrize(
    ("plan", "dtype"),
    [pytest.param(p, t, marks=known(p, t), id=f"{p}, {t}") for p in PLANS for t in TYPES],
)
def test_exponents(plan: str, dtype: str) -> None:
    failures = check_all(0, indices(plan, dtype, CASES))
    assert not failures, failures
