"""Chapter 4: the logit: odds, mirror, a slip in a formula, the way there and back in floats, a namesake."""

import functools
import math
from typing import Any

import numpy as np

import sigmax
from sigmax.lesson.model import DTYPE, Chapter, Measured, Number

chapter = Chapter(__name__, number=4)


# ---------------------------------------------------------------- odds and their logarithm

SIDES = np.linspace(-12, 12, 241)


@chapter.figure(
    prints="x",
    presets={
        "even": {"p": 0.5},
        "four_to_one": {"p": 0.8},
        "zero": {"p": 0.0},
        "one": {"p": 1.0},
        "outside": {"p": 1.1},
    },
    p=Number(-0.2, 1.2, 0.01, 0.7),
)
def domain(p: float) -> dict[str, Any]:
    """The odds and their logarithm, at the ends and outside too."""
    with np.errstate(divide="ignore"):
        odds = np.float64(p) / (1 - np.float64(p))
    return {
        "odds": odds,
        "x": sigmax.logit(p),
        "mirrored": sigmax.logit(1 - p),
        "ps": sigmax.sigmoid(SIDES),
        "xs": sigmax.logit(sigmax.sigmoid(SIDES)),
        "python": f"import sigmax\nprint(sigmax.logit({p}))",
    }


# ---------------------------------------------------------------- mirror


@functools.cache
def _meeting() -> float:
    """Where σ(x) = x, by bisection."""
    low, high = 0.0, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if sigmax.sigmoid(middle) > middle else (low, middle)
    return low


@chapter.figure(
    prints="back",
    presets={
        "meet": {"x": 0.66},
        "zero": {"x": 0.0},
        "right": {"x": 4.0},
        "left": {"x": -4.0},
    },
    x=Number(-6.0, 6.0, 0.01, 2.0),
)
def mirror(x: float) -> dict[str, Any]:
    """A point of the sigmoid, and its mirror image on the logit."""
    p = sigmax.sigmoid(x)
    return {
        "p": p,
        "back": sigmax.logit(p),
        "meeting": _meeting(),
        "xs": SIDES,
        "ps": sigmax.sigmoid(SIDES),
        "backs": sigmax.logit(sigmax.sigmoid(SIDES)),
        "python": f"import sigmax\np = sigmax.sigmoid({x})\nprint(sigmax.logit(p))",
    }


# ---------------------------------------------------------------- a slip


def _slip(p: Any) -> Any:
    """What is sometimes written: a p where a 1 should be."""
    return -np.log(1 / p - p)


@chapter.figure(
    prints="gap",
    presets={
        "half": {"p": 0.5},
        "golden": {"p": 0.618},
        "near_one": {"p": 0.99},
    },
    p=Number(0.005, 0.995, 0.001, 0.3),
)
def slip(p: float) -> dict[str, Any]:
    """The logit beside −ln(1/p − p), and the gap between them."""
    x, wrong = sigmax.logit(p), _slip(np.float64(p))
    ps = sigmax.sigmoid(np.linspace(-7, 7, 141))
    return {
        "x": x,
        "wrong": wrong,
        "gap": x - wrong,
        "law": np.log1p(p),
        "ps": ps,
        "xs": sigmax.logit(ps),
        "wrongs": _slip(ps),
        "python": f"import numpy as np, sigmax\np = np.float64({p})\nprint(sigmax.logit(p) + np.log(1 / p - p))",
    }


@chapter.prediction(low=0.0, high=1.0, step=0.01)
def wrong_zero() -> float:
    """Where −ln(1/p − p) is 0: 1/p − p = 1, the golden ratio less 1."""
    return (math.sqrt(5) - 1) / 2


# ---------------------------------------------------------------- there and back

FARTHEST, WINDOWS, PER_WINDOW = 45.0, 180, 32


@functools.cache
def _losses(dtype: str) -> tuple[Any, Any]:
    """Middles of windows of x, and the largest |logit(σ(x)) − x| in each; inf where nothing comes back."""
    edges = np.linspace(-FARTHEST, FARTHEST, WINDOWS + 1)
    inside = (np.arange(PER_WINDOW) + 0.5) / PER_WINDOW
    x = (edges[:-1, None] + (edges[1] - edges[0]) * inside).astype(dtype)
    back = sigmax.logit(sigmax.sigmoid(x))
    return edges[:-1] + FARTHEST / WINDOWS, np.abs(back.astype(float) - x).max(axis=1)


