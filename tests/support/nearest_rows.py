"""The nearest numbers to softmax, log_softmax, logsumexp and cross_entropy of rows, and how many results are others.

    python tests/support/nearest_rows.py                 the hard rows and some of each kind
    python tests/support/nearest_rows.py --lanes 1e9     random rows until so many logits are through (hours)

Values come of the double arithmetic of NumPy and the C library, of which a few units in the last place are asked, not
more than 2^-44 of a value together. Where that is not enough to tell which of two numbers is nearest, within 2^-42 of
the middle, ball arithmetic decides. Nothing here comes from src/core.
"""

import argparse
import math
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq
from numpy.typing import NDArray

import sigmax

Wide = NDArray[np.float64]

DOUBT = 2.0**-42
FUNCTIONS = ("softmax", "log_softmax", "logsumexp", "cross_entropy")
# Digits and the exponent of the smallest normal number.
FORMATS = {"float32": (24, -126), "float16": (11, -14), "bfloat16": (8, -126)}


def rounded(value: Wide, dtype: str) -> Wide:
    """The nearest numbers of a type, ties to even; what is too large for it stays so."""
    digits, least = FORMATS[dtype]
    exponent = np.maximum(np.frexp(value)[1] - 1, least)
    unit = np.where(np.isfinite(value), exponent - digits + 1, 0)
    return np.ldexp(np.rint(np.ldexp(value, -unit)), unit)


class Row:
    """A row in ball arithmetic."""

    def __init__(self, x: Wide, temperature: float) -> None:
        self.x, self.temperature = x, temperature
        self.largest = float(x.max())
        self.numbers, self.counts = np.unique(x[x > -np.inf], return_counts=True)
        self.sums: dict[int, arb] = {}

    def energy(self, a: float) -> arb:
        """(m - a)/T as a ball, from a fraction: exact but for its last bit."""
        q = (Fraction(self.largest) - Fraction(a)) / Fraction(self.temperature)
        return arb(fmpq(q.numerator, q.denominator))

    def others(self) -> arb:
        """The sum of all terms but one of the largest ones."""
        if ctx.prec not in self.sums:
            terms = (
                int(n) * (-self.energy(x)).exp()
                for x, n in zip(self.numbers[:-1].tolist(), self.counts.tolist(), strict=False)
            )
            self.sums[ctx.prec] = sum(terms, arb(int(self.counts[-1]) - 1))
        return self.sums[ctx.prec]

    def is_above(self, name: str, a: float, middle: float) -> bool:
        """Whether a result is above a number that it is close to."""
        before = ctx.prec
        try:
            for ctx.prec in (160, 640, 2560, 20000):
                if name == "softmax":
                    distance = (-self.energy(a)).exp() / (1 + self.others()) - middle
                else:
                    q = (Fraction(self.largest) - Fraction(a)) / Fraction(self.temperature)
                    q -= Fraction(abs(middle) if name == "log_softmax" else middle)
                    distance = arb(fmpq(q.numerator, q.denominator)) + self.others().log1p()
                    distance = -distance if name == "log_softmax" else distance
                if not distance.contains(0):
                    return bool(distance > 0)
        finally:
            ctx.prec = before
        raise ArithmeticError(f"{name}: {middle!r} to thousands of bits: {self.x.tolist()[:9]}")


@dataclass
class Tally:
    """How many results are not the nearest numbers."""

    lanes: int = 0
    results: int = 0
    wrong: int = 0
    decided: int = 0  # by ball arithmetic
    examples: list[Any] = field(default_factory=list)


def values(name: str, x: Wide, t: Wide, labels: Any) -> tuple[Wide, Wide, Wide]:
    """The values in doubles, the logits they are of, and their error, absolute."""
    with np.errstate(all="ignore"):
        m = x.max(axis=-1, keepdims=True)
        y = (x - m) / t
        e = np.exp(y)
        if name == "softmax":
            value = e / e.sum(axis=-1, keepdims=True)
            return value, x, DOUBT * value
        e[np.arange(len(x)), x.argmax(axis=-1)] = 0.0
        log = np.log1p(e.sum(axis=-1, keepdims=True))
        if name == "log_softmax":
            a = x
        elif name == "logsumexp":
            a = np.zeros_like(m)
        else:
            a = np.take_along_axis(x, labels[:, None], -1)
        far = (m - a) / t
        value = far + log
        error = DOUBT * (np.abs(far) + log)
        return (-value if name == "log_softmax" else value), a, error


