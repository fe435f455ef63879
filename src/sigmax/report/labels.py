"""Many labels at once: each of a sample's labels is a yes-or-no question, and its questions are drawn together."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sigmax import evaluate_binary
from sigmax.files.blocks import row_blocks, spill
from sigmax.files.errors import DataError
from sigmax.files.inputs import Inputs

_RESAMPLES = 100  # of a label's calibration error
ANSWERS = ("no", "yes")


@dataclass(frozen=True)
class Labels:
    """Which label each question is about."""

    of: Any
    names: tuple[str, ...]

    def selected(self, kept: Any) -> "Labels":
        return replace(self, of=self.of[kept])


def questions(inputs: Inputs, labels: Any, where: Path) -> tuple[Inputs, Labels]:
    """Return the rows of all questions, and the label that each is about, of (samples, labels)."""
    x = inputs.logits
    if labels.shape != x.shape:
        raise DataError(
            f"{where}: --multilabel needs a label for each of {x.shape[0]} x {x.shape[1]} logits, got shape "
            f"{tuple(labels.shape)}"
        )
    samples, count = x.shape
    flat = spill(_two_columns(np.asarray(x[rows])) for rows in row_blocks(x))
    y = np.asarray(labels).reshape(-1)
    if y.dtype.kind == "f" and np.isin(y, (0.0, 1.0)).all():
        y = y.astype(np.int64)
    if y.dtype.kind == "f":
        y = np.stack([1.0 - y, y], axis=-1)
    legal = (y >= 0) & (y <= 1)
    if not legal.all():
        row = int(np.argmin(legal.reshape(samples, -1).all(axis=1)))
        raise DataError(f"{where}, row {row}: labels must be in [0, 1], got {y[~legal].flat[0]:g}")
    groups = np.arange(samples) if inputs.groups is None else inputs.groups
    rows = replace(
        inputs,
        logits=flat,
        labels=y.astype(np.int64) if y.ndim == 1 else y,
        groups=np.repeat(groups, count),
        weights=None if inputs.weights is None else np.repeat(inputs.weights, count),
        classes=ANSWERS,
    )
    return rows, Labels(np.tile(np.arange(count), samples), inputs.classes)


def _two_columns(x: Any) -> Any:
    z = x.reshape(-1, 1)
    return np.concatenate([np.zeros_like(z), z], axis=1)


class PerLabel:
    """A fit for each label; a label without a best one keeps its probabilities."""

    def __init__(self, make: Any, z: Any, y: Any, labels: Labels, options: dict[str, Any]) -> None:
        weights = options.pop("sample_weight", None)
        self.names, self.fits = labels.names, []
        for k in range(len(labels.names)):
            own = labels.of == k
            beside = {"sample_weight": None if weights is None else weights[own]}
            self.fits.append(make(z[own], y[own], **beside, **options))
        self.rows = len(z)
        found = [fit for fit in self.fits if fit.status == "ok"]
        self.status = "ok" if found else self.fits[0].status
        without = [self.names[k] for k, fit in enumerate(self.fits) if fit.status != "ok"]
        self.message = f"A fit for each of {len(self.fits)} labels{_but(without)}."
        if not found:
            self.message = self.fits[0].message

    def apply(self, z: Any, of: Any) -> Any:
        p = 1.0 / (1.0 + np.exp(-z))
        for k, fit in enumerate(self.fits):
            own = of == k
            if fit.status == "ok" and own.any():
                p[own] = fit.apply(z[own])
        return p

    def described(self) -> dict[str, Any]:
        total = sum(fit.rows for fit in self.fits) or 1
        means = {
            name: sum(getattr(fit, name) * fit.rows for fit in self.fits if fit.status == "ok")
            / total
            for name in ("nll_before", "nll_after")
        }
        fits = [{"name": n, **vars(fit)} for n, fit in zip(self.names, self.fits, strict=True)]
        beside = {"status": self.status, "message": self.message, "rows": self.rows}
        return {**beside, **means, "iterations": 0, "labels": fits}


def _but(names: list[str]) -> str:
    """Return which labels have no fit, in words."""
    if not names:
        return ""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f", but none for {', '.join(names[:5])}{more}"


# ---------------------------------------------------------------- the table


def per_label(labels: Labels, before: Any, after: Any, choices: Any) -> list[dict[str, Any]]:
    """Return a row for each label, the one with the largest error of its probability first."""
    rows = []
    for k, name in enumerate(labels.names):
        own = np.flatnonzero(labels.of == k)
        if not len(own):
            continue
        sides = {"before": before, "after": after}
        found = {
            side: None if of is None else _numbers(of, own, choices) for side, of in sides.items()
        }
        rows.append({"name": name, "index": k, "rows": len(own), **found})
    last = "before" if after is None else "after"
    return sorted(rows, key=lambda row: -row[last]["ece"]["value"])


def _numbers(side: Any, own: Any, choices: Any) -> dict[str, Any]:
    x = np.asarray(side.logits[own]).astype(np.float64)
    labels = np.asarray(side.labels[own])
    with np.errstate(invalid="ignore"):
        z = np.where(x[:, 1] == x[:, 0], 0.0, x[:, 1] - x[:, 0])
    found = evaluate_binary(
        z,
        labels if labels.ndim == 1 else labels[:, 1],
        threshold=choices.threshold,
        temperature=side.temperature,
        sample_weight=None if side.weights is None else side.weights[own],
        groups=None if side.groups is None else side.groups[own],
        confidence=choices.confidence,
        bins=choices.bins,
        resamples=_RESAMPLES,
        seed=choices.seed,
    ).to_dict()
    return {name: x for name, x in found.items() if name not in ("curve", "roc")}


def jointly(
    rows: list[dict[str, Any]], before: Any, after: Any, threshold: float
) -> dict[str, Any]:
    """Return what labels have together: means over them, and the share of samples of which all are right."""
    result = {}
    for name, side in (("before", before), ("after", after)):
        if side is not None:
            result[name] = {
                **_means([row[name] for row in rows]),
                "all_right": all_right(side, threshold),
            }
    return result


def _means(rows: list[dict[str, Any]]) -> dict[str, float]:
    names = ("roc_auc", "average_precision", "f1", "ece")
    columns = {name: np.array([row[name]["value"] for row in rows], float) for name in names}
    return {
        name: float(x[~np.isnan(x)].mean()) if (~np.isnan(x)).any() else float("nan")
        for name, x in columns.items()
    }


def all_right(side: Any, threshold: float) -> float:
    """Return the share of the samples of which all labels are right."""
    if np.ndim(side.labels) > 1:
        return float("nan")
    x = np.asarray(side.logits).astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        p = 1.0 / (1.0 + np.exp(-(x[:, 1] - x[:, 0]) / side.temperature))
    right = (p >= threshold) == (np.asarray(side.labels) == 1)
    _, of = np.unique(side.groups, return_inverse=True)
    return float((np.bincount(of, ~right) == 0).mean())
