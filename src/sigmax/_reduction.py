"""From a float64 loss per row to all of them, their sum or their mean, with weights of any exponent."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from . import _core
from ._arguments import Reduction


class Extended(NamedTuple):
    """Numbers m·2^e: products and sums of weights for which float64 has no exponents."""

    m: Any
    e: Any

    @classmethod
    def of(cls, x: Any) -> "Extended":
        return x if isinstance(x, cls) else cls(*np.frexp(x))

    def __mul__(self, other: Any) -> "Extended":
        m, e = np.frexp(self.m * other.m)
        return Extended(m, e + self.e + other.e)

    def __truediv__(self, other: "Extended") -> "Extended":
        m, e = np.frexp(self.m / other.m)
        return Extended(m, e + self.e - other.e)

    def __add__(self, other: "Extended") -> "Extended":  # type: ignore[override]
        e = np.maximum(
            np.where(self.m == 0, other.e, self.e), np.where(other.m == 0, self.e, other.e)
        )
        m, k = np.frexp(self.to(power=-e) + other.to(power=-e))
        return Extended(m, k + e)

    def to(self, dtype: Any = np.float64, power: Any = 0) -> Any:
        """Return the numbers times 2^power, in a type."""
        return np.ldexp(self.m, np.clip(self.e + power, -4096, 4096)).astype(dtype)

    def total(self) -> "Extended":
        """Return the sum of all, compensated."""
        m, e = np.broadcast_arrays(self.m, self.e)
        counts = (m != 0) & np.isfinite(m)
        top = int(e[counts].max()) if counts.any() else 0
        m, k = np.frexp(total(Extended(m, e).to(power=-top)))
        return Extended(m, k + top)


# Exponents: of ordinary numbers, and of float64 with some room.
ROOM, _MOST = 250, 1000
# Exponents at which a gradient is infinite: of float64, of narrow types, of a part of a sum.
REACH, REACH_NARROW, REACH_OF_PARTS = 1200, 900, 2000
_SMALL, _LARGE = 2.0**-ROOM, 2.0**ROOM


def is_ordinary(*numbers: Any) -> bool:
    """Whether products of four of these, zeros aside, neither overflow nor lose digits.

    Of the numbers of an array the largest counts: what is small beside it adds nothing. Arrays of other libraries are
    left to them.
    """
    for x in numbers:
        if type(x) is float:
            if x != 0.0 and not _SMALL <= abs(x) <= _LARGE:
                return False
        elif x is not None and not _is_ordinary(x):
            return False
    return True


def _is_ordinary(x: Any) -> bool:
    if isinstance(x, Extended):
        return False
    if not isinstance(x, np.ndarray | np.generic):
        return True
    largest = max(float(x.max()), -float(x.min())) if x.size else 0.0
    return largest == 0 or _SMALL <= largest <= _LARGE


def _has_small(x: Any) -> bool:
    """Whether an array has numbers whose products may lose digits, beside others."""
    return isinstance(x, np.ndarray) and bool(((x != 0) & (np.abs(x) < _SMALL)).any())


def product(*factors: Any) -> Any:
    """Return the product of numbers or arrays, None of them for 1; `Extended` unless all are ordinary."""
    factors = tuple(x for x in factors if x is not None)
    if len(factors) == 1:
        return factors[0]
    with np.errstate(all="ignore"):
        if is_ordinary(*factors) and not any(map(_has_small, factors)):
            return math.prod(factors)
        return functools.reduce(Extended.__mul__, map(Extended.of, factors))


def exponents(
    weights: tuple[Extended, ...], divisor: Extended, temperature: Any, enough: int, mass: int = 0
) -> tuple[Any, Any]:
    """Return the exponents to take out of the weights, 0 for ordinary ones, and those of weights over divisor.

    The latter are no further from 0 than a float64 can be, or than matters to a gradient, which is divided by the
    temperature; what is beyond stays with the weights. Those of rows are multiplied by weights of classes up to 2^mass.
    """
    exponent = functools.reduce(np.maximum, (np.where(x.m == 0, -_FAR, x.e) for x in weights))
    exponent = np.where((np.abs(exponent) <= ROOM) | (exponent == -_FAR), 0, exponent)
    power = np.frexp(temperature)[1]
    slope = exponent - divisor.e - power
    least = functools.reduce(np.minimum, (np.where(x.m == 0, _FAR, x.e) for x in weights))
    enough = enough + np.clip(exponent - least, 0, _MOST)
    nothing = slope < -REACH - mass  # the gradient is 0
    of_scale = np.minimum(slope, enough) + power
    within = np.clip(of_scale, -1022, _MOST)
    room = np.minimum(1070, ROOM + mass + np.maximum(0, -power))
    rest = np.clip(of_scale - within, -room, _MOST)
    rest = np.where(nothing, 0, rest)
    return exponent - rest, np.where(nothing, -2 * _MOST, within)


_FAR = 1 << 20


def divisor(weights: Any, count: int, reduction: Reduction, normalizer: Any) -> Any:
    """Return what the sum of the losses is divided by: a float, or `Extended` where no float holds it.

    `weights` are those of the rows, 0 where a row does not count, or None for `count` rows of weight 1.
    Where nothing counts it is infinite: the mean is 0, and so are all gradients.
    """
    if reduction != "mean":
        return 1.0
    if normalizer is not None:
        return float(normalizer)
    if isinstance(weights, Extended):
        with np.errstate(all="ignore"):
            result = weights.total()
            none, shown = not weights.m.any(), result.to()
        if result.m > 0:
            return result
    else:
        shown = float(count) if weights is None else float(total(weights))
        if 0 < shown < np.inf:
            return shown
        if isinstance(weights, np.ndarray) and not is_ordinary(weights):
            return divisor(Extended.of(weights), count, reduction, None)
        none = weights is None or not weights.any()
    if shown == 0 and none:
        return np.inf
    raise ValueError(
        f"sample_weight must have a positive sum for reduction='mean', got {shown}: "
        "pass normalizer, or reduction='sum'"
    )


def reduced(losses: Any, reduction: Reduction, divisor: Any, dtype: Any) -> Any:
    """Return the losses, their sum or their mean in the type of the logits."""
    if isinstance(losses, Extended) or isinstance(divisor, Extended):
        return _reduced_extended(losses, reduction, divisor, dtype)
    if reduction != "none":
        sum_of_all = total(losses)
        here = isinstance(sum_of_all, float)  # else another library's
        if here and not math.isfinite(sum_of_all) and np.isfinite(losses).all():
            return _reduced_extended(losses, reduction, divisor, dtype)
        return quotient(sum_of_all, divisor, dtype)
    with np.errstate(all="ignore"):
        return losses.astype(dtype, copy=False)


@np.errstate(all="ignore")
def _reduced_extended(losses: Any, reduction: Reduction, divisor: Any, dtype: Any) -> Any:
    return reduced_to_extended(losses, reduction, divisor).to(dtype)


@np.errstate(all="ignore")
def reduced_to_extended(losses: Any, reduction: Reduction, divisor: Any) -> Extended:
    extended = Extended.of(losses)
    if reduction == "none":
        return extended
    if isinstance(divisor, float) and divisor == np.inf:
        return Extended.of(0.0)
    return extended.total() / Extended.of(divisor)


def quotient(total: Any, divisor: float, dtype: Any) -> Any:
    if divisor == np.inf and np.isinf(total):
        total = np.float64(0.0)
    if type(total) is np.float64 and dtype == np.float64:
        return np.float64(float(total) / float(divisor))  # which warns no one
    with np.errstate(all="ignore"):
        return (total / divisor).astype(dtype)


def total(x: Any) -> Any:
    """Return the compensated sum of all numbers; other libraries' arrays add up their own way."""
    return np.float64(_core.total(x)) if isinstance(x, np.ndarray | np.generic) else x.sum()
