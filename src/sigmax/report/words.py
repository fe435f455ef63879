"""Numbers in words: how the report and the terminal write them.

`like` is a number whose digits are followed: the two ends of an interval have as many as the larger.
"""

import math
from collections.abc import Callable, Sequence

MINUS = "−"
Words = Callable[..., str]


def percent(x: float | None, like: float | None = None) -> str:
    return "–" if x is None or math.isnan(x) else f"{100 * x:.{_percent_digits(x, like)}f} %"


def points(x: float | None, like: float | None = None) -> str:
    """Return a difference of percentages."""
    return "–" if x is None else f"{abs(100 * x):.{_percent_digits(x, like)}f} points"


def certainty(x: float) -> str:
    """Return the confidence of an interval: 95 %, 99.9 %."""
    return f"{100 * x:g} %"


def nats(x: float | None, like: float | None = None) -> str:  # noqa: ARG001
    if x is None or math.isinf(x):
        return "∞"
    return _long(x) or (f"{x:.3f}" if x < 100 else f"{x:,.1f}")


def short(x: float | None, like: float | None = None) -> str:  # noqa: ARG001
    """Return a loss in four digits after the point."""
    return "–" if x is None or math.isnan(x) else _long(x) or f"{x:.4f}".replace("-", MINUS)


def signed_short(x: float | None, like: float | None = None) -> str:
    """As `short`: what has a sign of its own says it."""
    return short(x, like)


def number(x: float | None, like: float | None = None) -> str:
    """Return a positive number in three digits."""
    if x is None or not math.isfinite(x):
        return "–"
    size = like or x
    digits = max(0, 2 - math.floor(math.log10(size))) if size > 0 else 2
    return _long(x) or (f"{x:,.{digits}f}" if digits < 6 else f"{x:.3g}")


def _long(x: float) -> str | None:
    """Return a number of more than six digits by its first ones and a power of ten."""
    if abs(x) < 1e6:
        return None
    digits, exponent = f"{x:.2e}".split("e")
    return f"{digits}·10{str(int(exponent)).translate(_RAISED)}"


_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def signed_points(x: float | None, like: float | None = None) -> str:
    return "–" if x is None else _sign(x) + points(x, like)


def signed_nats(x: float | None, like: float | None = None) -> str:
    return "–" if x is None else _sign(x) + nats(abs(x), like)


def interval(of: Sequence[float | None], words: Words) -> str:
    """Return an interval, with the unit once."""
    like = max((x for x in of if x is not None and math.isfinite(x)), key=abs, default=None)
    low, high = (words(x, like) for x in of)
    unit = high[high.rfind(" ") :] if " " in high else ""
    return f"{low.removesuffix(unit)} to {high}"


def shortened(name: str) -> str:
    """Return a name of at most 60 characters."""
    return name if len(name) <= 60 else f"{name[:40]}…{name[-19:]}"


def _percent_digits(x: float, like: float | None) -> int:
    size = abs(x if like is None else like)
    return 2 if 0 < size < 0.00995 else 1


def _sign(x: float) -> str:
    return MINUS if x < 0 else "+" if x > 0 else ""
