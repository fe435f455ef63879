"""The definitions themselves: every gradient against a central difference of its function, in 400-bit arithmetic."""

import numpy as np
import pytest
import reference
from flint import arb, ctx
from reference import Row, times

STEP = arb((1, -80))
X = [arb(v) / 8 for v in (3, -5, 9, 2)]
P = [arb(v) / 32 for v in (5, 7, 17, 3)]
G = [arb(v) / 16 for v in (4, -7, 1, 5)]
WEIGHTS = [arb(v) for v in (2, 1, 0, 3)]
LABELS = [arb(v) / 16 for v in (2, 0, 11, 3)]
TEACHER = [arb(v) / 8 for v in (-1, 4, 7, 2)]
MASK = [arb(v) for v in (1, 1, 1, 0)]
LABEL_OPTIONS = {
    "class_weight": WEIGHTS,
    "label_smoothing": arb(1) / 8,
    "smoothing_prior": P,
    "where": MASK,
}


def difference(function, x: Row, g: Row | arb) -> Row:
    """d(Σ g·function(x))/dx by central differences."""

    def value(i: int, step: arb) -> arb:
        y = function([v + step * (i == j) for j, v in enumerate(x)])
        return (
            sum((a * b for a, b in zip(y, g, strict=True)), arb(0))
            if isinstance(y, list)
            else y * g
        )

    return [(value(i, STEP) - value(i, -STEP)) / (2 * STEP) for i in range(len(x))]


def close(a: Row, b: Row) -> bool:
    return all(abs(u - v) < arb((1, -140)) for u, v in zip(a, b, strict=True))


@pytest.fixture(autouse=True)
def _precision() -> None:
    ctx.prec = 400


@pytest.mark.parametrize("name", ["sigmoid", "log_sigmoid", "softplus", "logit", "log1mexp"])
def test_elementwise_vjp(name: str) -> None:
    x = arb(-3 if name == "log1mexp" else 3) / 8
    estimate = difference(lambda row: getattr(reference, name)(row[0]), [x], G[0])
    assert close([getattr(reference, f"{name}_vjp")(x, G[0])], estimate)


@pytest.mark.parametrize("suffix", ["", "_of_probabilities"])
@pytest.mark.parametrize("label", [0, 1, arb(3) / 8])
def test_binary_loss_vjp(suffix: str, label: arb) -> None:
    name, options = (
        f"binary_cross_entropy{suffix}",
        (arb(label), arb(3) / 2, arb(5) / 4, arb(1) / 8),
    )
    x = arb(5) / 16
    estimate = difference(lambda row: getattr(reference, name)(row[0], *options), [x], G[0])
    assert close([getattr(reference, f"{name}_vjp")(x, G[0], *options)], estimate)


@pytest.mark.parametrize(
    "name",
    [
        "softmax",
        "log_softmax",
        "inverse_softmax",
        "logsumexp",
        "entropy",
        "entropy_of_probabilities",
    ],
)
@pytest.mark.parametrize(
    "options", [{}, {"temperature": arb(3) / 2}, {"temperature": arb(2), "weights": WEIGHTS}]
)
def test_axis_vjp(name: str, options: dict) -> None:
    probabilities = name in ("inverse_softmax", "entropy_of_probabilities")
    if (options and probabilities) or ("weights" in options and name != "logsumexp"):
        pytest.skip("not an option of this function")
    x = P if probabilities else X
    g = G if isinstance(getattr(reference, name)(x), list) else G[0]
    estimate = difference(lambda row: getattr(reference, name)(row, **options), x, g)
    assert close(getattr(reference, f"{name}_vjp")(x, g, **options), estimate)