def tally(
    name: str, x: NDArray[Any], t: Any, result: NDArray[Any], labels: Any = None, found: Any = None
) -> Tally:
    """Compare results of rows, classes last, without +inf or NaN and with something above -inf."""
    found = found or Tally()
    dtype = str(x.dtype)
    wide = x.astype(np.float64)
    temperature = np.broadcast_to(np.asarray(t, np.float64).reshape(-1, 1), (len(x), 1))
    value, a, error = values(name, wide, temperature, labels)
    digits = FORMATS[dtype][0]
    beyond = 2.0**16 if digits == 11 else 2.0**128  # the first number that is infinite
    with np.errstate(all="ignore"):
        low, high = (
            np.clip(rounded(end, dtype), -beyond, beyond) for end in (value - error, value + error)
        )
    given = np.clip(result.astype(np.float64).reshape(value.shape), -beyond, beyond)
    certain = (low == high) | np.isinf(value)
    wrong = certain & (given != np.where(np.isinf(value), np.copysign(beyond, value), low))
    found.lanes += x.size
    found.results += value.size
    row_of: dict[int, Row] = {}  # the last one: its sum takes time
    for i, j in zip(*np.nonzero(~certain), strict=True):
        if i not in row_of:
            row_of = {i: Row(wide[i], float(temperature[i, 0]))}
        nearest = decide(
            name, row_of[i], float(a[i, j]), float(low[i, j]), float(high[i, j]), digits
        )
        found.decided += 1
        wrong[i, j] = given[i, j] != nearest
    for i, j in zip(*np.nonzero(wrong), strict=True):
        found.wrong += 1
        found.examples.append((name, dtype, float(temperature[i, 0]), x[i].tolist()[:9], int(j)))
    return found


def decide(name: str, row: Row, a: float, low: float, high: float, digits: int) -> float:
    """Which of the numbers of a type from low to high is nearest."""
    if name != "softmax" and len(row.numbers) == row.counts[0] == 1:
        return rational((Fraction(row.largest) - Fraction(a)) / Fraction(row.temperature), digits)
    least = {24: -126, 11: -14, 8: -126}[digits]
    while low != high:
        largest = max(abs(low), abs(high))
        exponent = max(math.frexp(largest)[1] - 1, least)
        if math.frexp(largest)[0] == 0.5 and abs(low) != abs(high) and exponent > least:
            exponent -= 1
        unit = math.ldexp(1.0, exponent - digits + 1)
        middle_of = low + unit / 2
        if middle_of >= high or row.is_above(name, a, middle_of):
            low += unit
        else:
            high = low
    return low


def rational(q: Fraction, digits: int) -> float:
    """The nearest number of a type to a fraction, ties to even."""
    least = {24: -126, 11: -14, 8: -126}[digits]
    exponent = max(math.frexp(float(q))[1] - 1, least)
    unit = Fraction(2) ** (exponent - digits + 1)
    return float(round(q / unit) * unit)


# --- rows ------------------------------------------------------------------------------------------------------------

TEMPERATURES = (1.0, 2.0, 0.5, 3.0, 0.7, 10.0, 1e-3, 37.5, 0.015625)


