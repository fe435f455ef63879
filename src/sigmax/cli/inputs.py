"""Logits, labels and groups of a model, from files: found, brought into rows and checked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .cluster import remote_rows
from .console import DataError, tracked
from .files import arrays, kind, open_file, parts
from .rows import row_blocks, spill
from .where import Options, Where, find_groups, find_labels, find_logits


@dataclass(frozen=True)
class Inputs:
    """The rows of one model, checked."""

    logits: Any  # (rows, classes), also where the file holds probabilities or one column
    labels: Any = None  # (rows,) class indices, or (rows, classes) distributions
    groups: Any = None  # (rows,) numbers
    classes: tuple[str, ...] = ()  # the names of the classes
    paths: tuple[Path, ...] = ()
    batch: tuple[int, ...] = ()  # the shape of the rows in the file

    @property
    def hard(self) -> bool:
        return bool(self.labels.ndim == 1)


def read_logits(path: Path, options: Options, classes: Sequence[str] = ()) -> Inputs:
    """Open logits that have no labels: of a table, the columns with the names of the classes if it has them."""
    if options.logits_key is None and classes and set(classes) <= set(arrays(path)):
        return _logits(Where(path, list(classes)), options)
    return _logits(find_logits(path, options, set()), options)


def read_inputs(path: Path, labels_path: Path | None, options: Options) -> Inputs:
    """Open logits with their labels and, where asked for, groups."""
    of_labels = find_labels(path, labels_path, options)
    of_groups = find_groups(path, of_labels.path, options.groups)
    beside = {n for w in (of_labels, of_groups) if w and w.path == path for n in w.names or ()}
    inputs = _logits(find_logits(path, options, beside), options)
    if len(inputs.logits) == 0:
        raise DataError(f"{path}: has no rows")
    labels = _labels(of_labels, inputs, options)
    groups = None if of_groups is None else _groups(of_groups, inputs)
    paths = dict.fromkeys(w.path for w in (Where(path), of_labels, of_groups) if w is not None)
    inputs = replace(inputs, labels=labels, groups=groups, paths=tuple(paths))
    _refuse_labels_of_masked_classes(inputs, of_labels, options)
    return inputs


# ---------------------------------------------------------------- logits


def _logits(where: Where, options: Options) -> Inputs:
    if options.remote and kind(where.path) == ".parquet":
        names, batch = where.names, (parts(where.path)[-1].stop,)
        array = np.empty((0, 0))  # the workers read it
    else:
        opened = open_file(where.path, where.names)
        array, names = opened.array, opened.names
        if array.ndim == 0 or 0 in array.shape[1:]:
            raise DataError(
                f"{where}: must have rows of one class at least, got shape {array.shape}"
            )
        batch = array.shape[: max(1, array.ndim - 1)]
    prepare = Preparation(str(where), batch, options.probabilities).logits
    if options.remote:
        logits = remote_rows(where.path, where.names, prepare)
    else:
        columns = array.shape[-1] if array.ndim > 1 else 1
        array = array.reshape(-1, columns)
        read = (prepare(array[rows], rows.start) for rows in row_blocks(array))
        blocks = tracked(read, f"Reading {where.path.name}", len(array))
        logits = (
            _used_up(blocks, array) if columns > 1 and not options.probabilities else spill(blocks)
        )
    classes = _class_names(options, names, logits.shape[1], where)
    return Inputs(logits, classes=classes, paths=(where.path,), batch=batch)


def _used_up(blocks: Iterator[Any], array: Any) -> Any:
    """Return the array itself once all its blocks are checked."""
    for _ in blocks:
        pass
    return array


@dataclass(frozen=True)
class Preparation:
    """What turns the numbers of a file into logits, and refuses rows which are not legal."""

    where: str
    batch: tuple[int, ...]
    probabilities: bool

    def logits(self, x: Any, first: int) -> Any:
        """Return logits of two or more classes: one column is the second of two classes, whose first is 0 or 1 − p."""
        x = x[:, None] if x.ndim == 1 else x
        if x.shape[1] == 1:
            x = np.concatenate([1.0 - x if self.probabilities else np.zeros_like(x), x], axis=1)
        if not self.probabilities:
            self._check_logits(x, first)
            return x
        self._check_probabilities(x, first)
        with np.errstate(divide="ignore"):
            return np.log(x, dtype=np.float64)

    def _check_logits(self, x: Any, first: int) -> None:
        if x.dtype.kind != "f":
            return
        # A comparison with NaN is false.
        self._require(x < np.inf, x, first, "logits must be numbers, or -inf for a masked class")
        top = x.max(axis=1)
        self._require(top > -np.inf, top, first, "logits must not all be -inf")

    def _check_probabilities(self, x: Any, first: int) -> None:
        with np.errstate(invalid="ignore"):
            self._require((x >= 0) & (x <= 1), x, first, "probabilities must be in [0, 1]")
        sums = x.sum(axis=1, dtype=np.float64)
        legal = np.abs(sums - 1.0) <= tolerance(x.dtype)
        self._require(legal, sums, first, "probabilities must sum to 1")

    def _require(self, legal: Any, values: Any, first: int, rule: str) -> None:
        if legal.all():
            return
        row, *column = (int(i) for i in np.unravel_index(int(np.argmin(legal)), legal.shape))
        at = place(first + row, self.batch) + (f", class {column[0]}" if column else "")
        raise DataError(f"{self.where}, {at}: {rule}, got {values[(row, *column)]:g}")


def tolerance(dtype: Any) -> float:
    """Return how far the sum of probabilities may be off: three digits of text, and what the type holds."""
    return max(1e-3, float(np.finfo(dtype).eps) ** 0.5) if dtype.kind == "f" else 1e-3


def place(row: int, batch: tuple[int, ...]) -> str:
    """Return the words for a row: its number, or its index where rows have several dimensions."""
    if len(batch) < 2:
        return f"row {row}"
    return f"row {tuple(int(i) for i in np.unravel_index(row, batch))}"


def _class_names(
    options: Options, columns: list[str] | None, count: int, where: Where
) -> tuple[str, ...]:
    if options.classes is None:
        if columns is not None and len(columns) == count:
            return tuple(columns)
        return tuple(map(str, range(count)))
    names = _listed_classes(options.classes)
    if len(names) != count or len(set(names)) != count:
        raise DataError(
            f"--classes must be {count} different names, one for each class of {where.path}, "
            f"got {len(names)}: {_some(names)}"
        )
    return names


def _listed_classes(classes: str) -> tuple[str, ...]:
    """Return the names in a file, one a line, or in a list with commas."""
    path = Path(classes)
    names = path.read_text("utf-8").splitlines() if path.is_file() else classes.split(",")
    return tuple(name.strip() for name in names)


# ---------------------------------------------------------------- labels


def _labels(where: Where, inputs: Inputs, options: Options) -> Any:
    rows, classes = inputs.logits.shape
    if options.remote and kind(where.path) == ".parquet" and len(where.names or ()) == classes:
        return remote_rows(where.path, where.names, Distributions(str(where), inputs.batch).labels)
    opened = open_file(where.path, where.names, text=True)
    labels = opened.array
    if labels.size == rows:
        labels = labels.reshape(-1)
    elif labels.ndim < 2 or labels.shape[-1] != classes or labels.size != rows * classes:
        raise DataError(
            f"{where}: must have {rows} labels, one for each row of logits, or {classes} for each, "
            f"got shape {labels.shape}"
        )
    if opened.texts is not None:
        return _indices_of_texts(labels, opened.texts, where, inputs)
    fractions = labels.dtype.kind == "f" and classes == 2 and not _whole(labels).all()
    if labels.ndim > 1 or fractions:
        check = Distributions(str(where), inputs.batch).labels
        if options.remote and kind(where.path) == ".npy":
            return remote_rows(where.path, where.names, check)
        labels = labels.reshape(rows, -1) if labels.ndim > 1 else labels
        return spill(check(labels[part], part.start) for part in row_blocks(labels))
    if labels.dtype.kind == "f":
        return _whole_indices(labels, where, inputs, options)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    return _in_range(labels, where, inputs, options)


def _indices_of_texts(codes: Any, texts: list[str], where: Where, inputs: Inputs) -> Any:
    index = {name: k for k, name in enumerate(inputs.classes)}
    of_text = np.array([index.get(text, -1) for text in texts], np.int64)
    labels = of_text[codes]
    if (labels < 0).any():
        row = int(np.argmax(labels < 0))
        raise DataError(
            f"{where}, {place(row, inputs.batch)}: no class {texts[codes[row]]!r}; the classes are "
            f"{_some(inputs.classes)}. Name them in the order of the logits with --classes"
        )
    return labels


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f", … ({len(names)} in all)" if len(names) > 10 else "")


def _whole(labels: Any) -> Any:
    with np.errstate(invalid="ignore"):
        return labels == np.floor(labels)


def _whole_indices(labels: Any, where: Where, inputs: Inputs, options: Options) -> Any:
    whole = _whole(labels) & np.isfinite(labels)
    if not whole.all():
        row = int(np.argmin(whole))
        raise DataError(
            f"{where}, {place(row, inputs.batch)}: labels must be whole numbers in "
            f"[0, {len(inputs.classes)}), got {labels[row]:g}"
        )
    return _in_range(labels.astype(np.int64), where, inputs, options)


def _in_range(labels: Any, where: Where, inputs: Inputs, options: Options) -> Any:
    legal = (labels >= 0) & (labels < len(inputs.classes))
    if options.ignore_index is not None:
        legal |= labels == options.ignore_index
    if not legal.all():
        row = int(np.argmin(legal))
        ignored = (
            "" if options.ignore_index is None else f" or {options.ignore_index}, which is ignored"
        )
        raise DataError(
            f"{where}, {place(row, inputs.batch)}: labels must be in [0, {len(inputs.classes)}){ignored}, "
            f"got {labels[row]}"
        )
    return np.asarray(labels)


@dataclass(frozen=True)
class Distributions:
    """What checks labels that are distributions; their sums become 1 to the last digit."""

    where: str
    batch: tuple[int, ...]

    def labels(self, q: Any, first: int) -> Any:
        precision = tolerance(q.dtype)
        q = np.asarray(q, np.float64)
        q = np.stack([1.0 - q, q], axis=1) if q.ndim == 1 else q
        sums = q.sum(axis=1, keepdims=True)
        legal = ((q >= 0) & (q <= 1) & (np.abs(sums - 1.0) <= precision)).all(axis=1)
        if legal.all():
            return q / sums
        row = int(np.argmin(legal))
        raise DataError(
            f"{self.where}, {place(first + row, self.batch)}: labels must be in [0, 1] and sum to 1, "
            f"got {_some([f'{x:g}' for x in q[row]])} with the sum {sums[row, 0]:g}"
        )


def _refuse_labels_of_masked_classes(inputs: Inputs, where: Where, options: Options) -> None:
    if options.remote:
        return  # the fit refuses them
    for rows in row_blocks(inputs.logits):
        x, y = inputs.logits[rows], inputs.labels[rows]
        masked = x == -np.inf
        if not masked.any():
            continue
        if inputs.hard:
            kept = y >= 0 if options.ignore_index is None else y != options.ignore_index
            wrong = kept & masked[np.arange(len(y)), np.where(kept, y, 0)]
        else:
            wrong = (masked & (y > 0)).any(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"{where}, {place(rows.start + row, inputs.batch)}: the label is of a masked class "
                "(logit -inf, probability 0)"
            )


def _groups(where: Where, inputs: Inputs) -> Any:
    opened = open_file(where.path, where.names, text=True)
    groups, batch = opened.array, inputs.batch
    if groups.shape != batch[: groups.ndim]:
        raise DataError(
            f"{where}: must have {batch[0]} groups, one for each row, got shape {groups.shape}"
        )
    spread = groups.reshape(groups.shape + (1,) * (len(batch) - groups.ndim))
    return np.unique(np.broadcast_to(spread, batch).reshape(-1), return_inverse=True)[1]