@functools.cache
def _largest(dtype: str) -> float:
    """The logit of the number just below 1."""
    one = np.dtype(dtype).type(1)
    return float(sigmax.logit(np.nextafter(one, -one)))


@chapter.figure(
    prints="back",
    presets={
        "thirty": {"x": 30.0},
        "thirty_six": {"x": 36.0},
        "forty": {"x": 40.0},
        "below": {"x": -40.0},
        "single": {"x": 17.0, "dtype": "float32"},
        "half": {"x": 8.0, "dtype": "float16"},
    },
    x=Number(-FARTHEST, FARTHEST, 0.1, 20.0),
    dtype=DTYPE,
)
def there_and_back(x: float, dtype: str) -> dict[str, Any]:
    """A score turned into a probability and back, and what is lost, for each type."""
    at = np.dtype(dtype).type(x)
    p = sigmax.sigmoid(at)
    back = sigmax.logit(p)
    xs, losses = _losses(dtype)
    return {
        "p": p,
        "missing": 1 - p,
        "back": back,
        "error": abs(float(back) - float(at)),
        "largest": _largest(dtype),
        "xs": xs,
        "losses": losses,
        "python": f"import numpy as np, sigmax\nx = np.{dtype}({x})\nprint(sigmax.logit(sigmax.sigmoid(x)))",
    }


@chapter.prediction(low=0.0, high=800.0, step=1.0)
def largest_logit() -> float:
    """The largest finite logit of a float64."""
    return _largest("float64")


# ---------------------------------------------------------------- logistic regression

HOURS = np.arange(1, 17) / 2
PASSED = np.array([0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1])


@functools.cache
def _fit() -> tuple[float, float]:
    """The w and c of least loss, by Newton's method."""
    design = np.stack([HOURS, np.ones_like(HOURS)], axis=1)
    w = np.zeros(2)
    for _ in range(20):
        p = sigmax.sigmoid(design @ w)
        curvature = (design.T * (p * (1 - p))) @ design
        w -= np.linalg.solve(curvature, design.T @ (p - PASSED))
    return float(w[0]), float(w[1])


def _loss(w: float, c: float) -> Any:
    return sigmax.binary_cross_entropy(w * HOURS + c, PASSED)


@chapter.figure(
    prints="loss",
    presets={
        "fitted": {"w": round(_fit()[0], 2), "c": round(_fit()[1], 2)},
        "ignorant": {"w": 0.0, "c": 0.0},
        "backwards": {"w": -0.7, "c": 3.0},
    },
    w=Number(-2.0, 2.0, 0.01, 0.2),
    c=Number(-6.0, 6.0, 0.01, -1.5),
)
def regression(w: float, c: float) -> dict[str, Any]:
    """A model of a probability whose logit is a line, and its loss on some outcomes."""
    hs = np.linspace(0, 8.5, 86)
    return {
        "hs": hs,
        "ps": sigmax.sigmoid(w * hs + c),
        "logits": sigmax.logit(sigmax.sigmoid(w * hs + c)),
        "hours": HOURS,
        "passed": PASSED,
        "loss": _loss(w, c),
        "least": _loss(*_fit()),
        "python": "import numpy as np, sigmax\n"
        f"h, passed = np.arange(1, 17) / 2, {PASSED.tolist()}\n"
        f"print(sigmax.binary_cross_entropy({w} * h + {c}, passed))",
    }


# ---------------------------------------------------------------- claims


@chapter.claim("T*", figure="mirror")
def inverse() -> list[Measured]:
    """There and back from both sides, where floats have the digits for it."""
    x, p = np.linspace(-700, 3, 100_001), np.linspace(0.001, 0.999, 100_001)
    return [
        Measured(
            "max |logit(σ(x)) − x|", np.abs(sigmax.logit(sigmax.sigmoid(x)) - x).max(), "≤", 1e-14
        ),
        Measured(
            "max |σ(logit(p)) − p|", np.abs(sigmax.sigmoid(sigmax.logit(p)) - p).max(), "≤", 1e-15
        ),
    ]


