"""What the core leaves in doubt of a row that is to be correctly rounded: with as many digits as it takes.

A result is rational only where the theorem of docs/numerics/rounding.md says so; then it is computed as a fraction.
Every other one is irrational, so that enough digits tell on which side of a tie it is.
"""

import math
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from fractions import Fraction
from itertools import count

import numpy as np

_SOFTMAX, _LOG_SOFTMAX = 1, 2  # of the core's functions
# Of its types: digits, and the exponent of the smallest normal number.
_FORMATS = ((11, -14), (8, -126), (24, -126))
_FARTHEST, _LEAST = -7000, Decimal("1e-3100")  # terms of a lower energy count as not 0, no more


def nearest(
    function: int, kind: int, logits: np.ndarray, temperature: float, target: float
) -> float:
    """Return a result of a row of logits, of which the largest is finite, rounded to the nearest number of a type."""
    numbers, counts = np.unique(logits[logits > -np.inf], return_counts=True)
    largest, ties = numbers[-1], int(counts[-1])
    stored = _FORMATS[kind]
    if function == _SOFTMAX and len(numbers) == 1:
        return rounded(Fraction(int(target == largest), ties), *stored)
    energy = (Fraction(largest) - Fraction(target)) / Fraction(temperature)
    sign = -1 if function == _LOG_SOFTMAX else 1
    if len(numbers) == ties == 1:
        return sign * rounded(energy, *stored)
    for digits in (40 * 2**k for k in count()):
        context = Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
        error = Fraction(10) ** (10 - digits)  # of a sum: more than the roundings of 10^8 terms
        with localcontext(context):
            t, m = Decimal(temperature), Decimal(largest)
            terms = [_term((Decimal(x) - m) / t) for x in numbers[:-1].tolist()]
            others = sum((e * n for e, n in zip(terms, counts.tolist(), strict=False)), Decimal(0))
        if function == _SOFTMAX:
            with localcontext(context):
                value = Fraction(_term((Decimal(target) - m) / t) / (ties + others))
            base = Fraction(0)
        else:
            context.prec = digits + max(0, -others.adjusted())
            value, base = Fraction(context.ln(context.add(ties, others))), energy
        ends = {rounded(base + value * bound, *stored) for bound in (1 - 4 * error, 1 + 4 * error)}
        if len(ends) == 1:
            return sign * ends.pop()
    raise AssertionError("never reached")


def _term(energy: Decimal) -> Decimal:
    return energy.exp() if energy > _FARTHEST else _LEAST


def rounded(x: Fraction, digits: int, least: int) -> float:
    """Return a fraction rounded to a type with some binary digits, ties to even; what is too large for it stays so."""
    n, d = abs(x.numerator), x.denominator
    exponent = n.bit_length() - d.bit_length()
    if abs(x) < Fraction(2) ** exponent:
        exponent -= 1
    unit = max(exponent, least) - digits + 1
    return math.copysign(math.ldexp(round(abs(x) / Fraction(2) ** unit), unit), x)
