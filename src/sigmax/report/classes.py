"""The table of the classes: how often each is right, and how honest its own probability is."""

from typing import Any

import numpy as np

from sigmax import softmax
from sigmax._rows import Chunk, rows
from sigmax._tables import bin_of


def per_class(names: tuple[str, ...], before: Any, after: Any) -> list[dict[str, Any]]:
    """Return a row for each class, the one with the largest error of its probability first."""
    columns = _columns(before)
    if after is not None:
        columns |= {
            f"{name}_after": column for name, column in _columns(after).items() if name != "rows"
        }
    order = np.argsort(-columns["ece_after" if after is not None else "ece"], kind="stable")
    return [
        {"name": names[k], "index": k, **{name: column[k] for name, column in columns.items()}}
        for k in order
    ]


def _columns(side: Any) -> dict[str, Any]:
    data = rows(
        side.logits, side.labels, -1, temperature=side.temperature, sample_weight=side.weights
    )
    number, count, winners, right, probability, gaps = data.sum(_sums, side.bins)
    total = count.sum()
    return {
        "rows": number,
        "recall": _ratio(right, count),
        "precision": _ratio(right, winners),
        "share": count / total,
        "probability": probability / total,
        "ece": np.abs(gaps).sum(axis=1) / total,
    }


def _sums(chunk: Chunk, bins: int) -> tuple[Any, ...]:
    """Return by class: rows, their weight, that of its wins and right wins, of its probability, and of gaps by bin."""
    x = chunk.logits.astype(np.float64, copy=False)
    p = softmax(x, temperature=chunk.temperature)
    n, classes = p.shape
    winner, w = x.argmax(axis=1), chunk.weight
    if chunk.soft is None:
        y = np.zeros_like(p)
        y[np.arange(n), chunk.index] = 1.0
    else:
        y = chunk.soft
    cell = np.arange(classes) * bins + bin_of(p, bins)
    gaps = np.bincount(cell.ravel(), (w[:, None] * (p - y)).ravel(), classes * bins)
    return (
        y.sum(axis=0),
        w @ y,
        np.bincount(winner, w, classes),
        np.bincount(winner, w * y[np.arange(n), winner], classes),
        w @ p,
        gaps.reshape(classes, bins),
    )


def _ratio(a: Any, b: Any) -> Any:
    return np.divide(a, b, out=np.full_like(a, np.nan), where=b > 0)
