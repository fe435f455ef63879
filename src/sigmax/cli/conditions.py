"""Conditions on numbers, for continuous integration: 'ece > 0.05' is true of a result, or is not."""

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sigmax.files.errors import DataError

FAILED = 3  # the exit code where one holds
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_FORM = re.compile(
    r"\s*([a-z][a-z_0-9.]*)\s*(>=|<=|>|<)\s*([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*(%?)\s*"
)


@dataclass(frozen=True)
class Condition:
    """A number, a sign, and what it is compared with."""

    name: str
    sign: str
    limit: float

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.limit:g}"

    def holds(self, value: float) -> bool:
        """Whether it is true, or cannot be told as there is no such number."""
        return math.isnan(value) or _SIGNS[self.sign](value, self.limit)


def condition(text: str) -> Condition:
    """Read a condition; of percentages too."""
    found = _FORM.fullmatch(text)
    try:
        name, sign, number, percent = found.groups()  # type: ignore[union-attr]
        return Condition(name, sign, float(number) / (100 if percent else 1))
    except (AttributeError, ValueError):
        raise DataError(
            f"--fail-if must be a name, one of {', '.join(_SIGNS)}, and a number, as 'ece > 0.05', got {text!r}"
        ) from None


def judged(conditions: Sequence[Condition], numbers: dict[str, Any]) -> list[dict[str, Any]]:
    """Return each condition with the number it is about, and whether it holds."""
    said = []
    for each in conditions:
        if each.name not in numbers:
            raise DataError(
                f"--fail-if {str(each)!r}: no number {each.name!r}; there are {', '.join(numbers)}"
            )
        value, interval = numbers[each.name]
        failed = each.holds(value)
        said.append(
            {
                "condition": str(each),
                "value": value,
                "interval": interval,
                "failed": failed,
                "sentence": _sentence(each, value, interval, failed),
            }
        )
    return said


def _sentence(each: Condition, value: float, interval: Any, failed: bool) -> str:
    between = ""
    if interval is not None and all(map(math.isfinite, interval)):
        between = f" ({interval[0]:.6g} to {interval[1]:.6g})"
    what = f"{each.name} is {value:.6g}{between}"
    return f"{what}, and --fail-if says {each}" if failed else f"{what}, and not {each}"
