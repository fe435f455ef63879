"""Rows of yes-or-no questions: their columns of one number each."""

from typing import Any

import numpy as np

from . import _rows
from ._rows import Chunk, Rows
from .elementwise import sigmoid


def questions(given: dict[str, Any]) -> Rows:
    """As `rows_of`, of one-dimensional logits, or of any with multilabel=True."""
    rows = _rows.rows_of(given)
    if not rows.binary:
        raise ValueError(
            "logits must be one-dimensional with as many labels, or pass multilabel=True, got shape "
            f"{(*rows.batch, rows.classes)}"
        )
    return rows


def columns(chunk: Chunk) -> tuple[Any, Any, Any]:
    """Return the logits of class 1, the labels and the weights."""
    y = chunk.index if chunk.soft is None else chunk.soft[:, 1]
    return logits_of(chunk), y.astype(np.float64), chunk.weight


def as_given(chunk: Chunk) -> tuple[Any, Any, Any]:
    """As `columns`, with the probabilities where they were given."""
    z, y, weight = columns(chunk)
    p = chunk.probabilities
    return z if p is None else p[:, 1].astype(np.float64), y, weight


def logits_of(chunk: Chunk) -> Any:
    z = chunk.logits[:, 1].astype(np.float64) - chunk.logits[:, 0]
    chunk.require(~np.isnan(z), "logits must not be NaN", z)
    return z


def scored(chunk: Chunk) -> tuple[Any, ...]:
    """Return scores that rank as given, probabilities at the temperature, labels, weights, and units."""
    score, y, weight = as_given(chunk)
    z = logits_of(chunk)
    if (
        chunk.probabilities is not None
        and np.ndim(chunk.temperature) == 0
        and chunk.temperature == 1
    ):
        p = score
    else:
        p = sigmoid(z / chunk.temperature)
    return (
        score if np.ndim(chunk.temperature) == 0 else z / chunk.temperature,
        p,
        y,
        weight,
        units(chunk),
    )


def units(chunk: Chunk) -> Any:
    """Return the names of the groups, or else the places of the rows."""
    return chunk.places if chunk.groups is None else np.asarray(chunk.groups)
