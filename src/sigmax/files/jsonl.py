"""Lines of JSON objects (.jsonl), as evaluations of language models write them: scores by name or as a list, labels.

A field is found by the names that lead to it: `answer.probabilities` is in the object `answer`.
"""

import gzip
import itertools
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError
from .progress import tracked
from .tables import _SNIFFED, Facts, How, Opened, Table, _refuse_column, listed

_ROWS = 2**14  # that are read at once
# Where the names of the numbers of a list may stand.
_NAMES_BESIDE = ("option_keys", "class_names", "classes", "choices", "options")
_MISSING = object()
Row = dict[str, Any]


def is_probabilities(name: str) -> bool:
    """Whether a field is named so that its numbers are probabilities."""
    last = name.split(".")[-1].lower()
    return last in ("p", "prob", "probs", "probability", "probabilities", "proba", "probas", "noul")


def different_fields(pairs: list[tuple[str, Any]]) -> Row:
    """Return an object of these fields, whose names are different: JSON leaves open which of two counts."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"has {next(n for n in names if names.count(n) > 1)!r} twice")
    return row


@dataclass
class Jsonl(Table):
    path: Path
    how: How
    names: list[str] = field(init=False)
    lines: dict[int, int] = field(init=False, default_factory=dict)  # where rows stand, of a few
    failed: int = field(init=False, default=0)  # rows that hold an error in place of an answer
    other: int = field(init=False, default=0)  # rows that --only leaves out
    absent: int = field(init=False, default=0)  # rows that do not name all classes
    order: dict[str, int] = field(init=False, default_factory=dict)  # of classes with names

    def __post_init__(self) -> None:
        found: dict[str, None] = {}
        for _, row in itertools.islice(self._rows(), _SNIFFED):
            found |= dict.fromkeys(_fields(row))
        self.names = list(found)
        if not self.names:
            only = "" if self.how.only is None else f" with --only {self.how.only}"
            raise DataError(f"{self.path}: has no rows{only}")

    def remarks(self) -> tuple[str, ...]:
        name, said = self.path.name, []
        if self.other:
            said.append(f"{name}: --only {self.how.only} leaves out {self.other:,} of the lines")
        if self.failed:
            said.append(
                f"{name}: left out, as an error is in place of the answer: {self.failed:,} of the lines"
            )
        if self.absent:
            said.append(
                f"{name}: classes that are not named have probability 0: in {self.absent:,} of the lines"
            )
        return tuple(said)

    # ---- lines

    def _open(self) -> Any:
        if self.path.suffix.lower() == ".gz":
            return gzip.open(self.path, "rt", encoding="utf-8-sig")
        return self.path.open(encoding="utf-8-sig")

    def _rows(self) -> Iterator[tuple[int, Row]]:
        """Yield the number of a line, and its object, of the rows that count."""
        self.failed = self.other = 0
        line = 0
        try:
            with self._open() as file:
                for line, text in enumerate(file, 1):
                    if not text.strip():
                        continue
                    row = json.loads(text, object_pairs_hook=different_fields)
                    if not isinstance(row, dict):
                        raise ValueError(f"must be an object, got {text.strip()[:40]!r}")
                    if not self._counts(row):
                        self.other += 1
                    elif _has_failed(row):
                        self.failed += 1
                    else:
                        yield line, row
        except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.path}: not a .jsonl file in UTF-8: {error}") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{self.path}, line {line}: not a .jsonl file: {error}") from error

    def _counts(self, row: Row) -> bool:
        """Whether a row is one of those that --only asks for."""
        if self.how.only is None:
            return True
        name, equals, wanted = self.how.only.partition("=")
        value = _value(row, name)
        if value is _MISSING or value is None:
            return False
        return not equals or _text(value) == wanted

    def blocks(self) -> Iterator[tuple[int, list[Row]]]:
        """Yield rows in blocks, with the number of the first."""
        rows, first = self._rows(), 0
        while block := list(itertools.islice(rows, _ROWS)):
            self.lines = {first + k: line for k, (line, _) in enumerate(block)}
            yield first, [row for _, row in block]
            first += len(block)

    def where(self, row: int) -> str:
        return f"row {row} (line {self.lines[row]})"

    # ---- numbers

    def numbers(self, names: list[str]) -> Opened:
        classes = self._classes(names[0]) if len(names) == 1 else None
        self.order = {name: k for k, name in enumerate(classes or ())}
        self.absent = 0
        opened = super().numbers(names)
        if classes is not None and opened.array.ndim == 2:
            return Opened(opened.array, names=classes)
        return opened

    def _classes(self, name: str) -> list[str] | None:
        """Return the names of the classes of a field: those of the first row, or of --classes."""
        _, row = next(self._rows())
        named = _by_name(row, name, _value(row, name))
        if named is None:
            return None
        given = list(self.how.classes or ())
        if given and not set(given) >= set(named):
            raise DataError(
                f"{self.path}, field {name!r}: names the classes {listed(list(named))}, --classes says {listed(given)}"
            )
        return given or list(named)

    def number_blocks(self, names: list[str]) -> Iterator[Any]:
        for first, rows in self.blocks():
            if len(names) == 1:
                yield self._block(rows, names[0], first)
            else:
                columns = [self._block(rows, name, first) for name in names]
                if any(column.ndim > 1 for column in columns):
                    raise DataError(
                        f"{self.path}: a field of several numbers is read alone: name it with --logits-key"
                    )
                yield np.column_stack(columns)

    def _block(self, rows: list[Row], name: str, first: int) -> Any:
        read = [self._numbers(row, name, first + k) for k, row in enumerate(rows)]
        width = read[0] if isinstance(read[0], float) else len(read[0])
        for k, numbers in enumerate(read):
            if isinstance(numbers, float) != isinstance(width, float) or (
                not isinstance(numbers, float) and len(numbers) != width
            ):
                self._refuse(
                    first + k, name, "must have as many numbers as the rows before", rows[k]
                )
        return np.array(read, np.float64)

    def _numbers(self, row: Row, name: str, at: int) -> Any:
        """Return the number, or the numbers in the order of the classes, of a field."""
        value = _value(row, name)
        named = _by_name(row, name, value)
        if self.order:
            if named is None:
                self._refuse(at, name, "must name the classes as the rows before", row)
            return self._in_order(named, row, name, at)
        if named is not None:
            value = list(named.values())
        if isinstance(value, list):
            if not value or not all(map(_is_number, value)):
                self._refuse(at, name, "must be numbers", row)
            return list(map(_float, value))
        if not _is_number(value):
            self._refuse(at, name, "must be a number, or numbers", row)
        return _float(value)

    def _in_order(self, named: Any, row: Row, name: str, at: int) -> list[float]:
        if named.keys() != self.order.keys():
            complete = bool(self.how.classes) and is_probabilities(name)
            if not complete or not named.keys() <= self.order.keys():
                self._refuse_classes(at, name, list(named), row)
            self.absent += 1
        numbers = [0.0] * len(self.order)
        for key, x in named.items():
            if not _is_number(x):
                self._refuse(at, name, f"must be a number for {key!r}", row)
            numbers[self.order[key]] = _float(x)
        return numbers

    def _refuse(self, at: int, name: str, rule: str, row: Row) -> None:
        value = _value(row, name)
        if value is _MISSING or value is None:
            raise DataError(
                f"{self.path}, {self.where(at)}, field {name!r}: the value is missing; --only {name} leaves such rows "
                "out"
            )
        _refuse_column(self, at, name, rule, json.dumps(value))

    def _refuse_classes(self, at: int, name: str, found: list[str], row: Row) -> None:
        known = listed(list(self.order))
        tell = [
            f"--only {key}={row[key]}"
            for key in ("question_key", "question", "id", "task", "dataset")
            if isinstance(row.get(key), str) and len(row[key]) < 60
        ]
        hint = f" If the file has several questions, name one: {tell[0]}." if tell else ""
        raise DataError(
            f"{self.path}, {self.where(at)}, field {name!r}: names the classes {listed(found)}, the first row {known}."
            f"{hint} If classes that are left out have probability 0, name all with --classes a,b,c"
        )

    # ---- labels and groups

    def text(self, name: str) -> Opened:
        known: dict[str, int] = {}
        blocks, numeric = [np.zeros(0, np.int64)], True
        for first, rows in tracked(self.blocks(), f"Reading {self.path.name}"):
            of_block = []
            for k, row in enumerate(rows):
                value = _value(row, name)
                if value is _MISSING or value is None:
                    self._refuse(first + k, name, "", row)
                if isinstance(value, dict | list):
                    return self.numbers([name])
                numeric = numeric and _is_number(value) and not isinstance(value, bool)
                of_block.append(known.setdefault(_text(value), len(known)))
            blocks.append(np.array(of_block, np.int64))
        codes, texts = np.concatenate(blocks), list(known)
        if numeric and texts:
            return Opened(_as_numbers(texts)[codes], names=[name])
        return Opened(codes, names=[name], texts=texts)

    def profile(self) -> list[tuple[str, str, "Facts | None"]]:
        return [(name, *self._profile_of(name)) for name in self.names]

    def _profile_of(self, name: str) -> tuple[str, "Facts | None"]:
        facts = Facts()
        try:
            for block in self.number_blocks([name]):
                facts = facts.and_of(block)
        except DataError:
            return "text, or not in every row", None
        return "float64", facts


def _has_failed(row: Row) -> bool:
    """Whether a row says that there is no answer; an error that is a number is a measurement."""
    error = row.get("error")
    return row.get("answer", "") is None or error is True or (bool(error) and not _is_number(error))


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float)


def _float(x: Any) -> float:
    try:
        return float(x)
    except OverflowError:
        return np.inf if x > 0 else -np.inf


def _as_numbers(texts: list[str]) -> Any:
    """Return integers, else floats."""
    values = [json.loads(text) for text in texts]
    whole = all(isinstance(x, int) and abs(x) < 2**62 for x in values)
    return np.array(values, np.int64) if whole else np.array(list(map(_float, values)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _value(row: Any, name: str) -> Any:
    """Return what a name leads to: a field of that name, or of an object in a field."""
    if not isinstance(row, dict):
        return _MISSING
    if name in row:
        return row[name]
    parts = name.split(".")
    for k in range(1, len(parts)):
        head = ".".join(parts[:k])
        if head in row:
            return _value(row[head], ".".join(parts[k:]))
    return _MISSING


def _by_name(row: Row, name: str, value: Any) -> dict[str, Any] | None:
    """Return numbers by the names of their classes, where they have names."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        head = name.rpartition(".")[0]
        for key in _NAMES_BESIDE:
            names = _value(row, f"{head}.{key}" if head else key)
            if (
                isinstance(names, list)
                and len(names) == len(value)
                and len({*map(_text, names)}) == len(names)
            ):
                return dict(zip(map(_text, names), value, strict=True))
    return None


def _fields(row: Row, before: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the names that lead to texts, numbers, and lists and objects of numbers."""
    for key, value in row.items():
        name = f"{before}{key}"
        if not isinstance(value, dict) or (value and all(map(_is_number, value.values()))):
            yield name
        elif depth < 5:
            yield from _fields(value, f"{name}.", depth + 1)
