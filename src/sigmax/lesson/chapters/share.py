"""Chapter 1: the share a/(a+b), why exp goes in front of it, and what exp does not do."""

import math
from typing import Any

import numpy as np

import sigmax
from sigmax.lesson.model import Chapter, Choice, Measured, Number

chapter = Chapter(__name__, number=1)

SCORE = {"low": -6.0, "high": 6.0, "step": 0.1}


def _share(g: str, a: Any, b: Any) -> Any:
    """The share of g(a) in g(a) + g(b)."""
    if g == "exp":
        return sigmax.softmax(np.stack([a, b], axis=-1))[..., 0]
    if g == "power":
        return sigmax.softmax(np.stack([a, b], axis=-1), temperature=1 / math.log(2))[..., 0]
    if g == "square":
        a, b = np.square(a), np.square(b)
    elif g == "softplus":
        a, b = sigmax.softplus(a), sigmax.softplus(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        return a / (a + b)


_PYTHON = {
    "raw": "a, b = np.float64({a}), np.float64({b})\nprint(a / (a + b))",
    "square": "a, b = np.square([{a}, {b}])\nprint(a / (a + b))",
    "softplus": "a, b = sigmax.softplus([{a}, {b}])\nprint(a / (a + b))",
    "power": "share = sigmax.softmax([{a}, {b}], temperature=1 / np.log(2))\nprint(share[0])",
    "exp": "share = sigmax.softmax([{a}, {b}])\nprint(share[0])",
}


@chapter.figure(
    prints="R",
    presets={
        "too_large": {"g": "raw", "a": 3.0, "b": -1.0},
        "upside_down": {"g": "raw", "a": -1.0, "b": -3.0},
        "nothing": {"g": "raw", "a": 1.0, "b": -1.0},
        "still": {"g": "exp", "a": 3.0, "b": 2.0, "shift": -4.0},
    },
    g=Choice(("raw", "square", "softplus", "power", "exp"), "raw"),
    a=Number(**SCORE, start=3.0),
    b=Number(**SCORE, start=2.0),
    shift=Number(-8.0, 8.0, 0.1, 0.0),
)
def shifted(g: str, a: float, b: float, shift: float) -> dict[str, Any]:
    """The share of two numbers that are shifted together."""
    shifts = np.linspace(-8, 8, 321)
    left, right = round(a + shift, 10), round(b + shift, 10)
    here = _share(g, np.float64(left), np.float64(right))
    python = "import numpy as np, sigmax\n" + _PYTHON[g].format(a=left, b=right)
    shares = _share(g, a + shifts, b + shifts)
    return {
        "R": here,
        "left": left,
        "right": right,
        "shifts": shifts,
        "shares": shares,
        "unmoved": _share(g, np.float64(a), np.float64(b)),
        "python": python,
    }


POSITIVE = {"low": 0.05, "high": 3.0, "step": 0.01}


def _logarithmic_mean(a: Any, b: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return np.where(a == b, a, (a - b) / (np.log(a) - np.log(b)))


def _balance() -> tuple[Any, Any]:
    """The curve on which e^a : e^b is as lopsided as a : b: with r = a/b, b = ln r / (r − 1)."""
    r = np.exp(np.linspace(-4, 4, 161))
    r[80] = 1.0
    b = np.where(r == 1, 1.0, np.log(r) / np.where(r == 1, 1.0, r - 1))
    return r * b, b


@chapter.figure(
    prints="ratio_exp",
    presets={
        "less": {"a": 0.2, "b": 0.1},
        "nearly": {"a": 1.5, "b": 0.6},
        "more": {"a": 2.5, "b": 1.5},
    },
    a=Number(**POSITIVE, start=2.0),
    b=Number(**POSITIVE, start=0.8),
)
def lopsided(a: float, b: float) -> dict[str, Any]:
    """The ratio of two positive numbers before and after exp."""
    curve_a, curve_b = _balance()
    p = sigmax.softmax([a, b])
    return {
        "ratio": a / b,
        "ratio_exp": p[0] / p[1],
        "mean": _logarithmic_mean(np.float64(a), np.float64(b)),
        "curve_a": curve_a,
        "curve_b": curve_b,
        "python": f"import sigmax\np = sigmax.softmax([{a}, {b}])\nprint(p[0] / p[1])  # a / b = {a / b:.6g}",
    }


@chapter.figure(
    prints="ratio",
    presets={
        "small": {"x_i": -3.0, "x_j": -4.0},
        "large": {"x_i": 3.0, "x_j": 2.0},
        "equal": {"x_i": 1.0, "x_j": 1.0},
    },
    x_i=Number(-5.0, 3.5, 0.1, 1.0),
    x_j=Number(-5.0, 3.5, 0.1, -1.0),
)
def widening(x_i: float, x_j: float) -> dict[str, Any]:
    """The difference of two scores, of their exponentials and of their probabilities."""
    xs = np.linspace(-5, 3.5, 171)
    p = sigmax.softmax([x_i, x_j])
    return {
        "xs": xs,
        "exps": np.exp(xs),
        "e_i": np.exp(x_i),
        "e_j": np.exp(x_j),
        "p_i": p[0],
        "p_j": p[1],
        "before": abs(x_i - x_j),
        "between": abs(np.exp(x_i) - np.exp(x_j)),
        "after": abs(p[0] - p[1]),
        "ratio": p[0] / p[1],
        "python": f"import sigmax\np = sigmax.softmax([{x_i}, {x_j}])\nprint(p[0] / p[1])",
    }


@chapter.prediction(low=0.0, high=1.0, step=0.01)
def after_shift() -> float:
    """e^x shares of (3, 2), both a hundred larger."""
    return float(sigmax.softmax([103.0, 102.0])[0])


@chapter.prediction(low=0.0, high=4.0, step=0.05)
def after_exp() -> float:
    """e^0.2 : e^0.1."""
    p = sigmax.softmax([0.2, 0.1])
    return float(p[0] / p[1])


def _pairs(low: float, high: float) -> tuple[Any, Any]:
    pairs = np.random.default_rng(1).uniform(low, high, (2, 100_000))
    return pairs[0], pairs[1]


@chapter.claim("T*", figure="shifted")
def ratio_and_share() -> list[Measured]:
    """For positive numbers the share is the sigmoid of the logarithm of the ratio."""
    a, b = _pairs(0.01, 10)
    share = a / (a + b)
    gap = np.abs(sigmax.sigmoid(np.log(a / b)) - share)
    odds = np.abs(share / (1 - share) / (a / b) - 1)
    return [
        Measured("max |σ(ln(a/b)) − a/(a+b)|", gap.max(), "≤", 1e-15),
        Measured("max |(R/(1−R))/(a/b) − 1|", odds.max(), "≤", 1e-12),
        Measured("2/1 − 2/(2+1)", 2 / 1 - 2 / (2 + 1), "≠", 0),
    ]


@chapter.claim("F", figure="shifted", preset="too_large")
def any_two_numbers() -> list[Measured]:
    """Where a/(a+b) is no probability, and what it depends on."""
    pairs = np.array([[3, -1], [-1, -3], [1, -1], [2, 1], [20, 10]], float)
    three, minus_one, one, two, twenty = _share("raw", pairs[:, 0], pairs[:, 1]).tolist()
    return [
        Measured("3/(3 + (−1))", three, ">", 1),
        Measured("−1/(−1 + (−3))", minus_one, "<", 0.5),
        Measured("1/(1 + (−1))", one, "=", math.inf),
        Measured("|2/(2+1) − 20/(20+10)|", abs(two - twenty), "=", 0),
        Measured("softmax([3, −1])_1", float(sigmax.softmax([3.0, -1.0])[0]), "<", 1),
    ]


@chapter.claim("T", figure="shifted", preset="still")
def only_exp() -> list[Measured]:
    """How far the share moves when both numbers are shifted together."""
    a, b = _pairs(-3, 3)
    shifts = np.array([-7.0, -1.0, 1.0, 7.0])[:, None]

    def moves(g: str) -> float:
        return float(np.abs(_share(g, a + shifts, b + shifts) - _share(g, a, b)).max())

    return [
        Measured("g(x) = e^x: max |ΔR|", moves("exp"), "≤", 1e-15),
        Measured("g(x) = 2^x: max |ΔR|", moves("power"), "≤", 1e-15),
        Measured("g(x) = softplus(x): max |ΔR|", moves("softplus"), ">", 0.1),
        Measured("g(x) = x^2: max |ΔR|", moves("square"), ">", 0.1),
    ]


@chapter.claim("F", figure="lopsided", preset="less")
def more_lopsided() -> list[Measured]:
    """The counterexample, and the exact criterion on random pairs."""
    a, b = _pairs(0.001, 3)
    larger, smaller = np.maximum(a, b), np.minimum(a, b)
    p = sigmax.softmax(np.stack([larger, smaller], axis=-1))
    more = p[:, 0] / p[:, 1] > larger / smaller
    few = sigmax.softmax([0.2, 0.1])
    return [
        Measured("0.2/0.1", 0.2 / 0.1, "=", 2),
        Measured("e^0.2/e^0.1", few[0] / few[1], "<", 2),
        Measured(
            '"mismatches"', float(np.count_nonzero(more != (_logarithmic_mean(a, b) > 1))), "=", 0
        ),
        Measured('"part"', more.mean(), "<", 0.7),
    ]


@chapter.claim("F", figure="widening", preset="small")
def widens() -> list[Measured]:
    """exp narrows small numbers; softmax narrows all."""
    logits = np.random.default_rng(2).normal(0, 3, (100_000, 2))
    p = sigmax.softmax(logits)
    difference = logits[:, 0] - logits[:, 1]
    law = p.sum(axis=1) * np.tanh(difference / 2)
    return [
        Measured("e^(−3) − e^(−4)", math.exp(-3) - math.exp(-4), "<", 1),
        Measured(
            "max |p_i−p_j|/|x_i−x_j|",
            (np.abs(p[:, 0] - p[:, 1]) / np.abs(difference)).max(),
            "≤",
            0.5,
        ),
        Measured(
            "max |(p_i−p_j) − (p_i+p_j)·tanh((x_i−x_j)/2)|",
            np.abs(p[:, 0] - p[:, 1] - law).max(),
            "≤",
            1e-15,
        ),
    ]


@chapter.claim("T", figure="widening", preset="large")
def differences_into_ratios() -> list[Measured]:
    """p_i/p_j = e^(x_i − x_j), also among more classes."""
    logits = np.random.default_rng(3).normal(0, 3, (10_000, 5))
    p = sigmax.softmax(logits)
    ratio = p[:, 0] / p[:, 1] / np.exp(logits[:, 0] - logits[:, 1])
    return [Measured("max |(p_i/p_j)/e^(x_i−x_j) − 1|", np.abs(ratio - 1).max(), "≤", 1e-14)]
