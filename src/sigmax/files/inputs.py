"""Logits, labels, groups and weights of a model, from files: found, brought into rows, checked and described."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sigmax import softmax

from .blocks import each_block, row_blocks, select, spill
from .cluster import remote_looks, remote_rows
from .errors import DataError
from .find import (
    FIRST_AXIS,
    Options,
    Where,
    columns,
    find_beside,
    find_labels,
    find_rows,
    listed_classes,
)
from .jsonl import is_probabilities
from .look import Look, doubts_about_columns, doubts_about_values, look_at, together
from .opening import ARRAYS, TEXT, arrays, kind, open_file, parts
from .progress import tracked
from .reading import Reading

_ARROW = (".parquet", ".arrow")  # tables that workers read in parts
_SPREAD = 2.0**500  # of the logits of a row: squares can be added up
_MISSED = 0.02  # of the rows: as many may be expected of classes without a label


@dataclass(frozen=True)
class Inputs:
    """The rows of one model, checked."""

    logits: Any  # (rows, classes), also where the file holds probabilities or one column
    labels: Any = None  # (rows,) class indices, or (rows, classes) distributions
    groups: Any = None  # (rows,) numbers
    classes: tuple[str, ...] = ()  # the names of the classes
    paths: tuple[Path, ...] = ()
    batch: tuple[int, ...] = ()  # the shape of the rows in the file
    weights: Any = None  # (rows,)
    impossible: Any = None  # (rows,) of bool: the label has probability 0; None: none
    probabilities: bool = False  # whether the file holds them
    reading: Reading | None = None
    look: Look | None = field(default=None, repr=False)

    @property
    def hard(self) -> bool:
        return bool(self.labels.ndim == 1)

    def rows_to_fit(self) -> "Inputs":
        """Return the rows whose labels have a probability above 0: no calibration changes the others."""
        return self if self.impossible is None else self.selected(~self.impossible)

    def selected(self, kept: Any) -> "Inputs":
        """Return some of the rows."""
        beside: Any = {
            name: None if x is None else x[kept]
            for name in ("groups", "weights", "impossible")
            for x in [getattr(self, name)]
        }
        return replace(
            self, logits=select(self.logits, kept), labels=select(self.labels, kept), **beside
        )


def read_logits(
    path: Path,
    options: Options,
    classes: Sequence[str] = (),
    *,
    beside: Sequence[str] = (),
    settled: bool = True,
) -> Inputs:
    """Open logits that have no labels: of a table, the columns with the names of the classes if it has them.

    `beside` are columns that are something else, if there are any of these names.
    """
    names = set(arrays(path, options.how))
    if kind(path) == ".jsonl" and options.classes is None:
        options = replace(options, order=tuple(classes))
    if options.logits_key is None and classes and set(classes) <= names:
        where = Where(path, list(classes), named=True)
    else:
        where = find_rows(path, options, names & set(beside))
    inputs = _logits(where, options)
    _require_drops(options, path)
    doubt_columns(inputs, where, options, ())
    if settled and inputs.reading is not None:
        inputs.reading.settle()
    return inputs


def require_classes(path: Path, own: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse columns that are called otherwise than the classes, unless one of both is only numbered."""
    known = list(own) == list(classes) or len(own) != len(classes)
    if not known and _numbers(own) is None and _numbers(classes) is None:
        raise DataError(
            f"{path}: are its columns {_some(own)} the classes {_some(classes)}? "
            "Name them in that order with --logits-key"
        )


def read_inputs(
    path: Path,
    labels_path: Path | None,
    options: Options,
    *,
    labelled: bool = True,
    settled: bool = True,
) -> Inputs:
    """Open logits with their labels and, where asked for, groups and weights. What is doubtful is refused."""
    of_labels = find_labels(path, labels_path, options) if labelled else None
    second = path if of_labels is None else of_labels.path
    of_groups = find_beside(path, second, options.groups, "--groups", options)
    of_weights = find_beside(path, second, options.weights, "--weights", options)
    others = [w for w in (of_labels, of_groups, of_weights) if w is not None]
    beside = {n for w in others if w.path == path for n in w.names or ()}
    where = find_rows(path, options, beside)
    _require_drops(options, path, second)
    inputs = _logits(where, options)
    reading = inputs.reading
    assert reading is not None
    if len(inputs.logits) == 0:
        raise DataError(f"{path}: has no rows")
    paths = dict.fromkeys((path, *(w.path for w in others)))
    inputs = replace(inputs, paths=tuple(paths))
    inputs = with_groups_and_weights(inputs, of_groups, of_weights, path, options)
    if inputs.groups is None and len(inputs.batch) > 1:
        reading.remarks.append(
            f"Rows have the shape {inputs.batch} and count as independent; --groups {FIRST_AXIS} keeps those of one "
            "image or document together"
        )
    texts: Sequence[str] = ()
    if of_labels is not None:
        labels, form, texts = _labels(of_labels, inputs, options)
        inputs = replace(inputs, labels=labels)
        inputs = replace(inputs, impossible=impossible_labels(inputs, of_labels, options))
        _describe(reading, inputs, where, of_labels, form, options)
    doubt_columns(inputs, where, options, texts)
    if of_labels is not None and not reading.doubts:
        reading.doubts += _doubts_about_the_first_label(inputs, of_labels, options)
    if of_labels is not None and not reading.doubts:
        reading.doubts += _doubts_about_classes(inputs, of_labels, options)
    if settled:
        reading.settle()
    return inputs


