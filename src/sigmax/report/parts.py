"""The parts of a report beyond its first numbers: decisions, what the errors are made of, yes-or-no answers, slices.

What is drawn again and again, or fitted to, is computed of a random sample where there are very many rows.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sigmax import (
    Estimate,
    calibration_error,
    choose_threshold,
    conformal_sets,
    corp_curve,
    decompose,
    evaluate_binary,
    evaluate_by,
    risk_coverage,
)
from sigmax.files.blocks import select
from sigmax.files.inputs import Inputs

_ROWS, _NUMBERS = 200_000, 2**24  # of a sample
_POINTS = 200  # of a curve that is drawn
_ACCURACIES, _COVERAGES = (0.9, 0.95, 0.99), (0.5, 0.8, 0.9)
_RESAMPLES = 100  # of what is slow to resample
_FEWEST = 50  # rows that a threshold is chosen from and scored on


def parts(inputs: Inputs, for_fit: Any, before: Any, after: Any, choices: Any) -> dict[str, Any]:
    """Return the parts; `for_fit` are the rows of the fit, `before` and `after` the sides of the study."""
    count, classes = before.logits.shape
    rows = _some_of(np.ones(count, bool), classes, choices.seed)
    sides: dict[str, Any] = {"before": _Sample.of(before, rows, choices)}
    sides["after"] = None if after is None else _Sample.of(after, rows, choices)
    last = sides["after"] or sides["before"]
    binary = len(inputs.classes) == 2
    return {
        "rows": int(np.count_nonzero(rows)),
        "smooth_ece": _each(sides, _smooth_error),
        "decomposition": _each(sides, _decomposition),
        "corp": _each(sides, _corp),
        "decisions": _each(sides, _decisions),
        "sets": _sets(inputs, for_fit, last, choices),
        "binary": _each(sides, _binary) if binary else None,
        "thresholds": _thresholds(last, choices) if binary else None,
        "slices": None if before.by is None else _slices(sides, choices),
    }


def _each(sides: dict[str, Any], function: Any) -> dict[str, Any]:
    return {name: None if side is None else function(side) for name, side in sides.items()}


@dataclass
class _Sample:
    """Rows of a side, in memory."""

    side: Any
    logits: Any
    labels: Any
    options: dict[str, Any]  # temperature and weights
    groups: Any
    by: Any
    impossible: Any  # rows whose label has probability 0
    choices: Any

    @classmethod
    def of(cls, side: Any, chosen: Any, choices: Any) -> "_Sample":
        weights, groups, by, impossible = (
            None if x is None else x[chosen]
            for x in (side.weights, side.groups, side.by, side.impossible)
        )
        options = {"temperature": side.temperature, "sample_weight": weights}
        logits, labels = (np.asarray(select(x, chosen)) for x in (side.logits, side.labels))
        return cls(side, logits, labels, options, groups, by, impossible, choices)

    @property
    def how(self) -> dict[str, Any]:
        """The options of the bootstrap."""
        return {"confidence": self.choices.confidence, "seed": self.choices.seed}

    def questions(self) -> tuple[Any, Any]:
        """Return the logits of the second of two classes against the first, and its labels."""
        z = self.logits.astype(np.float64)
        labels = self.labels if self.labels.ndim == 1 else self.labels[:, 1]
        return np.where(z[:, 1] == z[:, 0], 0.0, z[:, 1] - z[:, 0]), labels


def _some_of(rows: Any, classes: int, seed: int) -> Any:
    """Return as many of the rows as a sample has, at random."""
    chosen = np.flatnonzero(rows)
    most = min(_ROWS, max(1, _NUMBERS // classes))
    if len(chosen) <= most:
        return rows
    result = np.zeros(len(rows), bool)
    result[np.random.default_rng([seed, 7]).permutation(chosen)[:most]] = True
    return result


def number(estimate: Estimate) -> dict[str, Any]:
    return estimate.to_dict()


# ---------------------------------------------------------------- what the errors are made of


def _smooth_error(sample: _Sample) -> float:
    side = sample.side
    options = {"temperature": side.temperature, "sample_weight": side.weights}
    return calibration_error(side.logits, side.labels, kind="smooth", **options)


def _decomposition(sample: _Sample) -> dict[str, Any]:
    weights, impossible = sample.options["sample_weight"], sample.impossible
    if impossible is not None:  # their loss is infinite: no temperature has a best one
        weights = np.where(impossible, 0.0, 1.0 if weights is None else weights)
    options = {**sample.options, "sample_weight": weights}
    left_out = 0 if impossible is None else int(np.count_nonzero(impossible))
    result: dict[str, Any] = {"left_out": left_out}
    for loss in ("nll", "brier"):
        found = decompose(
            sample.logits,
            sample.labels,
            loss=loss,
            resamples=_RESAMPLES,
            **options,
            **sample.how,
        )
        result[loss] = {**vars(found), "null_miscalibration": number(found.null_miscalibration)}
    return result


def _corp(sample: _Sample) -> dict[str, Any]:
    given = sample.questions() if sample.logits.shape[1] == 2 else (sample.logits, sample.labels)
    curve = corp_curve(*given, resamples=_RESAMPLES, **sample.options, **sample.how)
    return vars(curve)


# ---------------------------------------------------------------- decisions


def _decisions(sample: _Sample) -> dict[str, Any]:
    side = sample.side
    curve = risk_coverage(
        side.logits,
        side.labels,
        groups=side.groups,
        temperature=side.temperature,
        sample_weight=side.weights,
        confidence=sample.choices.confidence,
    )
    last = len(curve.coverage) - 1
    drawn = np.searchsorted(curve.coverage, np.linspace(1 / _POINTS, 1, _POINTS)).clip(0, last)
    drawn = np.unique(drawn)
    return {
        "aurc": number(curve.aurc),
        "excess": curve.excess,
        "auroc": number(curve.auroc),
        "accuracy_at": [{"coverage": c, **number(curve.accuracy_at(c))} for c in _COVERAGES],
        "coverage_at": [{"accuracy": a, **number(curve.coverage_at(a))} for a in _ACCURACIES],
        "coverage": curve.coverage[drawn],
        "accuracy": curve.accuracy[drawn],
        "confidence": curve.confidence[drawn],
    }


def _sets(inputs: Inputs, for_fit: Any, sample: _Sample, choices: Any) -> Any:
    """Return how large conformal sets are that the fit's rows make, and how often they have the label of test rows."""
    if not inputs.hard or not for_fit.any() or choices.method not in ("temperature", "none"):
        return None
    rows = _some_of(for_fit, inputs.logits.shape[1], choices.seed)
    logits, labels = (np.asarray(select(x, rows)) for x in (inputs.logits, inputs.labels))
    result = []
    for method in ("lac", "aps", "raps"):
        made = conformal_sets(
            logits,
            labels,
            method=method,
            coverage=choices.coverage,
            temperature=sample.options["temperature"],
            never_empty=choices.never_empty,
            seed=choices.seed,
        )
        found = made.measure(
            sample.logits, sample.labels, groups=sample.groups, confidence=choices.confidence
        )
        result.append(
            {
                "method": method,
                "promised": choices.coverage,
                "threshold": made.threshold,
                **{name: number(getattr(found, name)) for name in ("coverage", "size", "empty")},
                "worst": _worst(found, inputs.classes),
                "coverage_of_class": found.coverage_of_class,
                "interval_of_class": np.transpose(found.interval_of_class),
                "size_of_class": found.size_of_class,
            }
        )
    return result


