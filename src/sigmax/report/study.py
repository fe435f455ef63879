"""The numbers of a report: fit on one half of the rows, test on the other, compare."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from sigmax import (
    calibration_error,
    cross_entropy,
    evaluate,
    softmax,
)
from sigmax import reliability_curve as curve_of
from sigmax.files.blocks import blocks_of, each_block, scaled, select, spill
from sigmax.files.errors import DataError
from sigmax.files.inputs import Inputs
from sigmax.files.progress import progress

from .classes import per_class
from .fits import differences, fitted
from .labels import Labels, PerLabel, jointly, per_label
from .parts import parts
from .result import Data, Judged, Split
from .verdict import verdict

_SAMPLE = 2**20  # logits that the temperature curve is drawn from
_POINTS = 41


@dataclass(frozen=True)
class Choices:
    """How the study is made."""

    method: str = "temperature"  # or "vector" or "none"
    seed: int = 0
    bins: int = 15
    confidence: float = 0.95
    resamples: int = 1000
    label_smoothing: float | Literal["laplace"] = 0.0
    ignore_index: int | None = None
    threshold: float = 0.5  # of yes-or-no answers
    costs: tuple[float, float] = (1.0, 1.0)  # of a false yes and of a false no
    coverage: float = 0.9  # of conformal sets
    never_empty: bool = False
    per_label: bool = False  # a fit for each of many labels


def study(inputs: Inputs, choices: Choices, by: Any = None, labels: Labels | None = None) -> Judged:
    """Return all numbers of the report, in types that JSON has.

    `by` has the slice of each row, `labels` the label that it is about where a sample has many.
    """
    kept = _kept(inputs, choices.ignore_index)
    for_fit = _half(kept, inputs.groups, choices.seed)
    if choices.method == "none":
        for_fit[:] = False
    with progress("Fitting", 6) as advance:
        fit = _fit(inputs, for_fit, choices, labels)
        advance(1)
        for_test = kept & ~for_fit
        test = inputs.selected(for_test)
        before = _Side(test, 1.0, choices, None if by is None else by[for_test])
        advance(2)
        of_test = None if labels is None else labels.selected(for_test)
        after = None
        if fit is not None and fit.status == "ok":
            after = _calibrated(fit, before, test, choices, of_test)
        advance(2)
        result: Any = {
            "reading": None if inputs.reading is None else inputs.reading.to_dict(),
            "data": _data(inputs, kept, test),
            "split": _split(inputs.groups, for_fit, for_test),
            "options": vars(choices),
            "fit": None if fit is None else _described(fit, choices.method),
            "before": before.numbers(),
            "after": after and after.numbers(),
            "difference": after and _difference(before, after),
            "reliability": {"before": before.curve(), "after": after and after.curve()},
            "temperature_curve": _temperature_curve(before, fit, choices.seed),
            "per_class": per_class(inputs.classes, before, after),
            "labels": None if of_test is None else _labels(of_test, before, after, choices),
            "parts": parts(inputs, for_fit, before, after, choices),
        }
        advance(1)
    return {"verdict": verdict(result), **jsonable(result)}  # type: ignore[typeddict-item]


# ---------------------------------------------------------------- halves


def _kept(inputs: Inputs, ignore_index: int | None) -> Any:
    kept = np.ones(len(inputs.labels), bool) if inputs.weights is None else inputs.weights > 0
    if ignore_index is None:
        return kept
    if not inputs.hard:
        raise DataError("--ignore-index needs labels that are class indices, got distributions")
    return kept & np.asarray(inputs.labels != ignore_index)


def _half(kept: Any, groups: Any, seed: int) -> Any:
    """Return which rows the fit gets: a random half of them, or of whole groups that have about half of them."""
    sizes = kept if groups is None else np.bincount(groups, kept)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(sizes))
    if len(order) < 2:
        what = "rows" if groups is None else "groups of rows"
        raise DataError(
            f"the report needs two {what} at least, one to fit and one to test, got {len(order)}"
        )
    chosen = np.zeros(len(sizes), bool)
    chosen[order[: _nearest_to_half(np.cumsum(sizes[order]))]] = True
    return kept & (chosen if groups is None else chosen[groups])


def _nearest_to_half(reached: Any) -> int:
    """Return how many of the sizes, of which these are the cumulative sums, come nearest to half; never all."""
    half = reached[-1] / 2
    k = min(int(np.searchsorted(reached, half)), len(reached) - 2)
    return k if k > 0 and half - reached[k - 1] <= reached[k] - half else k + 1


def _data(inputs: Inputs, kept: Any, test: Inputs) -> Data:
    return {
        "rows": len(kept),
        "ignored": int(np.count_nonzero(~kept)),
        "impossible": 0 if test.impossible is None else int(np.count_nonzero(test.impossible)),
        "weighted": inputs.weights is not None,
        "classes": len(inputs.classes),
        "class_names": list(inputs.classes),
        "labels": "class indices" if inputs.hard else "distributions",
    }


def _split(groups: Any, for_fit: Any, for_test: Any) -> Split:
    of_fit, of_test = (int(np.count_nonzero(rows)) for rows in (for_fit, for_test))
    if groups is None:
        return {"fit": of_fit, "test": of_test, "groups": None}
    fit_groups, test_groups = (len(np.unique(groups[rows])) for rows in (for_fit, for_test))
    return {"fit": of_fit, "test": of_test, "groups": {"fit": fit_groups, "test": test_groups}}


# ---------------------------------------------------------------- before and after


def _labels(labels: Labels, before: Any, after: Any, choices: Choices) -> dict[str, Any]:
    rows = per_label(labels, before, after, choices)
    return {
        "samples": len(np.unique(labels.sample)),
        "count": len(labels.names),
        "rows": rows,
        "jointly": jointly(rows, labels, before, after, choices),
    }


def _fit(inputs: Inputs, rows: Any, choices: Choices, labels: Labels | None) -> Any:
    if choices.method == "none":
        return None
    options: dict[str, Any] = {"label_smoothing": choices.label_smoothing}
    if choices.method == "temperature":
        options["confidence"] = choices.confidence
    of_labels = labels.selected(rows) if labels is not None and choices.per_label else None
    return fitted(choices.method, inputs.selected(rows), of_labels, **options)


class _Side:
    """The test rows with some calibration: the logits and the temperature that are evaluated."""

    def __init__(self, rows: Inputs, temperature: float, choices: Choices, by: Any = None) -> None:
        self.logits, self.labels, self.temperature = rows.logits, rows.labels, temperature
        self.groups, self.by = rows.groups, by
        self.weights, self.impossible = rows.weights, rows.impossible
        self.bins, self.confidence = choices.bins, choices.confidence
        options: dict[str, Any] = {
            "temperature": temperature,
            "sample_weight": rows.weights,
            "bins": choices.bins,
            "confidence": choices.confidence,
        }
        self.evaluation = evaluate(
            rows.logits,
            rows.labels,
            resamples=choices.resamples,
            groups=rows.groups,
            seed=choices.seed,
            **options,
        )
        self.reliability = curve_of(rows.logits, rows.labels, **options)

    def numbers(self) -> dict[str, Any]:
        counts, confidence = self.reliability.count, self.reliability.confidence
        if self.weights is not None:
            counts, confidence = (
                self.weights,
                np.concatenate(each_block(self._confidence, self.logits)),
            )
        mean = np.sum(counts * np.nan_to_num(confidence)) / np.sum(counts)
        return {**self.evaluation.to_dict(), "mean_confidence": mean}

    def _confidence(self, x: Any) -> Any:
        return softmax(x, temperature=self.temperature).max(axis=1).astype(np.float64)

    def curve(self) -> dict[str, Any]:
        curve = self.reliability
        return {
            "lower": curve.lower,
            "upper": curve.upper,
            "count": curve.count,
            "confidence": curve.confidence,
            "accuracy": curve.accuracy,
            "interval": np.transpose(curve.interval),
        }


def _calibrated(
    fit: Any, before: _Side, test: Inputs, choices: Choices, labels: Labels | None
) -> _Side:
    if isinstance(fit, PerLabel) and labels is not None:
        p = fit.apply(differences(test.logits), labels.of)
        return _Side(replace(test, logits=logits_of(p)), 1.0, choices, before.by)
    if choices.method == "temperature":
        return _Side(test, fit.temperature, choices, before.by)
    if choices.method == "vector":
        logits = scaled(test.logits, fit.scale, fit.bias)
    else:
        logits = spill(columns_of(fit, x) for x in blocks_of(test.logits))
    return _Side(replace(test, logits=logits), 1.0, choices, before.by)


def columns_of(fit: Any, x: Any) -> Any:
    """Return the logits of two classes that have the probabilities of a fit of yes-or-no questions."""
    return logits_of(fit.apply(x[:, 1].astype(np.float64) - x[:, 0]))


def logits_of(p: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.stack([1 - p, p], axis=-1))


def _difference(before: _Side, after: _Side) -> dict[str, Any]:
    """Return after less before, over the same resamples of the same rows."""
    difference = after.evaluation.difference(before.evaluation)
    return {
        name: {"value": float(estimate), "interval": estimate.interval}
        for name, estimate in difference.items()
    }


def _described(fit: Any, method: str) -> dict[str, Any]:
    return {"method": method, **(fit.described() if isinstance(fit, PerLabel) else vars(fit))}


def _temperature_curve(before: _Side, fit: Any, seed: int) -> dict[str, Any]:
    """Return NLL and ECE of the test rows, or of a sample of them, against the temperature."""
    rows, classes = before.logits.shape
    most = max(1, _SAMPLE // classes)
    chosen = np.zeros(rows, bool)
    possible = np.arange(rows) if before.impossible is None else np.flatnonzero(~before.impossible)
    chosen[np.random.default_rng(seed).permutation(possible)[:most]] = True
    weights = None if before.weights is None else before.weights[chosen]
    if not chosen.any() or (weights is not None and not weights.any()):
        return {"rows": 0, "temperature": [], "nll": [], "ece": []}
    logits = np.asarray(select(before.logits, chosen))
    labels = np.asarray(select(before.labels, chosen))
    middle = getattr(fit, "temperature", 1.0)
    middle = middle if 0 < middle < math.inf else 1.0
    low, high = min(1.0, middle) / 3, max(1.0, middle) * 3
    temperatures = np.geomspace(low, high, _POINTS)
    return {
        "rows": len(logits),
        "temperature": temperatures,
        "nll": [
            float(
                np.average(
                    cross_entropy(logits, labels, temperature=t, reduction="none"), weights=weights
                )
            )
            for t in temperatures
        ],
        "ece": [
            calibration_error(
                logits, labels, temperature=t, bins=before.bins, sample_weight=weights
            )
            for t in temperatures
        ],
    }


# ---------------------------------------------------------------- conditions


def named_numbers(result: Judged) -> dict[str, tuple[float, Any]]:
    """Return the numbers that conditions may name, with their intervals: as the model is, and after calibration."""
    found = _numbers_of(result, "before")
    if result["options"]["method"] == "none":
        return found
    nothing = dict.fromkeys(found, (math.nan, None))  # of a fit that has found no calibration
    after = nothing if result["after"] is None else _numbers_of(result, "after")
    found |= {f"after_{name}": after[name] for name in tuple(found)}
    for name in _CHANGES:
        difference = result["difference"]
        found[f"change_{name}"] = (math.nan, None) if difference is None else told(difference[name])
    if result["options"]["method"] == "temperature" and "labels" not in (result["fit"] or {}):
        fit: Any = result["fit"]
        found["temperature"] = told({"value": fit["temperature"], "interval": fit["interval"]})
    return found


_CHANGES = (
    "accuracy", "nll", "brier", "ece", "adaptive_ece", "classwise_ece", "mce", "debiased_ece"
)  # fmt: skip
_ANSWERS = ("roc_auc", "average_precision", "precision", "recall", "specificity", "f1")


def _numbers_of(result: Judged, side: Literal["before", "after"]) -> dict[str, tuple[float, Any]]:
    of: Any = result[side]
    found = {name: told(of[name]) for name in (*_CHANGES, "null_ece")}
    if of["nll"]["value"] is None and result["data"]["impossible"]:
        found["nll"] = (math.inf, None)
    parts = result["parts"]
    found["mean_confidence"] = told({"value": of["mean_confidence"]})
    found["smooth_ece"] = told({"value": parts["smooth_ece"][side]})
    for name in ("aurc", "auroc"):
        found[name] = told(parts["decisions"][side][name])
    if result["labels"] is not None:
        found["all_right"] = told(result["labels"]["jointly"][side]["all_right"])
    if parts["binary"] is not None:
        found |= {name: told(parts["binary"][side][name]) for name in _ANSWERS}
    return found


def told(of: Any) -> tuple[float, Any]:
    """Return a number, NaN where there is none, and its interval, if it has one."""
    value, interval = of["value"], of.get("interval", [None])
    return math.nan if value is None else value, None if None in interval else interval


def jsonable(value: Any) -> Any:
    """Return a value in types that JSON has; what is not finite is None."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
