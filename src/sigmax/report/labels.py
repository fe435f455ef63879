"""Many labels at once: each of a sample's labels is a yes-or-no question."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmax import evaluate_binary, sigmoid
from sigmax._intervals import error_of_numbered, of_logit, of_ratio
from sigmax._ranking import Order

_RESAMPLES = 100  # of a label's calibration error


@dataclass(frozen=True)
class Labels:
    """Which label each question is about, and of which sample."""

    of: Any
    sample: Any
    names: tuple[str, ...]

    @classmethod
    def of_questions(cls, count: int, names: tuple[str, ...]) -> "Labels":
        """Return those of so many questions, the labels of a sample one after the other."""
        sample, of = np.divmod(np.arange(count, dtype=np.int32), len(names))
        return cls(of, sample, names)

    def selected(self, kept: Any) -> "Labels":
        return Labels(self.of[kept], self.sample[kept], self.names)


class PerLabel:
    """A fit for each label; a label without a best one keeps its probabilities."""

    def __init__(
        self, make: Any, z: Any, y: Any, weights: Any, labels: Labels, options: dict[str, Any]
    ) -> None:
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
        p = sigmoid(z)
        for k, fit in enumerate(self.fits):
            own = of == k
            if fit.status == "ok" and own.any():
                p[own] = fit.apply(z[own])
        return p

    def described(self) -> dict[str, Any]:
        some = [fit for fit in self.fits if fit.rows]
        total = sum(fit.rows for fit in some)
        means = {
            "nll_before": sum(fit.nll_before * fit.rows for fit in some) / total,
            "nll_after": sum(_nll_after(fit) * fit.rows for fit in some) / total,
        }
        fits = [{"name": n, **vars(fit)} for n, fit in zip(self.names, self.fits, strict=True)]
        beside = {"status": self.status, "message": self.message, "rows": self.rows}
        return {**beside, **means, "iterations": 0, "labels": fits}


def _nll_after(fit: Any) -> float:
    """Return the loss of a label, which without a fit stays as it is."""
    return float(fit.nll_after if fit.status == "ok" else fit.nll_before)


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
    z, y = _questions(side, own)
    found = evaluate_binary(
        z,
        y,
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


def _questions(side: Any, own: Any) -> tuple[Any, Any]:
    """Return the logits of yes against no of some rows, and their labels."""
    x = np.asarray(side.logits[own]).astype(np.float64)
    y = np.asarray(side.labels[own])
    with np.errstate(invalid="ignore"):
        z = np.where(x[:, 1] == x[:, 0], 0.0, x[:, 1] - x[:, 0])
    return z, y if y.ndim == 1 else y[:, 1]


def jointly(
    rows: list[dict[str, Any]], labels: Labels, before: Any, after: Any, choices: Any
) -> dict[str, Any]:
    """Return what labels have together: means over them, and the share of samples of which all are right."""
    result = {}
    for name, side in (("before", before), ("after", after)):
        if side is not None:
            errors = [row[name]["ece"]["value"] for row in rows]
            result[name] = {
                **_means(labels, side, choices),
                "ece": float(np.mean(errors)),
                "all_right": all_right(labels, side, choices),
            }
    return result


def _means(labels: Labels, side: Any, choices: Any) -> dict[str, Any]:
    """Return means over the labels, whose intervals know that labels of one sample are not independent."""
    _, unit = np.unique(side.groups, return_inverse=True)
    units = int(unit.max()) + 1
    found: dict[str, list[Any]] = {"roc_auc": [], "average_precision": [], "f1": []}
    for k in range(len(labels.names)):
        own = np.flatnonzero(labels.of == k)
        if not len(own):
            continue
        z, y = _questions(side, own)
        weight = np.ones(len(own)) if side.weights is None else side.weights[own]
        order = Order.of(z, y, weight, unit[own], choices.confidence)
        yes = sigmoid(z / side.temperature) >= choices.threshold
        value, influence, count = _f1(weight, y, yes)
        if not np.isnan(value):
            found["f1"].append((value, np.bincount(unit[own], influence, units), count))
        for name in ("roc_auc", "average_precision"):
            number = order.area() if name == "roc_auc" else order.average_precision()
            if not np.isnan(number.value):
                by_unit = np.zeros(units)
                by_unit[order.names] = order.by_unit(number)
                found[name].append((number.value, by_unit, number.count))
    return {name: _mean(of, choices.confidence) for name, of in found.items()}


def _f1(weight: Any, y: Any, yes: Any) -> tuple[float, Any, float]:
    """Return the F1 of answers, what each row adds to it, and how many rows it rests on."""
    part, whole = 2 * weight * y * yes, weight * (y + yes)
    total = whole.sum()
    if not total > 0:
        return float("nan"), part, 0.0
    value = float(part.sum() / total)
    return value, (part - value * whole) / total, total


def _mean(of: list[Any], confidence: float) -> dict[str, Any]:
    if not of:
        return {"value": float("nan"), "interval": [float("nan")] * 2}
    values, influences, counts = zip(*of, strict=True)
    influence, value = np.mean(influences, axis=0), float(np.mean(values))
    error, units = error_of_numbered(influence, np.arange(len(influence)))
    return {
        "value": value,
        "interval": list(of_logit(value, error, sum(counts), confidence, units)),
    }


def all_right(labels: Labels, side: Any, choices: Any) -> dict[str, Any]:
    """Return the share of the samples of which all labels are right."""
    if np.ndim(side.labels) > 1:
        return {"value": float("nan"), "interval": [float("nan")] * 2}
    x = np.asarray(side.logits).astype(np.float64)
    right = (sigmoid((x[:, 1] - x[:, 0]) / side.temperature) >= choices.threshold) == side.labels
    _, first, of = np.unique(labels.sample, return_index=True, return_inverse=True)
    every = np.bincount(of, ~right) == 0
    weight = np.ones(len(first))
    if side.weights is not None:
        weight = np.bincount(of, side.weights) / np.bincount(of)
    share, interval = of_ratio(every * weight, weight, side.groups[first], choices.confidence)
    return {"value": share, "interval": list(interval)}
