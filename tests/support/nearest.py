"""The nearest float32 to an elementwise function of any float32, fast enough for all 2^32 of them.

`python tests/support/nearest.py` compares a few runs of floats and the hardest inputs; tools/accuracy.py --sweep all.

Values come of double arithmetic that shares nothing with src/core: tables from ball arithmetic, Taylor's series, and
the operations of IEEE 754. Each takes a few roundings of 2^-53 beside terms that do not cancel (where they would, a
series takes over), at most 2^-44 of the value. Where that is not enough to tell which of two floats is nearest, within
2^-40 of the middle, ball arithmetic decides.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import reference
from flint import arb, ctx
from numpy.typing import NDArray

import sigmax

Wide = NDArray[np.float64]
Floats = NDArray[np.float32]

DOUBT = 2.0**-40
LN2 = arb.const_log2()
LN2_HIGH = float((LN2 * 2**32).floor()) / 2**32  # times an integer below 2^20: exact
LN2_LOW = float(LN2 - LN2_HIGH)
ROOTS = np.array([float((LN2 * i / 64).exp()) for i in range(64)])
CENTRES = 1 + (np.arange(128) + 0.5) / 128
LOGS = np.array([float(arb(c).log()) for c in CENTRES])


def series(x: Wide, coefficients: list[float]) -> Wide:
    value = np.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        value *= x
        value += c
    return value


def factorials(terms: int) -> list[float]:
    return [float(1 / arb(n).fac()) for n in range(1, terms + 1)]


def exp(y: Wide) -> Wide:
    """e^y, -120 <= y <= 0, is 2^n · 2^(i/64) · e^r with |r| < 0.0055: r^7/7! is 2^-64."""
    k = np.rint(y * (64 / np.log(2)))
    r = (y - k / 64 * LN2_HIGH) - k / 64 * LN2_LOW
    steps = k.astype(np.int64)
    root = ROOTS[steps & 63]
    power = (((steps >> 6) + 1023) << 52).view(np.float64)
    return (root + root * (r * series(r, factorials(6)))) * power


def expm1(x: Wide) -> Wide:
    """e^x - 1 for -1/16 <= x <= 0: x^12/13! is 2^-80."""
    return x * series(x, factorials(12))


def log(v: Wide) -> Wide:
    """log v = e·ln 2 + log c + log(1 + r), c the centre of a 128th and |r| <= 1/256; absolute error 2^-52 or so."""
    bits = v.view(np.int64)
    exponent = (bits >> 52) - 1023
    m = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(np.float64)
    i = (bits >> 45) & 127
    r = (m - CENTRES[i]) / CENTRES[i]
    small = r * series(r, [(-1) ** n / (n + 1) for n in range(7)])
    return exponent * LN2_HIGH + (LOGS[i] + (small + exponent * LN2_LOW))


def log1p(u: Wide) -> Wide:
    """For -3/4 < u <= 1: a series within 1/16, where u^14/15 is 2^-59."""
    near = u * series(u, [(-1) ** n / (n + 1) for n in range(14)])
    return np.where(np.abs(u) < 1 / 16, near, log(1 + u))


def cut(x: Wide) -> Wide:
    """e^-120 is 0 as a float32."""
    return np.maximum(x, -120.0)


def sigmoid(x: Wide) -> Wide:
    t = exp(cut(-np.abs(x)))
    return np.where(x < 0, t, 1.0) / (1 + t)


def softplus(x: Wide) -> Wide:
    return np.maximum(x, 0) + log1p(exp(cut(-np.abs(x))))


def logit(p: Wide) -> Wide:
    s = 2 * p - 1
    near = 2 * s * series(s * s, [1 / (2 * n + 1) for n in range(8)])
    far = log(np.abs(p)) - log(np.abs(1 - p))
    value = np.where(np.abs(s) < 1 / 16, near, far)
    value = np.where(p == 0, -np.inf, np.where(p == 1, np.inf, value))
    return np.where((p >= 0) & (p <= 1), value, np.nan)


def log1mexp(x: Wide) -> Wide:
    y = cut(np.minimum(x, 0))
    e = exp(y)
    v = np.where(y > -1 / 16, -expm1(y), 1 - e)
    value = np.where(y < -0.6, log1p(-np.where(y < -0.6, e, 0.0)), log(v))
    value = np.where(x == 0, -np.inf, value)
    return np.where(x <= 0, value, np.nan)


VALUES: dict[str, Callable[[Wide], Wide]] = {
    "sigmoid": sigmoid,
    "log_sigmoid": lambda x: -softplus(-x),
    "softplus": softplus,
    "logit": logit,
    "log1mexp": log1mexp,
}


@dataclass
class Tally:
    """How many results are not the nearest floats, and the value that is closest to the middle of two."""

    wrong: int = 0
    example: float | None = None
    decided: int = 0  # by ball arithmetic
    closest: float = np.inf  # relative to the value
    hardest: float | None = None

    def count_wrong(self, x: Floats) -> None:
        self.wrong += len(x)
        if len(x):
            self.example = float(x[0])


def around(name: str, x: Floats) -> tuple[Floats, Floats]:
    """The floats nearest to the ends of the interval in which each value is."""
    with np.errstate(all="ignore"):
        value = VALUES[name](x.astype(np.float64))
        return (value * (1 - DOUBT)).astype(np.float32), (value * (1 + DOUBT)).astype(np.float32)


def same(a: Floats, b: Floats) -> NDArray[np.bool_]:
    return (a == b) | (np.isnan(a) & np.isnan(b))


def above_middle(name: str, x: float, middle: float) -> tuple[bool, float]:
    """Whether the exact value is above a number it comes close to, and how close, relative to it."""
    before = ctx.prec
    try:
        for ctx.prec in (160, 320, 640):
            distance = getattr(reference, name)(arb(x)) / middle - 1
            if not distance.contains(0):
                return bool((distance > 0) == (middle > 0)), abs(float(distance.mid()))
    finally:
        ctx.prec = before
    raise ArithmeticError(f"{name}({x!r}) is {middle!r} to 600 bits")


def tally(name: str, x: Floats, result: Floats) -> Tally:
    """Compare with the nearest floats; float64, the last step, is held to the same wherever it may be asked."""
    found = Tally()
    low, high = around(name, x)
    doubtful = ~same(low, high)
    found.count_wrong(x[~same(result, low) & ~doubtful])
    last = getattr(sigmax, name)(x[doubtful].astype(np.float64))
    pairs = zip(x[doubtful], low[doubtful], high[doubtful], result[doubtful], last, strict=True)
    for x_i, *two, result_i, last_i in pairs:
        middle = (float(two[0]) + float(two[1])) / 2
        above, distance = above_middle(name, float(x_i), middle)
        nearest = (max if above else min)(two)
        if result_i != nearest or (last_i != middle and (last_i > middle) != above):
            found.count_wrong(np.array([x_i]))
        found.decided += 1
        if distance < found.closest:
            found.closest, found.hardest = distance, float(x_i)
    return found


def tally_run(name: str, x: Floats, result: Floats) -> Tally:
    """The same for consecutive floats. The functions are monotone: equal ends have equals between them."""
    low, high = around(name, x[[0, -1]])
    if not (same(low, high).all() and same(low[:1], low[1:]).all()):
        return tally(name, x, result)
    found = Tally()
    found.count_wrong(x[~same(result, low[:1])])
    return found


# --- a part of all floats --------------------------------------------------------------------------------------------

RUN = 1 << 15
# Ordinary numbers, results that are subnormal or the last before 0, saturation; where a branch of some formula changes.
STARTS = {
    "sigmoid": [-1.7, 2.9, -0.013, -88.5, -103.97, 17.3, 1e-7, -40.0],
    "log_sigmoid": [1.7, -2.9, -0.013, 88.5, 103.97, -17.3, 1e-7, 0.4],
    "softplus": [-1.7, 2.9, -0.013, -88.5, -103.97, 17.3, 1e-7, -0.4],
    "logit": [0.3, 0.7, 0.5, 0.4999, 0.99999, 1e-3, 1e-30, 1e-42],
    "log1mexp": [-0.3, -0.3466, -0.6931, -1.04, -1e-3, -17.0, -88.5, -103.97, -1e-40],
}


# Inputs of which the value comes closest to the middle of two floats, by the sweep.
HARDEST = {
    "sigmoid": [
        -5.960464477539063e-08,
        1.1920928955078125e-07,
        -1.7881393432617188e-07,
        -5.364418029785156e-07,
        5.960464477539062e-07,
        -1.9669532775878906e-06,
    ],
    "log_sigmoid": [
        -0.00044680992141366005,
        -5.124088287353516,
        -0.0016368523938581347,
        5.579533635113876e-08,
        0.44168487191200256,
        0.00010496272443560883,
    ],
    "softplus": [
        0.00044680992141366005,
        5.124088287353516,
        0.0016368523938581347,
        -5.579533635113876e-08,
        -0.44168487191200256,
        -0.00010496272443560883,
    ],
    "logit": [
        2.566682155702438e-07,
        3.079322001896428e-20,
        0.0005204142071306705,
        1.2371124481387189e-30,
        0.1127697005867958,
        5.470829263798239e-23,
    ],
    "log1mexp": [
        -3.079322001896428e-20,
        -1.2371124481387189e-30,
        -5.470829263798239e-23,
        -3.962812900543213,
        -1.2348128727387928e-28,
        -2.5424211003155506e-07,
    ],
}


def runs(name: str) -> list[Floats]:
    """Consecutive floats from each start on, away from 0."""
    bits = [np.float32(start).view(np.uint32) for start in STARTS[name]]
    return [(first + np.arange(RUN, dtype=np.uint32)).view(np.float32) for first in bits]


def main() -> int:
    wrong = 0
    for name, hardest in HARDEST.items():
        x = np.array(hardest, np.float32)
        function = getattr(sigmax, name)
        tallies = [tally_run(name, run, function(run)) for run in runs(name)]
        tallies += [tally(name, v, function(v)) for v in (x, np.tile(x, 40))]
        found = sum(t.wrong for t in tallies)
        print(f"{name}: {found} wrong")
        wrong += found
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
