"""Chapter 2: dividing through gives two forms of one function, which are not the same as floats."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import sigmax
from sigmax.lesson.model import DTYPE, Chapter, Measured, Number

chapter = Chapter(__name__, number=2)

SCORE = {"low": -10.0, "high": 10.0, "step": 0.1}


@chapter.figure(
    prints="p",
    presets={
        "same": {"a": 1.0, "b": 1.0},
        "ahead": {"a": 9.0, "b": 6.0},
        "negative": {"a": -6.0, "b": -9.0},
    },
    a=Number(**SCORE, start=2.0),
    b=Number(**SCORE, start=1.0),
)
def dividing(a: float, b: float) -> dict[str, Any]:
    """One share written with three pairs of numbers: (e^a, e^b), (e^x, 1), (1, e^−x)."""
    x = round(a - b, 10)
    return {
        "x": x,
        "e_a": np.exp(a),
        "e_b": np.exp(b),
        "e_x": np.exp(x),
        "e_minus": np.exp(-x),
        "p": sigmax.sigmoid(x),
        "python": f"import sigmax\nx = {a} - {b}\nprint(sigmax.sigmoid(round(x, 10)))",
    }


def _first(x: Any) -> Any:
    e = np.exp(x)
    return e / (e + x.dtype.type(1))


def _second(x: Any) -> Any:
    one = x.dtype.type(1)
    return one / (one + np.exp(-x))


def _tanh(x: Any) -> Any:
    half, one = x.dtype.type(0.5), x.dtype.type(1)
    return half * (one + np.tanh(half * x))


FORMS: dict[str, Callable[[Any], Any]] = {
    "first": _first,
    "second": _second,
    "tanh": _tanh,
    "library": sigmax.sigmoid,
}
WIDEST = {"float16": 24.0, "float32": 120.0, "float64": 760.0}
WINDOWS, PER_WINDOW = 152, 64


def _value(form: str, x: Any) -> Any:
    # What these formulas do at the ends is the subject.
    with np.errstate(all="ignore"):
        return FORMS[form](x)


@functools.cache
def _errors(dtype: str) -> dict[str, Any]:
    """The largest relative error of each form in each window of x; nan where the form is nan."""
    edges = np.linspace(-WIDEST[dtype], WIDEST[dtype], WINDOWS + 1)
    inside = (np.arange(PER_WINDOW) + 0.5) / PER_WINDOW
    x = (edges[:-1, None] + (edges[1] - edges[0]) * inside).astype(dtype)
    exact = sigmax.sigmoid(x.astype(np.float64))
    shown: dict[str, Any] = {"xs": x.astype(np.float64).mean(axis=1)}
    for form in FORMS:
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.abs(_value(form, x).astype(np.float64) / exact - 1)
        # Below the smallest number of the type there is nothing to be right about.
        error[exact < np.finfo(dtype).smallest_subnormal] = 0
        shown[form] = error.max(axis=1)
    return shown


@chapter.figure(
    prints="library_at",
    presets={
        "over": {"x": 710.0},
        "under": {"x": -710.0},
        "lost": {"x": -40.0},
        "single": {"x": 89.0, "dtype": "float32"},
        "half": {"x": 12.0, "dtype": "float16"},
    },
    x=Number(-760.0, 760.0, 0.5, 2.0),
    dtype=DTYPE,
)
def errors(x: float, dtype: str) -> dict[str, Any]:
    """What each form returns at x, and its relative error everywhere, against the library in float64."""
    at = np.array(x, dtype)
    return {
        **{f"{form}_at": _value(form, at[()]) for form in FORMS},
        "widest": WIDEST[dtype],
        "curves": _errors(dtype),
        "python": f"import numpy as np, sigmax\nx = np.{dtype}({x})\nprint(sigmax.sigmoid(x))",
    }


@functools.cache
def _first_nan() -> float:
    """The smallest x at which the first form is nan, by bisection."""
    low, high = np.float64(0), np.float64(1000)
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (low, middle) if np.isnan(_value("first", middle)) else (middle, high)
    return float(high)


@chapter.prediction(low=0.0, high=1000.0, step=5.0)
def breaks_at() -> float:
    """Where e^x/(e^x + 1) becomes nan."""
    return _first_nan()


@chapter.claim("T", figure="dividing")
def same_function() -> list[Measured]:
    """The share of e^a, both forms and the library on random numbers."""
    a, b = np.random.default_rng(1).uniform(-20, 20, (2, 100_000))
    p = sigmax.softmax(np.stack([a, b], axis=-1))[:, 0]
    x = a - b
    return [
        Measured("max |e^a/(e^a+e^b) − σ(a−b)|", np.abs(p - sigmax.sigmoid(x)).max(), "≤", 1e-15),
        Measured(
            "max |e^x/(e^x+1) − σ(x)|", np.abs(_first(x) - sigmax.sigmoid(x)).max(), "≤", 1e-15
        ),
        Measured(
            "max |1/(1+e^(−x)) − σ(x)|", np.abs(_second(x) - sigmax.sigmoid(x)).max(), "≤", 1e-15
        ),
    ]


@chapter.claim("F", figure="errors", preset="under")
def interchangeable() -> list[Measured]:
    """What the forms return at the ends, in float64."""
    at = np.float64
    return [
        Measured("e^710/(e^710+1)", float(_value("first", at(710))), "=", np.nan),
        Measured("1/(1+e^(−710))", float(_value("second", at(710))), "=", 1),
        Measured("1/(1+e^710)", float(_value("second", at(-710))), "=", 0),
        Measured("e^(−710)/(e^(−710)+1)", float(_value("first", at(-710))), ">", 0),
        Measured("σ(−710)", float(sigmax.sigmoid(-710.0)), ">", 4.47e-309),
    ]


@chapter.claim("F", figure="errors", preset="lost")
def tanh_is_safe() -> list[Measured]:
    """½(1 + tanh(x/2)) never overflows, and loses all digits on the left."""
    at = np.float64(-40)
    x = np.linspace(-5, 5, 100_001)
    near = np.abs(_tanh(x) / sigmax.sigmoid(x) - 1).max()
    return [
        Measured("(1+tanh(−40/2))/2", float(_value("tanh", at)), "=", 0),
        Measured("σ(−40)", float(sigmax.sigmoid(at)), ">", 4.2e-18),
        Measured('"near"', near, "≤", 1e-14),
    ]


@chapter.claim("T", figure="errors", preset="over")
def two_branches() -> list[Measured]:
    """The first form on the left and the second on the right lose nothing."""
    x = np.linspace(-740, 740, 200_001)
    left, right = np.minimum(x, 0), np.maximum(x, 0)
    both = np.where(x < 0, _first(left), _second(right))
    ulps = np.abs(both - sigmax.sigmoid(x)) / np.spacing(sigmax.sigmoid(x))
    return [Measured('"ulps"', ulps.max(), "≤", 3)]