def read_features(path: Path, options: Options) -> tuple[Any, tuple[int, ...], list[str]]:
    """Open rows of features; return them, the shape of the rows in the file, and how they were read."""
    where = find_rows(path, options, set(), "features")
    _require_drops(options, path)
    opened = _opened(where, options)
    x, names = opened.array, opened.names
    x = x[:, None] if x.ndim == 1 and names is not None else x
    if x.ndim < 2:
        raise DataError(f"{where}: must have rows of features, got shape {x.shape}")
    x = _classes_last(x, options, where)
    said = [f"Features: {_what(where, x.shape[-1], names, x)}."]
    if left_out := _left_out(where, options):
        said.append(f"Not read: {_some(left_out)}.")
    said += [f"{remark}." for remark in opened.remarks]
    return x.reshape(-1, x.shape[-1]), x.shape[:-1], said


# ---------------------------------------------------------------- logits


def _logits(where: Where, options: Options) -> Inputs:
    by_name = _named_probabilities(where, options)
    options = replace(options, probabilities=True) if by_name else options
    remarks: tuple[str, ...] = ()
    if options.remote and kind(where.path) in _ARROW:
        names, batch = where.names, (parts(where.path, where.names)[-1].stop,)
        array = np.empty((0, 0))  # the workers read it
    else:
        opened = _opened(where, options)
        array, names, remarks = opened.array, opened.names, opened.remarks
        if array.ndim == 0 or 0 in array.shape[1:]:
            raise DataError(
                f"{where}: must have rows of one class at least, got shape {array.shape}"
            )
        array = _classes_last(array, options, where)
        batch = array.shape[: max(1, array.ndim - 1)]
    text = kind(where.path) in TEXT
    prepare = Preparation(str(where), batch, bool(options.probabilities), options.normalize, text)
    if options.remote:
        looks = remote_looks(where.path, where.names, look_at)
        logits = remote_rows(where.path, where.names, prepare.logits)
        width = len(looks[0].whole)
    else:
        width = array.shape[-1] if array.ndim > 1 else 1
        looks, logits = _read(array, width, prepare, where)
    classes, source = class_names(options, names, logits.shape[1], where)
    look = together(looks) if looks else None
    reading = Reading(
        rows=len(logits),
        classes=logits.shape[1],
        logits=_what(where, width, names, array if array.size else None),
        values="probabilities" if options.probabilities else "logits",
        why=_why(look, options, by_name),
        class_names=source,
        names=classes,
        left_out=_left_out(where, options),
        remarks=list(remarks),
    )
    return Inputs(
        logits,
        classes=classes,
        paths=(where.path,),
        batch=batch,
        probabilities=bool(options.probabilities),
        reading=reading,
        look=look,
    )


def opened_array(where: Where, options: Options) -> tuple[Any, list[str] | None]:
    """Return an array as it is in the file, and the names of its columns."""
    opened = _opened(where, options)
    return opened.array, opened.names


def _opened(where: Where, options: Options) -> Any:
    try:
        opened = open_file(where.path, where.names, how=options.how)
        return replace(opened, array=_dropped(opened.array, options, where))
    except DataError as error:
        if "must be a number" in str(error) and not where.named and (where.names or [])[1:]:
            name = re.search(r"column ('.*?'|\".*?\")", str(error))
            hint = f"; --drop {name[1]} leaves the column out" if name else ""
            raise DataError(f"{error}{hint}") from error
        raise


