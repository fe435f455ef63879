"""What a chapter is made of: controls, figures, predictions, and claims with their checks."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

__all__ = [
    "DTYPE",
    "VERDICTS",
    "Chapter",
    "Choice",
    "Claim",
    "Control",
    "Figure",
    "Measured",
    "Number",
    "Numbers",
    "Prediction",
    "Switch",
]

Computed = TypeVar("Computed", bound=Callable[..., dict[str, Any]])
Answer = TypeVar("Answer", bound=Callable[[], float])

Verdict = Literal["T", "T*", "F", "N", "O"]
VERDICTS: tuple[Verdict, ...] = ("T", "T*", "F", "N", "O")  # also the order of the legend


class Control(Protocol):
    """One argument of a figure: what is legal, and how the page shows it."""

    @property
    def start(self) -> Any: ...

    def read(self, value: Any, name: str) -> Any:
        """Return the value, checked; ValueError names the argument, what it got and what is legal."""

    def describe(self) -> dict[str, Any]:
        """Return what the page needs to draw the control."""


@dataclass(frozen=True)
class Number:
    """A slider."""

    low: float
    high: float
    step: float
    start: float

    def read(self, value: Any, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} must be a number, got {_short(value)}")
        if not self.low <= value <= self.high:
            raise ValueError(f"{name} must be in [{self.low}, {self.high}], got {_short(value)}")
        return float(value)

    def describe(self) -> dict[str, Any]:
        return {"kind": "number", **vars(self)}


@dataclass(frozen=True)
class Numbers:
    """A list of numbers, as many as `start` has, or from `shortest` to `longest`: a slider each, or drawn."""

    low: float
    high: float
    step: float
    start: Sequence[float]
    shortest: int | None = None
    longest: int | None = None
    sliders: bool = True

    def read(self, value: Any, name: str) -> list[float]:
        shortest = len(self.start) if self.shortest is None else self.shortest
        longest = len(self.start) if self.longest is None else self.longest
        if not isinstance(value, list):
            raise ValueError(f"{name} must be a list of numbers, got {_short(value)}")
        if not shortest <= len(value) <= longest:
            raise ValueError(f"{name} must have {shortest} to {longest} numbers, got {len(value)}")
        one = Number(self.low, self.high, self.step, self.low)
        return [one.read(item, f"{name}[{i}]") for i, item in enumerate(value)]

    def describe(self) -> dict[str, Any]:
        return {"kind": "numbers", **vars(self)}


@dataclass(frozen=True)
class Choice:
    """One of several names."""

    options: tuple[str, ...]
    start: str

    def read(self, value: Any, name: str) -> str:
        if not isinstance(value, str) or value not in self.options:
            raise ValueError(
                f"{name} must be one of {', '.join(self.options)}, got {_short(value)}"
            )
        return value

    def describe(self) -> dict[str, Any]:
        return {"kind": "choice", **vars(self)}


@dataclass(frozen=True)
class Switch:
    """On or off."""

    start: bool

    def read(self, value: Any, name: str) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, got {_short(value)}")
        return value

    def describe(self) -> dict[str, Any]:
        return {"kind": "switch", **vars(self)}


DTYPE = Choice(("float16", "float32", "float64"), "float64")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _read(controls: Mapping[str, Control], given: Any) -> dict[str, Any]:
    """Return the arguments, checked; those not given start where the control starts."""
    if not isinstance(given, dict):
        raise ValueError(f"arguments must be an object, got {_short(given)}")
    for name in given:
        if name not in controls:
            legal = ", ".join(controls) or "none"
            raise ValueError(f"no argument is called {_short(name)}; there are: {legal}")
    return {
        name: control.read(given.get(name, control.start), name)
        for name, control in controls.items()
    }


@dataclass(frozen=True)
class Figure:
    """A function from the controls to every number that the figure shows, and the Python that gives it."""

    function: Callable[..., dict[str, Any]]
    controls: Mapping[str, Control]
    prints: str  # the result that the last line of the Python prints
    presets: Mapping[str, Mapping[str, Any]]

    def __call__(self, given: Any) -> dict[str, Any]:
        return self.function(**_read(self.controls, given))

    def describe(self) -> dict[str, Any]:
        return {
            "controls": {name: control.describe() for name, control in self.controls.items()},
            "prints": self.prints,
            "presets": self.presets,
        }


@dataclass(frozen=True)
class Prediction:
    """A question answered by moving a marker on a line, and the function that knows the answer."""

    function: Callable[[], float]
    low: float
    high: float
    step: float

    def __call__(self, given: Any) -> dict[str, Any]:
        _read({}, given)
        return {"answer": self.function()}

    def describe(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "step": self.step}


_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "=": lambda value, bound: value == bound or (math.isnan(value) and math.isnan(bound)),
    "≠": operator.ne,
    "<": operator.lt,
    "≤": operator.le,
    ">": operator.gt,
    "≥": operator.ge,
}


@dataclass(frozen=True)
class Measured:
    """One line of a check: what was measured (a formula), what it came to, and what it must satisfy.

    A word in quotation marks in the formula is the key of a text of the claim.
    """

    of: str
    value: float
    relation: Literal["=", "≠", "<", "≤", ">", "≥"]
    bound: float

    @property
    def holds(self) -> bool:
        return bool(_RELATIONS[self.relation](self.value, self.bound))


Check = Callable[[], list[Measured]]


@dataclass(frozen=True)
class Claim:
    """A sentence of the usual story, its verdict, the figure that shows it and the check that settles it."""

    check: Check
    verdict: Verdict
    figure: str
    preset: str | None

    def __call__(self, given: Any) -> dict[str, Any]:
        _read({}, given)
        lines = [
            {
                "of": line.of,
                "value": float(line.value),
                "relation": line.relation,
                "bound": float(line.bound),
                "holds": line.holds,
            }
            for line in self.check()
        ]
        return {"lines": lines, "holds": all(line["holds"] for line in lines)}

    def describe(self) -> dict[str, Any]:
        return {"verdict": self.verdict, "figure": self.figure, "preset": self.preset}


@dataclass
class Chapter:
    """Figures, predictions and claims, each named by its function."""

    module: str
    number: int
    figures: dict[str, Figure] = field(default_factory=dict)
    predictions: dict[str, Prediction] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.module.rpartition(".")[2]

    def figure(
        self,
        prints: str,
        presets: Mapping[str, Mapping[str, Any]] | None = None,
        **controls: Control,
    ) -> Callable[[Computed], Computed]:
        """Register a figure: its controls, in the order of the page, are the arguments of the function."""

        def register(function: Computed) -> Computed:
            self.figures[function.__name__] = Figure(function, controls, prints, presets or {})
            return function

        return register

    def prediction(self, low: float, high: float, step: float) -> Callable[[Answer], Answer]:
        """Register a prediction, whose marker moves from `low` to `high` in steps."""

        def register(function: Answer) -> Answer:
            self.predictions[function.__name__] = Prediction(function, low, high, step)
            return function

        return register

    def claim(
        self, verdict: Verdict, figure: str, preset: str | None = None
    ) -> Callable[[Check], Check]:
        """Register a claim: the function is its check, `figure` and `preset` show it."""

        def register(function: Check) -> Check:
            self.claims[function.__name__] = Claim(function, verdict, figure, preset)
            return function

        return register

    def functions(self) -> dict[str, Figure | Prediction | Claim]:
        """Return what the page may call, by name."""
        found: dict[str, Figure | Prediction | Claim] = {}
        for group in (self.figures, self.predictions, self.claims):
            found |= {f"{self.name}.{name}": item for name, item in group.items()}
        return found

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "number": self.number,
            "figures": {name: figure.describe() for name, figure in self.figures.items()},
            "predictions": {name: item.describe() for name, item in self.predictions.items()},
            "claims": {name: claim.describe() for name, claim in self.claims.items()},
        }
