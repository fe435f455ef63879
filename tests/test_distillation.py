"""Distillation: every pair of options against the definition, its two parts, errors."""

from typing import Any

import numpy as np
import pytest
from loss_cases import (
    CLASS_WEIGHT,
    NAN,
    X,
    assert_close,
    batch,
    check,
    combinations,
    with_gradient,
)

import sigmax

every_distillation = pytest.mark.parametrize("o", combinations("distillation_loss"))


@every_distillation
def test_distillation_loss(o: dict[str, Any]) -> None:
    check("distillation_loss", "distillation_loss", o)


def test_distillation_without_a_teacher_is_cross_entropy() -> None:
    x, y, labels = batch(6, 5), batch(6, 5, name="teacher"), np.arange(6) % 5
    options = {"label_smoothing": 0.1, "class_weight": CLASS_WEIGHT, "reduction": "none"}
    result = with_gradient("distillation_loss", x, y, labels, alpha=0.0, temperature=3.0, **options)
    expected = with_gradient("cross_entropy", x, labels, **options)
    for a, b in zip(result, expected, strict=True):
        assert_close(a, b, 2)


def test_distillation_without_labels_is_a_divergence() -> None:
    x, y = batch(6, 5), batch(6, 5, name="teacher")
    result = with_gradient("distillation_loss", x, y, temperature=2.0)
    expected = with_gradient("kl_divergence", x, y, labels_from_logits=True, temperature=2.0)
    for a, b in zip(result, expected, strict=True):
        assert_close(a, 4 * b, 2)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X, X), {"alpha": 0.5}, "labels"),
        ((X, X[:1]), {}, "shape"),
        (
            (X, X, [0, 1, 2, 12]),
            {"alpha": 0.5},
            r"labels must be in \[0, 10\), got 12 at index \(3,\)",
        ),
        ((X, X, [0, 1, 2, 3]), {"alpha": 1.5}, "alpha"),
        ((X, X, [0, 1, 2, 3]), {"alpha": NAN}, "alpha"),
        ((X, X), {"temperature": 0.0}, "temperature must"),
    ],
)
def test_refused_by_distillation(arguments: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sigmax.distillation_loss(*arguments, **options)