def _read(array: Any, width: int, prepare: "Preparation", where: Where) -> tuple[list[Look], Any]:
    """Look at all rows and return logits: the array itself where it holds them."""
    looks: list[Look] = []
    if array.ndim < 3 or array.flags.c_contiguous:
        array = array.reshape(-1, width)
    else:
        array = spill(array[rows].reshape(-1, width) for rows in row_blocks(array))

    def blocks() -> Iterator[Any]:
        for rows in row_blocks(array):
            x = np.asarray(array[rows])
            looks.append(look_at(x))
            yield prepare.logits(x, rows.start)

    read = tracked(blocks(), f"Reading {where.path.name}", len(array))
    if width == 1 or prepare.probabilities:
        logits = spill(read)
        return looks, logits if len(logits) else np.empty((0, max(2, width)))
    for _ in read:
        pass
    return looks, array


def _dropped(array: Any, options: Options, where: Where) -> Any:
    """Return an array without the columns of --drop, which are numbers where they have no names."""
    if options.drop is None or kind(where.path) not in ARRAYS:
        return array
    try:
        dropped = {int(word) for word in options.drop.split(",")}
    except ValueError:
        dropped = {-1}
    if array.ndim != 2 or not dropped <= set(range(array.shape[1])):
        legal = (
            f"numbers of its columns, 0 to {array.shape[-1] - 1}" if array.ndim == 2 else "left out"
        )
        raise DataError(f"{where}: --drop must be {legal}, got {options.drop!r}")
    kept = [k for k in range(array.shape[1]) if k not in dropped]
    return (
        spill(array[rows][:, kept] for rows in row_blocks(array)) if len(array) else array[:, kept]
    )


def _classes_last(array: Any, options: Options, where: Where) -> Any:
    if options.axis in (-1, array.ndim - 1):
        return array
    if not -array.ndim <= options.axis < array.ndim:
        raise DataError(
            f"{where}: --axis must be in [{-array.ndim}, {array.ndim}), got {options.axis}"
        )
    if options.remote:
        raise DataError("--axis must be the last one with --scheduler")
    moved = np.moveaxis(array, options.axis, -1)
    return spill(moved[rows] for rows in row_blocks(moved)) if moved.size else moved


@dataclass(frozen=True)
class Preparation:
    """What turns the numbers of a file into logits, and refuses rows which are not legal."""

    where: str
    batch: tuple[int, ...]
    probabilities: bool
    normalize: bool = False
    text: bool = False

    def logits(self, x: Any, first: int) -> Any:
        """Return logits of two or more classes: one column is the second of two classes, whose first is 0 or 1 − p."""
        x = x[:, None] if x.ndim == 1 else x
        if not self.probabilities:
            if x.shape[1] == 1:
                x = np.concatenate([np.zeros_like(x), x], axis=1)
            self._check_logits(x, first)
            return x
        x = self._checked_probabilities(x, first)
        with np.errstate(divide="ignore"):
            return np.log(x, dtype=np.float64)

    def _check_logits(self, x: Any, first: int) -> None:
        if x.dtype.kind != "f":
            return
        # A comparison with NaN is false.
        self._require(x < np.inf, x, first, "logits must be numbers, or -inf for a masked class")
        top = x.max(axis=1)
        self._require(top > -np.inf, top, first, "logits must not all be -inf")
        if x.dtype.itemsize == 8:
            with np.errstate(over="ignore"):
                counted = x > np.finfo(x.dtype).min / 2  # which, as -inf, is how classes are masked
                spread = top - x.min(axis=1, where=counted, initial=np.inf)
            rule = "logits must be less than 2^500 apart in a row"
            self._require(spread < _SPREAD, spread, first, rule)

    def _checked_probabilities(self, x: Any, first: int) -> Any:
        """Return probabilities in [0, 1] that sum to 1; a single column is that of the second class."""
        most = tolerance(x.dtype, self.text)
        above = (x > 1) & (x <= 1 + most)  # by rounding
        x = np.where(above, x.dtype.type(1), x) if above.any() and not self.normalize else x
        if x.shape[1] == 1:
            self._require((x >= 0) & (x <= 1), x, first, _LEGAL, _LOGITS)
            one = x.dtype.type(1) if x.dtype.kind == "f" else 1.0
            return np.concatenate([one - x, x], axis=1)
        with np.errstate(invalid="ignore"):
            if self.normalize:
                self._require(
                    (x >= 0) & (x < np.inf), x, first, "probabilities must not be negative"
                )
            else:
                self._require((x >= 0) & (x <= 1), x, first, _LEGAL, _LOGITS)
        sums = x.sum(axis=1, dtype=np.float64)
        if self.normalize:
            self._require(sums > 0, sums, first, "probabilities must not all be 0")
            return x / sums[:, None]
        hint = f", not 1 within {most:.2g}; --normalize divides rows by their sum"
        self._require(np.abs(sums - 1.0) <= most, sums, first, "probabilities must sum to 1", hint)
        return x

    def _require(self, legal: Any, values: Any, first: int, rule: str, hint: str = "") -> None:
        if legal.all():
            return
        row, *column = (int(i) for i in np.unravel_index(int(np.argmin(legal)), legal.shape))
        at = place(first + row, self.batch) + (f", class {column[0]}" if column else "")
        raise DataError(f"{self.where}, {at}: {rule}, got {values[(row, *column)]:g}{hint}")


