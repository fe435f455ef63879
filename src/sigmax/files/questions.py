"""Many labels at once: files of (samples, labels), read as yes-or-no questions, a row for each label of each sample."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .blocks import row_blocks, spill
from .errors import DataError
from .find import Options, Where, find_beside, find_labels
from .inputs import Inputs, impossible_labels, place, read_logits, with_groups_and_weights
from .opening import open_file

ANSWERS = ("no", "yes")


def read_samples(
    path: Path, options: Options, labels: Sequence[str] = (), *, beside: Sequence[str] = ()
) -> Inputs:
    """Open logits or probabilities of many labels, as they are in the file: a row per sample, a column per label."""
    for name, given in (("normalize", options.normalize), ("scheduler", options.remote)):
        if given:
            raise DataError(f"--{name} cannot be combined with many labels")
    inputs = read_logits(path, replace(options, probabilities=False), labels, beside=beside)
    look, reading = inputs.look, inputs.reading
    assert look is not None
    assert reading is not None
    if len(look.whole) < 2:
        raise DataError(f"{path}: many labels are two columns or more; one is read without that")
    inside = look.low >= 0 and look.high <= 1
    if options.probabilities is None and inside:
        raise DataError(f"{path}: all numbers are in [0, 1]: say --probabilities or --logits")
    if options.probabilities and not inside:
        raise DataError(f"{path}: probabilities must be in [0, 1]")
    reading.what, reading.notices = "labels", []
    reading.why = f"numbers from {look.low:.4g} to {look.high:.4g}"
    reading.values = "probabilities" if options.probabilities else "logits"
    return replace(inputs, probabilities=bool(options.probabilities))


def two_columns(x: Any, probabilities: bool) -> Any:
    """Return the logits of no and yes of each of these logits, or probabilities of yes, in a last axis."""
    if not probabilities:
        return np.stack([np.zeros_like(x), x], axis=-1)
    with np.errstate(divide="ignore"):
        return np.log(np.stack([1 - x, x], axis=-1), dtype=np.float64)


def read_questions(
    path: Path, labels_path: Path | None, options: Options
) -> tuple[Inputs, tuple[str, ...]]:
    """Open logits with their labels: the rows of all questions, those of one sample together, and the labels' names."""
    where = find_labels(path, labels_path, options)
    of_groups, of_weights = (
        find_beside(path, where.path, key, option, options)
        for key, option in ((options.groups, "--groups"), (options.weights, "--weights"))
    )
    others = [w for w in (where, of_groups, of_weights) if w is not None]
    beside = [name for w in others if w.path == path for name in w.names or ()]
    samples = read_samples(path, options, beside=beside)
    x, count = samples.logits, samples.logits.shape[1]
    if len(x) == 0:
        raise DataError(f"{path}: has no rows")
    columns = (two_columns(x[rows], samples.probabilities) for rows in row_blocks(x))
    inputs = replace(
        samples,
        logits=spill(pairs.reshape(-1, 2) for pairs in columns),
        classes=ANSWERS,
        batch=(*samples.batch, count),
        paths=tuple(dict.fromkeys((path, *(w.path for w in others)))),
    )
    inputs = replace(inputs, labels=_labels(where, inputs, options))
    inputs = replace(inputs, impossible=impossible_labels(inputs, where, options))
    inputs = with_groups_and_weights(inputs, of_groups, of_weights, path, options)
    if inputs.groups is None:
        inputs = replace(inputs, groups=np.repeat(np.arange(len(x)), count))
    assert inputs.reading is not None
    inputs.reading.labels = where.path.name
    inputs.reading.label_form = f"0 or 1 for each of {count:,} labels"
    return inputs, samples.classes


def _labels(where: Where, inputs: Inputs, options: Options) -> Any:
    """Return the label of each question: 0 or 1, or (rows, 2) where some are in between."""
    labels, batch = open_file(where.path, where.names, how=options.how).array, inputs.batch
    if labels.ndim == len(batch) and options.axis != -1:
        labels = np.moveaxis(labels, options.axis, -1)
    if labels.shape != batch and labels.shape != (math.prod(batch[:-1]), batch[-1]):
        raise DataError(
            f"{where}: --multilabel needs a label for each of {' x '.join(map(str, batch))} logits, got shape "
            f"{tuple(labels.shape)}"
        )
    y = np.asarray(labels).reshape(-1)
    ignored = np.zeros(len(y), bool) if options.ignore_index is None else y == options.ignore_index
    legal = ((y >= 0) & (y <= 1)) | ignored
    if not legal.all():
        row = int(np.argmin(legal))
        more = "" if options.ignore_index is None else f" or {options.ignore_index}"
        raise DataError(
            f"{where}, {place(row, batch)}: labels must be in [0, 1]{more}, got {y[row]:g}"
        )
    if y.dtype.kind != "f" or (np.isin(y, (0.0, 1.0)) | ignored).all():
        return y.astype(np.int64)
    if ignored.any():
        raise DataError(
            f"{where}: --ignore-index needs labels that are 0 or 1, got {y[~np.isin(y, (0, 1))][0]:g}"
        )
    return np.stack([1.0 - y, y], axis=-1)