def _worst(found: Any, names: Any) -> dict[str, Any]:
    """Return the class whose label is surely held least often: one of a single row says nothing."""
    k = int(np.argmin(found.interval_of_class[1]))
    return {"name": names[k], "coverage": float(found.coverage_of_class[k])}


# ---------------------------------------------------------------- yes-or-no answers


def _binary(sample: _Sample) -> dict[str, Any]:
    found = evaluate_binary(
        *sample.questions(),
        threshold=sample.choices.threshold,
        bins=sample.choices.bins,
        groups=sample.groups,
        **sample.options,
        **sample.how,
    )
    return found.to_dict()


def _thresholds(sample: _Sample, choices: Any) -> Any:
    """Return thresholds that one half of the test rows chooses and the other scores."""
    units = len(sample.logits) if sample.groups is None else len(np.unique(sample.groups))
    if len(sample.logits) < _FEWEST or units < 2:
        return None
    goals: list[dict[str, Any]] = [{"goal": "f1"}, {"goal": "cost", "costs": choices.costs}]
    result = []
    for goal in goals:
        found = choose_threshold(
            *sample.questions(),
            groups=sample.groups,
            resamples=_RESAMPLES,
            **goal,
            **sample.options,
            **sample.how,
        )
        scores = {name: number(x) for name, x in found.scores.items()}
        result.append({**vars(found), "costs": list(choices.costs), "scores": scores})
    return result


# ---------------------------------------------------------------- slices


def _slices(sides: dict[str, Any], choices: Any) -> list[dict[str, Any]]:
    """Return a row for each slice, the one that is surest to be dishonest first."""
    columns = {}
    for name, sample in sides.items():
        if sample is None:
            continue
        found = evaluate_by(
            sample.logits,
            sample.labels,
            sample.by,
            bins=choices.bins,
            groups=sample.groups,
            resamples=_RESAMPLES,
            **sample.options,
            **sample.how,
        )
        columns[name] = {s.name: s for s in found}
    last = columns["after" if "after" in columns else "before"]
    order = sorted(last, key=lambda name: (last[name].p_value, str(name)))
    return [
        {
            "name": str(name),
            "rows": columns["before"][name].rows,
            **{side: _of_slice(of[name]) for side, of in columns.items()},
        }
        for name in order
    ]


def _of_slice(s: Any) -> dict[str, Any]:
    numbers = {name: number(getattr(s, name)) for name in ("accuracy", "gap", "ece", "nll")}
    adjusted = s.adjusted if math.isfinite(s.adjusted) else None
    return {**numbers, "confidence": s.confidence, "p_value": s.p_value, "adjusted": adjusted}
