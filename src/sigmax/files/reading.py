"""The description of how files were read: one for the terminal, the JSON and `info`, with what is doubtful in it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import DataError


@dataclass
class Reading:
    """How files were read, and why so."""

    rows: int
    classes: int
    logits: str  # which file, and what in it
    values: str  # "logits" or "probabilities"
    why: str  # they are read as that
    class_names: str  # where they come from
    what: str = "classes"  # or "labels", of which a row has many
    names: tuple[str, ...] = ()
    labels: str | None = None  # which file, and what in it
    label_form: str | None = None
    empty_classes: tuple[str, ...] = ()  # those that no label names
    beside: dict[str, str] = field(default_factory=dict)  # groups, weights
    left_out: tuple[str, ...] = ()  # columns
    remarks: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    notices: list[str] = field(
        default_factory=list
    )  # what an option has settled, and the data speak against

    def settle(self) -> None:
        """Refuse what is doubtful."""
        if self.doubts:
            raise DataError("\n        ".join(self.doubts))

    def lines(self) -> list[str]:
        """Return the description in sentences."""
        said = [
            f"Read {self.rows:,} rows of {self.classes:,} {self.what}: {_some(self.names)} ({self.class_names}).",
            f"{self.values.capitalize()}: {self.logits}; {self.why}.",
        ]
        if self.labels is not None:
            said.append(f"Labels: {self.labels}; {self.label_form}.")
        said += [f"{what.capitalize()}: {where}." for what, where in self.beside.items()]
        if self.empty_classes:
            said.append(
                f"Without a row: {len(self.empty_classes):,} of the classes ({_some(self.empty_classes)})."
            )
        if self.left_out:
            said.append(f"Not read: {_some(self.left_out)}.")
        return [*said, *(f"{remark}." for remark in self.remarks), *self.notices]

    def to_dict(self) -> dict[str, Any]:
        """Return it for a file; the names of the classes are elsewhere."""
        value = asdict(self)
        del value["names"], value["doubts"]
        return {**value, "lines": self.lines()}


def _some(names: Any, most: int = 8) -> str:
    shown = [(name if len(name) < 40 else name[:37] + "…") or "''" for name in names[:most]]
    return ", ".join(shown) + (", …" if len(names) > most else "")
