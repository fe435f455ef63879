"""Rows of 16-bit logits, which are computed in floats: against float64, within 0.51 ULP."""

import numpy as np
import pytest
from kernel_inputs import TYPES
from mpmath import mp, mpf

import sigmax

HALVES = {name: dtype for name, dtype in TYPES.items() if name in ("float16", "bfloat16")}
DIGITS = {"float16": (10, -24, 65520.0), "bfloat16": (7, -133, float.fromhex("0x1.ffp127"))}
CLASSES = [1, 2, 3, 8, 15, 16, 17, 23, 24, 33, 64, 100, 257, 1025, 2100]
SPREADS = {"float16": [1e-6, 1e-3, 1, 4, 30, 1000, 6e4], "bfloat16": [1e-6, 1, 4, 30, 1e37]}

every_half = pytest.mark.parametrize("name", HALVES)


def ulp(exact: np.ndarray, name: str) -> np.ndarray:
    digits, smallest, _ = DIGITS[name]
    return np.maximum(np.exp2(np.floor(np.log2(np.abs(exact))) - digits), 2.0**smallest)


def error(result: np.ndarray, exact: np.ndarray, name: str) -> float:
    got = result.astype(np.float64)
    beyond = np.abs(exact) >= DIGITS[name][2]
    right = (np.isnan(got) & np.isnan(exact)) | (got == exact)
    right |= beyond & np.isinf(got) & (np.sign(got) == np.sign(exact))
    errors = np.where(right, 0, np.abs(got - exact) / ulp(exact, name))
    return float(np.max(np.where(np.isnan(errors), np.inf, errors)))


def logits(rng: np.random.Generator, spread: float, dtype: type) -> np.ndarray:
    x = rng.standard_normal((rng.integers(1, 70), rng.choice(CLASSES))) * spread
    if rng.random() < 0.3:
        x[:, :1] += 8 * spread  # confident
    for number, share in ((-np.inf, 0.2), (np.inf, 0.02), (np.nan, 0.02)):
        if rng.random() < 0.15:
            x[rng.random(x.shape) < share] = number
    return x.astype(dtype)


def layouts(x: np.ndarray) -> list[np.ndarray]:
    """The same numbers: rows or classes beside each other, or neither."""
    return [
        x,
        np.ascontiguousarray(x.T).T,
        np.repeat(x, 2, axis=1)[:, ::2],
        np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    ]


@every_half
@pytest.mark.parametrize("function", [sigmax.softmax, sigmax.log_softmax, sigmax.logsumexp])
def test_rows_are_those_of_float64(function, name):
    rng = np.random.default_rng(5)
    with np.errstate(all="ignore"):
        for _ in range(60):
            spread = rng.choice(SPREADS[name])
            x = logits(rng, spread, HALVES[name])
            temperature = float(rng.choice([0.1, 1, 3, spread, 2.0 ** rng.integers(-300, 300)]))
            temperatures = temperature * np.exp2(rng.integers(-2, 3, (len(x), 1)))
            for t in (temperature, temperatures):
                exact = function(x.astype(np.float64), temperature=t)
                first, *others = (function(y, temperature=t) for y in layouts(x))
                assert error(first, exact, name) <= 0.51, (x.shape, spread, temperature)
                for other in others:
                    np.testing.assert_array_equal(
                        other.astype(np.float64), first.astype(np.float64)
                    )


@every_half
def test_long_rows(name):
    x = (np.random.default_rng(6).standard_normal((2, 70_001)) * 4).astype(HALVES[name])
    for function in (sigmax.softmax, sigmax.log_softmax, sigmax.logsumexp):
        assert error(function(x), function(x.astype(np.float64)), name) <= 0.51


@every_half
def test_logsumexp_whose_terms_cancel(name):
    """m/T + log Σ e of equal logits is log n + x/T, which may be near 0."""
    for n in (2, 3, 10, 100, 1000, 50_000):
        for shift in (0, 1e-2, -1e-2, 0.1, -0.2):
            x = np.full((3, n), -np.log(n) + shift).astype(HALVES[name])
            with mp.workdps(40):
                exact = float(mp.log(n) + mpf(float(x[0, 0])))
            for y in (x, np.ascontiguousarray(x.T).T):
                result = sigmax.logsumexp(y)
                assert error(result, np.full(3, exact), name) <= 0.51, (n, shift)
