"""Fits of a method to rows: one for all of them, or one for each of many labels."""

from typing import Any

import numpy as np

from sigmax import fit_beta, fit_isotonic, fit_platt, fit_temperature, fit_vector_scaling
from sigmax.files.blocks import blocks_of
from sigmax.files.errors import DataError
from sigmax.files.inputs import Inputs

from .labels import Labels, PerLabel

_OF_QUESTIONS: dict[str, Any] = {
    "temperature": fit_temperature, "platt": fit_platt, "beta": fit_beta, "isotonic": fit_isotonic
}  # fmt: skip
_OF_CLASSES: dict[str, Any] = {"temperature": fit_temperature, "vector": fit_vector_scaling}
_FAR = 2.0**100  # beyond the logit of any probability between 0 and 1


def fitted(method: str, rows: Inputs, labels: Labels | None = None, **options: Any) -> Any:
    """Return the fit of these rows; with `labels`, that of each."""
    if labels is None and method in _OF_CLASSES:
        rows = rows.rows_to_fit()
        return _OF_CLASSES[method](rows.logits, rows.labels, sample_weight=rows.weights, **options)
    if method not in _OF_QUESTIONS:
        known = ", ".join(_OF_QUESTIONS)
        raise DataError(f"--per-label needs --method {known}, got {method}")
    if len(rows.classes) != 2:
        raise DataError(f"--method {method} is for two classes, got {len(rows.classes)}")
    z, kept = _questions(method, rows)
    y = np.asarray(rows.labels if rows.hard else rows.labels[:, 1])[kept]
    weights = None if rows.weights is None else rows.weights[kept]
    if labels is not None:
        return PerLabel(_OF_QUESTIONS[method], z, y, weights, labels.selected(kept), options)
    return _OF_QUESTIONS[method](z, y, sample_weight=weights, **options)


def _questions(method: str, rows: Inputs) -> tuple[Any, Any]:
    """Return the logits of yes against no, and which of the rows they are of."""
    z = differences(rows.logits)
    kept = np.ones(len(z), bool) if rows.impossible is None else ~rows.impossible
    if method == "isotonic":  # which knows the order of logits alone
        z = np.clip(z, -_FAR, _FAR)
    else:  # what is certain, and right, stays so
        kept &= np.isfinite(z)
    return z[kept], kept


def differences(logits: Any) -> Any:
    """Return the logits of the second class against the first."""
    return np.concatenate([x[:, 1].astype(np.float64) - x[:, 0] for x in blocks_of(logits)])