def rows(rng: np.random.Generator, dtype: Any, count: int) -> NDArray[Any]:
    """Rows of one length: random ones of some spread, with ties, with what is masked, confident ones, tiny logits."""
    n = int(
        rng.choice([2, 3, 5, 8, 10, 23, 24, 31, 100, 1000, 5000], p=[0.12, 0.1, 0.1] + [0.085] * 8)
    )
    x = rng.normal(size=(max(1, count // n), n)) * 2.0 ** rng.integers(-12, 9)
    kind = rng.integers(6)
    if kind == 0:
        x = np.rint(x * 4) / 4
    elif kind == 1:
        x[rng.random(x.shape) < 0.3] = -np.inf
        x[:, 0] = 0.25
    elif kind == 2:
        x[:, rng.integers(n)] += 40 + rng.random(len(x)) * 60
    elif kind == 3:
        x += rng.normal(size=(len(x), 1)) * 100
    return np.asarray(np.where(np.isfinite(x), np.clip(x, -6e4, 6e4), x), dtype)


def hard_rows() -> list[tuple[NDArray[Any], float]]:
    """Rows and temperatures of which many results are close to a tie for a reason, or at the ends of a type."""
    rng = np.random.default_rng(7)

    def normal(*shape: int) -> Wide:
        return rng.normal(size=shape)

    def integers(most: int, *shape: int) -> Wide:
        return rng.integers(1, most, shape).astype(np.float64)

    def beside(column: Any, others: Wide) -> Wide:
        return np.concatenate([np.broadcast_to(column, (len(others), 1)), others], axis=1)

    cases: list[tuple[Wide, float, Any]] = [
        (
            integers(16, 40, 2) * 2.0**-24,
            1.0,
            np.float32,
        ),  # a softmax of 1/2 and a bit of third order
        (integers(16, 40, 4) * 2.0**-25, 1.0, np.float32),
        (
            beside(normal(100, 1) * 5, -1e4 + integers(4, 100, 6)),
            1.0,
            np.float32,
        ),  # L below any double
        (beside(normal(100, 1) * 5, -1e4 + integers(4, 100, 6)), 3.0, np.float32),
        (
            normal(60, 20) * 50,
            2.0**-7,
            np.float32,
        ),  # d/T is a tie, or it is and L is below any double
        (normal(60, 20) * 300, 3.0, np.float32),
        (beside(0.0, -87 - rng.random((60, 9)) * 18), 1.0, np.float32),  # subnormal
        (np.repeat(-np.log(2) + normal(30, 1) * 1e-7, 2, axis=1), 1.0, np.float32),  # 0, nearly
        (integers(100, 60, 1) * 2.0**-149, 2.0, np.float32),  # one class: ties that are exact
        (integers(100, 60, 1) * 2.0**-149, 3.0, np.float32),
        (normal(60, 1), 1.7, np.float32),
        (np.clip(normal(40, 5) * 1e38, -3.4e38, 3.4e38), 1.0, np.float32),  # too large
        (np.clip(normal(40, 5) * 1e38, -3.4e38, 3.4e38), 0.5, np.float32),
        (normal(40, 5) * 1e-30, 2.0**-1000, np.float32),
        (normal(40, 5) * 1e30, 2.0**100, np.float32),
        (normal(40, 5), 2.0**1000, np.float32),
        (normal(60, 50) * 3, 0.9, np.float16),
        (integers(100, 60, 1) * 2.0**-24, 2.0, np.float16),
        (normal(60, 50) * 30, 1.0, np.float16),
        (normal(1, 70_001) * 3, 1.0, np.float32),  # in chunks
        (normal(1, 140_001) * 3, 0.9, np.float32),
        (beside(60 + 2.0**-18, np.rint(normal(1, 70_000) * 3)), 1.0, np.float32),  # and confident
    ]
    return [(x.astype(dtype), t) for x, t, dtype in cases]


def results(name: str, x: NDArray[Any], t: Any, labels: Any = None) -> NDArray[Any]:
    """What is under test."""
    if name == "cross_entropy":
        options = {"temperature": t, "reduction": "none"}
        return np.asarray(sigmax.cross_entropy(x, labels, **options))
    return np.asarray(getattr(sigmax, name)(x, temperature=t))


def sweep(lanes: float, seed: int, dtypes: tuple[Any, ...]) -> dict[str, Tally]:
    rng = np.random.default_rng(seed)
    tallies = {name: Tally() for name in FUNCTIONS}
    done = 0
    while done < lanes:
        x = rows(rng, dtypes[rng.integers(len(dtypes))], 100_000)
        t = rng.choice(TEMPERATURES) if rng.random() < 0.7 else 2.0 ** rng.normal(size=len(x))
        labels = rng.integers(0, x.shape[1], len(x))
        for name in FUNCTIONS:
            tally(name, x, t, results(name, x, t, labels), labels, tallies[name])
        done += x.size
    return tallies


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=float, default=1e6, help="how many logits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ordinary", action="store_true", help="without correct rounding")
    arguments = parser.parse_args()
    sigmax.set_rounding("ordinary" if arguments.ordinary else "correct")
    dtypes: tuple[Any, ...] = (np.float32, np.float32, np.float16)
    tallies = sweep(arguments.lanes, arguments.seed, dtypes)
    for x, t in hard_rows():
        labels = np.arange(len(x)) % x.shape[1]
        for name in FUNCTIONS:
            tally(name, x, t, results(name, x, t, labels), labels, tallies[name])
    for name, t in tallies.items():
        print(
            f"{name}: {t.wrong} wrong of {t.results:,} ({t.lanes:,} logits, {t.decided:,} by balls)"
        )
        for example in t.examples[:3]:
            print("  ", example)
    return any(t.wrong for t in tallies.values())


if __name__ == "__main__":
    sys.exit(main())