@pytest.mark.parametrize(
    ("name", "labels", "options"),
    [
        ("cross_entropy", [LABELS], {}),
        ("cross_entropy", [LABELS], {"z_loss": arb(1) / 4, "temperature": arb(2), **LABEL_OPTIONS}),
        ("cross_entropy_of_probabilities", [LABELS], {}),
        ("cross_entropy_of_probabilities", [LABELS], LABEL_OPTIONS),
        ("kl_divergence", [LABELS], {"temperature": arb(2)}),
        ("kl_divergence_of_probabilities", [LABELS], {}),
        ("kl_divergence", [TEACHER], {"temperature": arb(2), "labels_from_logits": arb(1)}),
        ("kl_divergence_of_probabilities", [TEACHER], {"labels_from_logits": arb(1)}),
        ("distillation_loss", [TEACHER, LABELS], {"temperature": arb(2), "alpha": arb(1) / 4}),
        ("distillation_loss", [TEACHER, LABELS], {"alpha": arb(3) / 4, "z_loss": arb(1) / 4}),
    ],
)
def test_gradient_of_losses(name: str, labels: list[Row], options: dict) -> None:
    x = P if name.endswith("of_probabilities") else X
    if "where" in options:  # a label on a masked class has an infinite loss
        labels = [[times(k, v) for v, k in zip(labels[0], MASK, strict=True)]]
    options = {**options, "sample_weight": arb(-3) / 2}
    estimate = difference(lambda row: getattr(reference, name)(row, *labels, **options), x, arb(1))
    assert close(getattr(reference, f"{name}_grad")(x, *labels, **options), estimate)


@pytest.mark.parametrize("options", [{}, {"temperature": arb(2), "z_loss": arb(1) / 4}])
def test_gradient_of_linear_cross_entropy(options: dict) -> None:
    """With respect to the features, the weights and the bias, one after the other."""
    features, weight, bias = G[:2], [X[:2], P[:2], TEACHER[:2], WEIGHTS[:2]], TEACHER

    def of(numbers: Row) -> arb:
        rows = [numbers[k : k + 2] for k in range(2, 10, 2)]
        return reference.linear_cross_entropy(numbers[:2], rows, LABELS, numbers[10:], **options)

    numbers = [*features, *(v for row in weight for v in row), *bias]
    exact = reference.linear_cross_entropy_grad(features, weight, LABELS, bias, **options)
    assert close(exact, difference(of, numbers, arb(1)))


def test_divergence_from_itself() -> None:
    q = reference.softmax(X, arb(2))
    assert abs(reference.kl_divergence(X, q, arb(2))) < arb((1, -380))
    assert abs(reference.kl_divergence(X, X, arb(2), labels_from_logits=arb(1))) < arb((1, -380))
    assert reference.kl_divergence_of_probabilities(LABELS, LABELS).contains(0)


def test_ulp_error() -> None:
    exact = [
        arb(65520),
        arb(65520),
        arb(65504),
        arb((1, -25)),
        arb(1) + arb((1, -11)),
        reference.INF,
        reference.NAN,
    ]
    result = [float("inf"), 65504, 65504, 0, 1, float("inf"), float("nan")]
    assert reference.ulp_error(result, exact, "float16").tolist() == [0.5, 0.5, 0, 0.5, 0.5, 0, 0]
    assert reference.ulp_error([1.0], [reference.INF], "float32").tolist() == [float("inf")]


@pytest.mark.parametrize("dtype", reference.FORMATS)
def test_errors_in_pairs_of_doubles_are_those_of_the_balls(dtype: str) -> None:
    """Beside powers of 2, where the unit changes, subnormal, out of range, far off, and on the other side of 0."""
    rng = np.random.default_rng(0)
    exponents = np.r_[-1100:1024:7, reference.FORMATS[dtype][1] + np.arange(-30, 3), 0, 1, 2, 16]
    exact = [
        arb((sign, int(e))) * (1 + arb(float(d)) * arb((1, -k)))
        for e in exponents
        for sign in (1, -1)
        for k, d in [(0, 0.0), (140, 1.0), (140, -1.0), (60, -1.0), (9, -1.0), (0, rng.random())]
    ]
    near = np.array(list(map(float, exact)))
    with np.errstate(over="ignore"):
        found = near * (1 + rng.choice([0, 2.0**-53, 2.0**-20, -(2.0**-9), 0.5, -2, -1], len(near)))
    errors = reference.ulp_error(found, exact, dtype)
    expected = [reference.distance(a, b, dtype) for a, b in zip(found.tolist(), exact, strict=True)]
    np.testing.assert_allclose(errors, expected, rtol=1e-12)