_LEGAL = "probabilities must be in [0, 1]"
_LOGITS = "; leave out --probabilities if these are logits"


def tolerance(dtype: Any, text: bool = False) -> float:
    """Return how far sums of probabilities may be off: as in the library, by their type; text is single precision."""
    if dtype.kind != "f":
        return 2.0**-26
    return float(np.finfo(np.float32 if text else dtype).eps ** 0.5)


def place(row: int, batch: tuple[int, ...]) -> str:
    """Return the words for a row: its number, or its index where rows have several dimensions."""
    if len(batch) < 2:
        return f"row {row}"
    return f"row {tuple(int(i) for i in np.unravel_index(row, batch))}"


def class_names(
    options: Options, columns: list[str] | None, count: int, where: Where
) -> tuple[tuple[str, ...], str]:
    """Return the names of the classes, and where they come from."""
    numbers = tuple(map(str, range(count)))
    if options.classes is None:
        if columns is not None and len(columns) == count:
            table = kind(where.path) != ".jsonl"
            return tuple(columns), "the names of the columns" if table else "as the file names them"
        return numbers, "numbered, as the file has no names for them"
    if re.fullmatch(r"\d+", options.classes.strip()):
        if int(options.classes) != count:
            raise DataError(
                f"{where.path}: has {count:,} classes, --classes says {options.classes}"
            )
        named = columns is not None and len(columns) == count
        return (tuple(columns or ()) if named else numbers), f"--classes {options.classes}"
    names = listed_classes(options.classes)
    if len(names) != count or len(set(names)) != count:
        raise DataError(
            f"--classes must be {count} different names, one for each class of {where.path}, "
            f"got {len(names)}: {_some(names)}"
        )
    return names, "--classes"


# ---------------------------------------------------------------- labels


def _labels(where: Where, inputs: Inputs, options: Options) -> tuple[Any, str, Sequence[str]]:
    """Return labels, their form in words, and the texts that they are in the file."""
    rows, classes = inputs.logits.shape
    form = options.labels_as
    if options.remote and kind(where.path) in _ARROW and len(where.names or ()) == classes:
        check = Distributions(str(where), inputs.batch, options.normalize).labels
        return remote_rows(where.path, where.names, check), "distributions", ()
    opened = open_file(where.path, where.names, text=True, how=options.how)
    labels = _labels_as_rows(opened.array, where, inputs, options)
    if opened.texts is not None:
        texts = _indices_of_texts(labels, opened.texts, where, inputs)
        return texts, f"{len(opened.texts):,} names of classes", opened.texts
    if classes == 2 and labels.ndim == 1 and labels.dtype.kind == "f" and form is None:
        form = "distributions" if not _whole(labels).all() else None
    if labels.ndim > 1 or form == "distributions":
        text = kind(where.path) in TEXT
        columns = where.names if where.names and len(where.names) > 1 and not where.named else []
        hint = f"; if one column has the labels, name it with --labels-key: {_some(columns)}"
        check = Distributions(
            str(where), inputs.batch, options.normalize, text, hint if columns else ""
        ).labels
        words = "distributions" if labels.ndim > 1 else f"probabilities of {inputs.classes[1]!r}"
        if options.remote and kind(where.path) in ARRAYS:
            return remote_rows(where.path, where.names, check), words, ()
        labels = labels.reshape(rows, -1) if labels.ndim > 1 else labels
        return spill(check(labels[part], part.start) for part in row_blocks(labels)), words, ()
    if labels.dtype.kind == "f":
        labels = _whole_indices(labels, where, inputs)
    return _indices(
        labels.astype(np.int64) if labels.dtype.kind in "bu" else labels, where, inputs, options
    )


