"""The definitions themselves: every vjp against a central difference of its function, in 400-bit arithmetic."""

import pytest
import reference
from flint import arb, ctx
from reference import Row

STEP = arb((1, -80))
X = [arb(v) / 8 for v in (3, -5, 9, 2)]
P = [arb(v) / 32 for v in (5, 7, 17, 3)]
G = [arb(v) / 16 for v in (4, -7, 1, 5)]
WEIGHTS = [arb(v) for v in (2, 1, 0, 3)]


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
def precision():
    before, ctx.prec = ctx.prec, 400
    yield
    ctx.prec = before


@pytest.mark.parametrize("name", ["sigmoid", "log_sigmoid", "softplus", "logit", "log1mexp"])
def test_elementwise_vjp(name: str) -> None:
    x = arb(-3 if name == "log1mexp" else 3) / 8
    estimate = difference(lambda row: getattr(reference, name)(row[0]), [x], G[0])
    assert close([getattr(reference, f"{name}_vjp")(x, G[0])], estimate)


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