@chapter.claim("T", figure="mirror", preset="meet")
def meet_once() -> list[Measured]:
    """σ(x) − x only falls, so it has one zero."""
    x = np.linspace(-60, 60, 120_001)
    gap = sigmax.sigmoid(x) - x
    at = _meeting()
    return [
        Measured('"falls"', np.diff(gap).max(), "<", 0),
        Measured('"changes"', float(np.count_nonzero(np.diff(np.sign(gap)))), "=", 1),
        Measured("|σ(0.659046) − 0.659046|", abs(sigmax.sigmoid(0.659046) - 0.659046), "≤", 1e-6),
        Measured('"apart"', abs(float(sigmax.logit(at) - sigmax.sigmoid(at))), "≤", 1e-15),
    ]


@chapter.claim("F", figure="slip", preset="half")
def last_form() -> list[Measured]:
    """The gap to the slip is exactly ln(1+p); with a 1 in its place there is none."""
    p = np.linspace(0.001, 0.999, 100_001)
    logit = sigmax.logit(p)
    two_logarithms = np.abs(logit - (np.log(p) - np.log1p(-p)))
    return [
        Measured("max |logit(p) − (ln(p) − ln(1−p))|", two_logarithms.max(), "≤", 1e-12),
        Measured(
            "max |logit(p) + ln(1/p − 1)|", np.abs(logit + np.log(1 / p - 1)).max(), "≤", 1e-12
        ),
        Measured(
            "max |logit(p) + ln(1/p − p) − ln(1+p)|",
            np.abs(logit - _slip(p) - np.log1p(p)).max(),
            "≤",
            1e-12,
        ),
        Measured("logit(0.5)", float(sigmax.logit(0.5)), "=", 0),
        Measured("−ln(1/0.5 − 0.5)", _slip(0.5), "<", -0.4),
        Measured("−ln(1/0.618034 − 0.618034)", abs(_slip(0.618034)), "≤", 1e-6),
    ]


@chapter.claim("T*", figure="domain", preset="one")
def closed_domain() -> list[Measured]:
    """Infinite at the ends, and nothing outside."""
    zero, one, above = sigmax.logit(np.array([0.0, 1.0, 1.1])).tolist()
    return [
        Measured("logit(0)", zero, "=", -math.inf),
        Measured("logit(1)", one, "=", math.inf),
        Measured("logit(1.1)", above, "=", math.nan),
        Measured("σ(logit(0))", float(sigmax.sigmoid(zero)), "=", 0),
        Measured("σ(logit(1))", float(sigmax.sigmoid(one)), "=", 1),
    ]


@chapter.claim("F", figure="there_and_back", preset="thirty_six")
def round_trip() -> list[Measured]:
    """On the right digits are lost, then all; on the left none."""

    def back(x: float) -> float:
        return float(sigmax.logit(sigmax.sigmoid(x)))

    x = np.random.default_rng(5).uniform(-700, -40, 100_000)
    left = np.abs(sigmax.logit(sigmax.sigmoid(x)) - x)
    return [
        Measured("|logit(σ(30)) − 30|", abs(back(30) - 30), ">", 1e-4),
        Measured("logit(σ(36))", back(36), ">", 36.04),
        Measured("logit(σ(37))", back(37), "<", 36.74),
        Measured("logit(σ(40))", back(40), "=", math.inf),
        Measured("logit(σ(−40))", back(-40), "=", -40),
        Measured('"left"', left.max(), "=", 0),
    ]


@chapter.claim("T", figure="regression", preset="fitted")
def not_regression() -> list[Measured]:
    """The logit has nothing to learn; the regression learns the line that the logit of its model is."""
    w, c = _fit()
    line = w * HOURS + c
    _, gradient = sigmax.value_and_grad(sigmax.binary_cross_entropy)(line, PASSED)
    return [
        Measured('"line"', np.abs(sigmax.logit(sigmax.sigmoid(line)) - line).max(), "≤", 1e-14),
        Measured('"slopes"', max(abs(gradient.sum()), abs(gradient @ HOURS)), "≤", 1e-15),
        Measured('"fitted"', float(_loss(w, c)), "<", 0.4903),
        Measured('"ignorant"', float(_loss(0, 0)), ">", 0.69),
    ]
