"""A few cases of every plan of fuzz_exponents.py; `python tests/support/fuzz_exponents.py` runs as many as one likes.

And cases that people met, with their right values.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fuzz_exponents import PLANS, TYPES, check_all, indices

import sigmax

CASES = 24


@pytest.mark.parametrize(
    ("plan", "dtype"),
    [pytest.param(p, t, id=f"{p}, {t}") for p in PLANS for t in TYPES],
)
def test_exponents(plan: str, dtype: str) -> None:
    failures = check_all(0, indices(plan, dtype, CASES))
    assert not failures, failures


# ---------------------------------------------------------------- cases

INF, LEAST, LARGEST = math.inf, np.finfo(np.float64).min, np.finfo(np.float64).max
LOG_2 = math.log(2)
both = sigmax.value_and_grad
narrow = np.array([3, 1, 2], np.float32)

CASES_WITH_VALUES: dict[str, tuple[Callable[[], Any], Any]] = {
    "logsumexp of a large weight": (
        lambda: sigmax.logsumexp([0.0], weights=[1e200]),
        460.51701859880916,
    ),
    "logsumexp of a small weight": (
        lambda: sigmax.logsumexp([0.0], weights=[1e-310]),
        -713.8013788281542,
    ),
    "its gradient": (
        lambda: sigmax.vjp(sigmax.logsumexp, [0.0, 1.0], 1.0, weights=[1e200, 1e200]),
        [0.2689414213699951, 0.7310585786300049],
    ),
    "logsumexp beyond float64": (lambda: sigmax.logsumexp([1e307], temperature=1e-3), INF),
    "logsumexp beyond float64, below": (lambda: sigmax.logsumexp([-1e307], temperature=1e-3), -INF),
    "distillation, hot": (
        lambda: [
            sigmax.distillation_loss([1.0, 0.0], [2.0, 0.0], temperature=t)
            for t in (1e155, 1e200, 1e300)
        ],
        [0.125] * 3,
    ),
    "distillation, hot, gradient": (
        lambda: both(sigmax.distillation_loss)([1.0, 0.0], [2.0, 0.0], temperature=1e200)[1],
        [-0.25, 0.25],
    ),
    "distillation, cold": (
        lambda: sigmax.distillation_loss([1.0, 0.0], [0.0, 2.0], temperature=1e-200),
        1e-200,
    ),
    "softmax's gradient, cold": (
        lambda: sigmax.vjp(sigmax.softmax, narrow, [0, 1, 0], temperature=2.0**-1022),
        [0, 0, 0],
    ),
    "cross-entropy, cold": (
        lambda: both(sigmax.cross_entropy)(narrow, 0, temperature=1e-300),
        (0.0, [0, 0, 0]),
    ),
    "a tiny weight": (
        lambda: both(sigmax.cross_entropy)([[0.0, 0.0]], [0], sample_weight=[1e-310]),
        (LOG_2, [[-0.5, 0.5]]),
    ),
    "the tiniest weight": (
        lambda: sigmax.cross_entropy([[0.0, 0.0]], [0], sample_weight=[5e-324]),
        LOG_2,
    ),
    "weights whose products are too small": (
        lambda: sigmax.cross_entropy(
            np.zeros((1, 2)), [0], class_weight=[1e-300, 1], sample_weight=[1e-300]
        ),
        LOG_2,
    ),
    "weights whose sum is too large": (
        lambda: both(sigmax.binary_cross_entropy)([0.0, 0.0], [0, 1], sample_weight=[1e308, 1e308]),
        (LOG_2, [0.25, -0.25]),
    ),
    "a tiny normalizer": (
        lambda: sigmax.cross_entropy([[0.0, 1000.0]], [0], normalizer=1e-306),
        INF,
    ),
    "losses whose sum is too large": (
        lambda: sigmax.cross_entropy([[1e308, 0.0]] * 3, [1, 1, 1]),
        1e308,
    ),
    "finfo.min as a mask": (
        lambda: both(sigmax.cross_entropy)([[1.0, 1.0, LEAST]], [0]),
        (LOG_2, [[-0.5, 0.5, 0]]),
    ),
    "finfo.min and finfo.max": (lambda: sigmax.cross_entropy([[LEAST, LARGEST]], [1]), 0.0),
    "far logits": (
        lambda: both(sigmax.cross_entropy)([[1e200, 0.0]], [1]),
        (1e200, [[1.0, -1.0]]),
    ),
    "binary losses beyond float64, with a mean": (
        lambda: sigmax.binary_cross_entropy([-3.0, 0.0], [1, 0], pos_weight=8e307),
        4e307 * 3.048587351573742,
    ),
    "a tiny pos_weight under a huge weight": (
        lambda: sigmax.binary_cross_entropy(
            [0.0], [1], pos_weight=2.0**-1073, sample_weight=2.0**1000, reduction="none"
        ),
        [2.0**-73 * LOG_2],
    ),
    "binary, of a tiny probability, gradient": (
        lambda: both(sigmax.binary_cross_entropy)(
            [2.0**-1073], [0], label_smoothing=2.0**-600, from_logits=False
        )[1],
        [-(2.0**472)],
    ),
    "a tiny share of a class of probability 0": (
        lambda: both(sigmax.cross_entropy)(
            [[0.0, 1.0]],
            [1],
            label_smoothing=2.0**-600,
            smoothing_prior=[2.0**-600, 1.0],
            from_logits=False,
        ),
        (INF, [[-INF, -1.0]]),
    ),
    "a gradient of weights and probabilities beyond float64": (
        lambda: both(sigmax.cross_entropy)(
            [[5e-324, 1.0]], [0], class_weight=[1e109, 1.0], reduction="sum", from_logits=False
        )[1],
        [[-INF, 0.0]],
    ),
    "divergence of a tiny label, gradient": (
        lambda: both(sigmax.kl_divergence)(
            [[0.25, 0.75]], [[2.0**-1074, 1.0]], normalizer=2.0**-900, from_logits=False
        )[1],
        [[-(2.0**-172), -(2.0**900) / 0.75]],
    ),
    "entropy of tiny logits, gradient": (
        lambda: sigmax.vjp(sigmax.entropy, [0.0, 2.0**-1070], 2.0**900, temperature=3.0),
        [2.0**-172 / 9, -(2.0**-172) / 9],
    ),
    "inverse softmax, cotangents whose difference is beyond float64": (
        lambda: sigmax.vjp(sigmax.inverse_softmax, [0.5, 0.5], [2.0**1023, -(2.0**1023)]),
        [INF, -INF],
    ),
    "distillation of parts beyond float32, gradient": (
        lambda: both(sigmax.distillation_loss)(
            narrow, -narrow, 0, alpha=0.5, label_smoothing=2.0**-1073, normalizer=2.0**-1000
        )[1],
        [INF, -INF, INF],
    ),
}


@pytest.mark.parametrize("name", CASES_WITH_VALUES)
def test_cases(name: str) -> None:
    call, expected = CASES_WITH_VALUES[name]
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        result = call()
    pairs = (
        zip(result, expected, strict=True) if isinstance(result, tuple) else [(result, expected)]
    )
    for got, right in pairs:
        np.testing.assert_allclose(got, right, rtol=1e-15, atol=0)