def _labels_as_rows(labels: Any, where: Where, inputs: Inputs, options: Options) -> Any:
    rows, classes = inputs.logits.shape
    if labels.size == rows:
        return labels.reshape(-1)
    soft = labels.ndim > 1 and labels.size == rows * classes
    if soft and options.axis not in (-1, labels.ndim - 1) and options.axis < labels.ndim:
        return np.moveaxis(labels, options.axis, -1)
    if soft and labels.shape[-1] == classes:
        return labels
    hints = []
    if labels.ndim == 1 and labels.size == classes:
        hints.append("if the classes are along the first axis of the logits, say --axis 0")
    if labels.ndim == 1 and labels.size == rows + 1 and kind(where.path) == ".csv":
        hints.append(f"if the first line of {where.path.name} is a name, say --header")
    if labels.ndim == 1 and labels.size == rows - 1 and kind(where.path) == ".csv":
        hints.append(
            "if the first line of a file is a name, or is none, say --header or --no-header"
        )
    if where.names and len(where.names) > 1:
        hints.append(f"name the column of the labels with --labels-key: {_some(where.names)}")
    raise DataError(
        f"{where}: must have {rows} labels, one for each row of logits, or {classes} for each, "
        f"got shape {labels.shape}" + "".join(f"; {hint}" for hint in hints)
    )


def _indices_of_texts(codes: Any, texts: list[str], where: Where, inputs: Inputs) -> Any:
    index = {name: k for k, name in enumerate(inputs.classes)}
    if inputs.classes == ("0", "1") and set(texts) <= {"false", "true"}:
        index = {"false": 0, "true": 1}  # of one probability
    of_text = np.array([index.get(text, -1) for text in texts], np.int64)
    labels = of_text[codes]
    if (labels < 0).any():
        row = int(np.argmax(labels < 0))
        text = texts[codes[row]]
        alike = [name for name in inputs.classes if name.strip().lower() == text.strip().lower()]
        hint = (
            f"It differs from {alike[0]!r} in case or spaces: names must be equal"
            if alike
            else "Name them in the order of the logits with --classes"
        )
        raise DataError(
            f"{where}, {place(row, inputs.batch)}: no class {text!r}; the classes are "
            f"{_some(inputs.classes)}. {hint}"
        )
    return labels


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f", … ({len(names)} in all)" if len(names) > 10 else "")


def _whole(labels: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return labels == np.floor(labels)


def _whole_indices(labels: Any, where: Where, inputs: Inputs) -> Any:
    whole = _whole(labels) & (np.abs(labels) < 2**62)
    if not whole.all():
        row = int(np.argmin(whole))
        raise DataError(
            f"{where}, {place(row, inputs.batch)}: labels must be whole numbers in "
            f"[0, {len(inputs.classes)}), got {labels[row]:g}"
        )
    return labels.astype(np.int64)


def _indices(
    labels: Any, where: Where, inputs: Inputs, options: Options
) -> tuple[Any, str, Sequence[str]]:
    """Return whole numbers as class indices, which they are unless they are names or count from 1."""
    classes = len(inputs.classes)
    kept = (
        np.ones(len(labels), bool)
        if options.ignore_index is None
        else labels != options.ignore_index
    )
    present = np.unique(labels[kept])
    numbers = _numbers(inputs.classes)
    named = numbers is not None and set(present.tolist()) <= set(numbers)
    form = options.labels_as
    if form is None and named and numbers != list(range(classes)):
        if _are_indices(present, classes) and inputs.reading is not None:
            inputs.reading.doubts.append(
                f"{where}: are the labels {_some([str(k) for k in present])} indices, or names, as the classes are "
                f"called {_some(inputs.classes)}? Say --labels-as indices or --labels-as names"
            )
        else:
            form = "names"
    if form == "names":
        if not named:
            raise DataError(
                f"{where}: --labels-as names: labels must be of {_some(inputs.classes)}"
            )
        place_of = {number: k for k, number in enumerate(numbers or ())}
        indices = np.array([place_of[n] for n in present.tolist()], np.int64)
        found = np.full(
            len(labels), -1 if options.ignore_index is None else options.ignore_index, np.int64
        )
        found[kept] = indices[np.searchsorted(present, labels[kept])]
        return found, "numbers that are names of classes", [str(n) for n in present.tolist()]
    if form == "indices-from-1":
        labels = np.where(kept, labels - 1, labels)
    words = f"class indices{' that count from 1' if form == 'indices-from-1' else ''}"
    return _in_range(labels, kept, where, inputs, options), words, ()


def _are_indices(present: Any, classes: int) -> bool:
    return len(present) == 0 or bool(present[0] >= 0 and present[-1] < classes)


def _numbers(names: Sequence[str]) -> list[int] | None:
    """Return names as whole numbers, if they are such."""
    return [int(x) for x in names] if all(re.fullmatch(r"-?\d{1,15}", x) for x in names) else None


def _in_range(labels: Any, kept: Any, where: Where, inputs: Inputs, options: Options) -> Any:
    classes = len(inputs.classes)
    legal = ((labels >= 0) & (labels < classes)) | ~kept
    if legal.all():
        return np.asarray(labels)
    row = int(np.argmin(legal))
    ignored = (
        "" if options.ignore_index is None else f" or {options.ignore_index}, which is ignored"
    )
    present, wrong = np.unique(labels[kept]), np.unique(labels[~legal])
    hint = ""
    if classes == 2 and present.tolist() == [-1, 1]:
        hint = "; labels that are -1 and 1 are read with --classes=-1,1"
    elif present[0] == 1 and present[-1] == classes and options.labels_as is None:
        hint = "; no label is 0: if they count from 1, say --labels-as indices-from-1"
    elif len(wrong) == 1 and wrong[0] < 0:
        hint = f"; if {wrong[0]} marks rows to leave out, say --ignore-index={wrong[0]}"
    raise DataError(
        f"{where}, {place(row, inputs.batch)}: labels must be in [0, {classes}){ignored}, "
        f"got {labels[row]}{hint}"
    )


@dataclass(frozen=True)
class Distributions:
    """What checks labels that are distributions; their sums become 1 to the last digit."""

    where: str
    batch: tuple[int, ...]
    normalize: bool = False
    text: bool = False
    hint: str = ""

    def labels(self, q: Any, first: int) -> Any:
        precision = tolerance(q.dtype, self.text)
        q = np.asarray(q, np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            q = np.stack([1.0 - q, q], axis=1) if q.ndim == 1 else q
            sums = q.sum(axis=1, keepdims=True)
            near = (
                (sums > 0) & (sums < np.inf) if self.normalize else np.abs(sums - 1.0) <= precision
            )
            legal = ((q >= 0) & ((q <= 1) | self.normalize) & near).all(axis=1)
        if legal.all():
            return q / sums
        row = int(np.argmin(legal))
        raise DataError(
            f"{self.where}, {place(first + row, self.batch)}: labels must be in [0, 1] and sum to 1 within "
            f"{precision:.2g} (--normalize divides them by their sum), "
            f"got {_some([f'{x:g}' for x in q[row]])} with the sum {sums[row, 0]:g}{self.hint}"
        )


def impossible_labels(inputs: Inputs, where: Where, options: Options) -> Any:
    """Return which rows have a label of probability 0. A label whose logit is -inf is refused."""

    def of_block(x: Any, y: Any) -> Any:
        # The smallest number of a type masks, as in the library.
        least = np.finfo(x.dtype).min / 2 if x.dtype.kind == "f" else -np.inf
        masked = x <= least
        if not masked.any():
            return np.zeros(len(x), bool)
        if y.ndim > 1:
            return (masked & (y > 0)).any(axis=1)
        kept = y >= 0 if options.ignore_index is None else y != options.ignore_index
        return kept & masked[np.arange(len(y)), np.where(kept, y, 0)]

    found = np.concatenate(each_block(of_block, inputs.logits, inputs.labels))
    if not found.any():
        return None
    if not inputs.probabilities:
        raise DataError(
            f"{where}, {place(int(np.argmax(found)), inputs.batch)}: the label is of a masked class "
            "(logit -inf, probability 0)"
        )
    return found


# ---------------------------------------------------------------- groups and weights


def with_groups_and_weights(
    inputs: Inputs, of_groups: Where | None, of_weights: Where | None, path: Path, options: Options
) -> Inputs:
    """Return the rows with their groups and weights, where these are given."""
    groups = None if of_groups is None else _groups(of_groups, inputs, options)
    weights = None if of_weights is None else _weights(of_weights, inputs, options)
    said = (("groups", of_groups), ("weights", of_weights))
    beside = {name: str(where) for name, where in said if where is not None}
    if options.groups == FIRST_AXIS:
        groups = _groups_of_first_axis(inputs, path)
        beside["groups"] = f"{inputs.batch[0]:,}, by the first axis"
    assert inputs.reading is not None
    inputs.reading.beside = beside
    return replace(inputs, groups=groups, weights=weights)


def _groups(where: Where, inputs: Inputs, options: Options) -> Any:
    groups = open_file(where.path, where.names, text=True, how=options.how).array
    return np.unique(_of_rows(groups, where, inputs, "groups"), return_inverse=True)[1]


def _of_rows(values: Any, where: Where, inputs: Inputs, what: str) -> Any:
    """Return a value for each row, of which there is one in the file, or one for each of the first dimensions."""
    batch = inputs.batch
    whole = values.size == math.prod(batch)
    if not whole and values.shape != batch[: values.ndim]:
        raise DataError(
            f"{where}: must have {batch[0]} {what}, one for each row, got shape {values.shape}"
        )
    values = values.reshape(batch if whole else values.shape + (1,) * (len(batch) - values.ndim))
    return np.broadcast_to(values, batch).reshape(-1)


def _groups_of_first_axis(inputs: Inputs, path: Path) -> Any:
    if len(inputs.batch) < 2:
        raise DataError(
            f"{path}: --groups {FIRST_AXIS} needs rows of two dimensions or more, as (documents, tokens), got "
            f"the shape {inputs.batch}"
        )
    return np.repeat(np.arange(inputs.batch[0]), math.prod(inputs.batch[1:]))


def _weights(where: Where, inputs: Inputs, options: Options) -> Any:
    weights = open_file(where.path, where.names, how=options.how).array
    weights = _of_rows(np.asarray(weights), where, inputs, "weights").astype(np.float64)
    legal = (weights >= 0) & (weights < np.inf)
    if not legal.all():
        row = int(np.argmin(legal))
        raise DataError(
            f"{where}, {place(row, inputs.batch)}: weights must be finite and not negative, got {weights[row]:g}"
        )
    if not weights.any():
        raise DataError(f"{where}: weights must not all be 0")
    return weights


# ---------------------------------------------------------------- the description, and what is doubtful


def _what(where: Where, width: int, names: list[str] | None, array: Any) -> str:
    """Return which file, and what in it."""
    if names is not None and kind(where.path) != ".jsonl":
        return f"{width:,} columns of {where.path.name} ({_some(names)})"
    inside = f" of {where.path.name}"
    shape = "" if array is None else f", shape {tuple(array.shape)}, {array.dtype}"
    return f"{where.names[0]}{inside}{shape}" if where.names else f"{where.path.name}{shape}"


def _named_probabilities(where: Where, options: Options) -> str | None:
    """Return the name of a field that says probabilities; that they are is checked as with --probabilities."""
    if options.probabilities is None and kind(where.path) == ".jsonl" and where.names is not None:
        named = len(where.names) == 1 and is_probabilities(where.names[0])
        return f"named {where.names[0]!r}" if named else None
    return None


def _why(look: Look | None, options: Options, by_name: str | None) -> str:
    if look is None:
        return "no rows to tell by"
    seen = f"numbers from {look.low:.4g} to {look.high:.4g}"
    if options.probabilities:
        return (
            f"{by_name or '--probabilities'}; rows sum to {look.sums[0]:.6g} to {look.sums[1]:.6g}"
            + (", normalised" if options.normalize else "")
        )
    sums = "sum to 1, or nearly" if 2 * look.distributions > look.rows else "do not sum to 1"
    given = "; --logits" if options.probabilities is not None else ""
    return f"{seen}, and rows {sums}{given}"


def _left_out(where: Where, options: Options) -> tuple[str, ...]:
    if kind(where.path) == ".npy":
        return () if options.drop is None else tuple(options.drop.split(","))
    read = set(where.names or ())
    return tuple(name for name in arrays(where.path, options.how) if name not in read)


def _require_drops(options: Options, *paths: Path) -> None:
    """Refuse names of --drop that no table has."""
    tables = [path for path in paths if kind(path) not in ARRAYS]
    if options.drop is None or not tables:
        return
    known = {name for path in tables for name in arrays(path, options.how)}
    found = {
        name
        for path in tables
        for name in columns(path, options.drop, "--drop", options, may_miss=True)
    }
    missing = sorted(found - known)
    if missing or not found:
        what = missing[0] if missing else options.drop
        raise DataError(f"{tables[0]}: --drop: no column {what!r}; it has {_some(sorted(known))}")


def doubt_columns(inputs: Inputs, where: Where, options: Options, texts: Sequence[str]) -> None:
    """Note in the description what is doubtful about columns and values of the logits."""
    look, reading = inputs.look, inputs.reading
    if look is None or reading is None:
        return
    if options.classes is None and not (where.named and where.names and len(where.names) > 1):
        names = where.names if len(where.names or ()) == len(look.whole) else None
        reading.doubts += doubts_about_columns(look, names, str(where), texts)
    if (
        options.probabilities is False
        and 2 * look.distributions > look.rows
        and look.low < look.high
    ):
        reading.notices.append(
            "The numbers are read as logits, as --logits says, but they look like probabilities: "
            f"{look.distributions:,} of {look.rows:,} rows are in [0, 1] and sum to 1, or nearly. If they are "
            "probabilities, everything below is wrong: say --probabilities."
        )
    if options.probabilities is None and not inputs.probabilities and not reading.doubts:
        name = where.names[0] if where.names and len(where.names) == 1 else None
        reading.doubts += doubts_about_values(look, str(where), name)


def _describe(
    reading: Reading, inputs: Inputs, where: Where, of_labels: Where, form: str, options: Options
) -> None:
    """Say in the description what the labels are."""
    reading.labels = str(of_labels.path.name) + (
        f": {_some(of_labels.names)}" if of_labels.names else ""
    )
    reading.label_form = form
    if of_labels.path == where.path:
        own = set(of_labels.names or ())
        reading.left_out = tuple(name for name in reading.left_out if name not in own)
    if inputs.hard:
        kept = _kept(inputs, options)
        present = np.bincount(inputs.labels[kept], minlength=len(inputs.classes)) > 0
        reading.empty_classes = tuple(
            name for name, there in zip(inputs.classes, present, strict=True) if not there
        )
        if not kept.all():
            reading.label_form += f", {np.count_nonzero(~kept):,} rows are ignored"
    if inputs.impossible is not None:
        count = int(np.count_nonzero(inputs.impossible))
        reading.remarks.append(
            f"{count:,} {'label has' if count == 1 else 'labels have'} probability 0: their loss is infinite"
        )


def _kept(inputs: Inputs, options: Options) -> Any:
    labels = np.asarray(inputs.labels)
    if options.ignore_index is None:
        return np.ones(len(labels), bool)
    return labels != options.ignore_index


def _doubts_about_classes(inputs: Inputs, where: Where, options: Options) -> list[str]:
    """Return a sentence if classes without a label have more of the probability than chance leaves to them."""
    if not inputs.hard or options.classes is not None:
        return []
    kept, labels = _kept(inputs, options), np.asarray(inputs.labels)
    counts = np.bincount(labels[kept], minlength=len(inputs.classes))
    missing = counts == 0
    if options.ignore_index is not None and 0 <= options.ignore_index < len(counts):
        missing[options.ignore_index] = False
    present, rows = np.count_nonzero(~missing), int(counts.sum())
    if not missing.any() or present < 2:
        return []
    mass = sum(each_block(_mass, inputs.logits, kept))
    expected = float(mass[missing].sum())
    by_chance = 2.0 * np.count_nonzero(counts == 1)  # Good and Turing: about what is still unseen
    if expected <= _MISSED * rows + by_chance or expected < 3:
        return []
    classes = len(counts)
    names = [name for name, there in zip(inputs.classes, ~missing, strict=True) if not there]
    pairs = present * (present - 1) // 2
    why = (
        f"; {classes} = {present}·{present - 1}/2 is the number of pairs, as an SVC's scores one against one have"
        if classes == pairs and classes > present
        else ""
    )
    first = (
        "; if they count from 1, say --labels-as indices-from-1"
        if missing[0] and not where.names
        else ""
    )
    doubt = (
        f"{where}: are there {classes:,} classes? No label is {_some(names)}, of which the model expects "
        f"{expected:,.0f} of {rows:,} rows{why}: say --classes {classes} if there are{first}, or leave out columns "
        "that are no classes with --drop"
    )
    return [doubt]


def _mass(x: Any, kept: Any) -> Any:
    """Return the sum of the probabilities of each class."""
    return softmax(np.asarray(x)[kept].astype(np.float64)).sum(axis=0)


def _doubts_about_the_first_label(inputs: Inputs, where: Where, options: Options) -> list[str]:
    """Return a sentence if labels would be right far more often if they counted from 1."""
    if not inputs.hard or options.labels_as is not None or options.classes is not None:
        return []
    kept, labels = _kept(inputs, options), np.asarray(inputs.labels)
    counts = np.bincount(labels[kept], minlength=len(inputs.classes))
    if counts[0] or np.count_nonzero(counts) < 2 or inputs.reading is None:
        return []
    if "numbers" in str(inputs.reading.label_form) or "names" in str(inputs.reading.label_form):
        return []
    as_is, shifted, rows = (
        sum(x) for x in zip(*each_block(_right, inputs.logits, labels, kept), strict=True)
    )
    if shifted - as_is <= 0.1 * rows + 3 * math.sqrt(rows):
        return []
    doubt = (
        f"{where}: do the labels count from 1? None is 0, and the most likely class is right in {as_is / rows:.0%} of "
        f"the rows as they are, in {shifted / rows:.0%} if they count from 1: say --labels-as indices-from-1 or "
        "--labels-as indices"
    )
    return [doubt]


def _right(x: Any, labels: Any, kept: Any) -> tuple[int, int, int]:
    winner, labels = np.asarray(x).argmax(axis=1)[kept], labels[kept]
    return (
        int(np.count_nonzero(winner == labels)),
        int(np.count_nonzero(winner == labels - 1)),
        len(labels),
    )
