"""Distillation: every pair of options against the definition, its two parts, limits, errors."""

from typing import Any

import numpy as np
import pytest
from accuracy_cases import as_float, generator
from kernel_inputs import TYPES
from layouts import class_axis_first, same
from loss_cases import (
    CLASS_WEIGHT,
    INF,
    NAN,
    X,
    assert_close,
    batch,
    check,
    combinations,
    every_type,
    with_gradient,
)

import sigmax

# Rows in lanes, whole rows, rows in chunks.
every_length = pytest.mark.parametrize("classes", [2, 10, 32, 33, 100, 1000, 70_001])

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


# ---------------------------------------------------------------- class indices: one kernel for both parts


def case(classes: int, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
    """Students, of which some are close to their teacher or confident, class indices, an option of every kind."""
    seeded = generator("distillation", classes, dtype)
    x, y = 3 * seeded.normal(0, 1, (2, 8, classes))
    y[1], y[2] = x[1] + 1e-2 * y[1], x[2]
    x[3:5, 0] += 60
    labels = seeded.integers(0, classes, 8)
    labels[3:5] = 0, classes - 1
    options = {
        "temperature": seeded.uniform(0.5, 3, 8),
        "sample_weight": seeded.uniform(0, 2, 8),
        "class_weight": seeded.uniform(0, 2, classes),
        "alpha": 0.25,
    }
    return x.astype(TYPES[dtype]), y.astype(TYPES[dtype]), labels, options


def assert_sum_of_parts(
    result: Any,
    x: np.ndarray,
    y: np.ndarray,
    labels: np.ndarray,
    *,
    temperature: Any,
    sample_weight: Any,
    alpha: float,
    class_weight: Any = None,
    where: Any = None,
) -> None:
    """`result` is the losses of rows and the gradient of their sum: those of the other losses in float64, added."""
    wide, options = as_float(x), {"where": where, "reduction": "none"}
    soft = with_gradient(
        "kl_divergence",
        wide,
        as_float(y),
        labels_from_logits=True,
        temperature=temperature,
        sample_weight=alpha * temperature**2 * sample_weight,
        **options,
    )
    hard = with_gradient(
        "cross_entropy",
        wide,
        labels,
        class_weight=class_weight,
        sample_weight=(1 - alpha) * sample_weight,
        **options,
    )
    size = np.maximum(*(np.abs(part[1]).max(axis=1, keepdims=True) for part in (soft, hard)))
    with np.errstate(all="ignore"):
        value, gradient = ((a + b).astype(x.dtype) for a, b in zip(soft, hard, strict=True))
    assert_close(result[0], value, 3)
    assert_close(result[1], gradient, 3, size)


@every_type
@every_length
def test_class_indices_are_the_sum_of_both_parts(classes: int, dtype: str) -> None:
    x, y, labels, options = case(classes, dtype)
    result = with_gradient("distillation_loss", x, y, labels, reduction="none", **options)
    assert_sum_of_parts(result, x, y, labels, **options)


@every_type
@every_length
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_class_indices_and_one_hot_rows_agree(reduction: str, classes: int, dtype: str) -> None:
    x, y, labels, options = case(classes, dtype)
    options |= {"reduction": reduction, "ignore_index": int(labels[7])}
    hot = np.arange(classes) == labels[:, None]
    value, gradient = with_gradient("distillation_loss", x, y, labels, **options)
    other, other_gradient = with_gradient("distillation_loss", x, y, hot, **options)
    assert same(value, sigmax.distillation_loss(x, y, labels, **options))
    assert_close(value, other, 3)
    assert_close(gradient, other_gradient, 3, np.abs(as_float(gradient)).max())


@every_type
@every_length
def test_masked_classes_and_ignored_rows(classes: int, dtype: str) -> None:
    x, y, labels, options = case(classes, dtype)
    options["where"] = mask = generator("mask", classes).random(x.shape) < 0.7
    mask[np.arange(8), labels] = True
    mask[5], mask[6, labels[6]] = False, False
    x[~mask], y[~mask] = NAN, NAN
    x[7], labels[7] = NAN, -1
    result = with_gradient(
        "distillation_loss", x, y, labels, reduction="none", ignore_index=-1, **options
    )
    assert (as_float(result[1])[~mask] == 0).all()
    x[7], labels[7], options["sample_weight"][7] = 0, 0, 0
    assert_sum_of_parts(result, x, y, labels, **options)


@pytest.mark.parametrize("classes", [3, 33, pytest.param(70_001, marks=pytest.mark.slow)])
@pytest.mark.parametrize("alpha", [0.25, 0.0])
@pytest.mark.parametrize("teacher", [-INF, 0.0, INF, NAN])
@pytest.mark.parametrize("student", [-INF, 0.0, INF, NAN])
@pytest.mark.parametrize("at", ["label", "other", "all", "all but the label"])
def test_limits(at: str, student: float, teacher: float, alpha: float, classes: int) -> None:
    x, y, labels, options = case(classes, "float64")
    label = np.arange(classes) == labels[:, None]
    other = np.arange(classes) == ((labels + 1) % classes)[:, None]
    chosen = {"label": label, "other": other, "all": True, "all but the label": ~label}[at]
    x, y = np.where(chosen, student, x), np.where(chosen, teacher, y)
    options["sample_weight"][1:4] = 0, -1, 0
    options |= {"alpha": alpha, "class_weight": np.arange(classes) % 3 / 2}
    result = with_gradient("distillation_loss", x, y, labels, reduction="none", **options)
    assert_sum_of_parts(result, x, y, labels, **options)


@every_type
@every_length
def test_no_bit_depends_on_layout_place_threads_or_batch(classes: int, dtype: str) -> None:
    x, y, labels, options = case(classes, dtype)
    options["normalizer"] = 1.0
    value, gradient = with_gradient("distillation_loss", x, y, labels, **options)
    columns = class_axis_first(x), class_axis_first(y)
    again = with_gradient("distillation_loss", *columns, labels, **options)
    assert same(again[0], value)
    assert same(again[1], gradient)
    before = sigmax.get_num_threads()
    try:
        for threads in (1, 2):
            sigmax.set_num_threads(threads)
            place = x.copy()
            again = with_gradient("distillation_loss", place, y, labels, out=place, **options)
            assert same(again[0], value)
            assert same(place, gradient)
    finally:
        sigmax.set_num_threads(before)
    for i in range(len(x)):
        own = {name: options[name][i] for name in ("temperature", "sample_weight")}
        alone = with_gradient("distillation_loss", x[i], y[i], labels[i], **options | own)
        assert same(alone[1], gradient[i])


def test_labels_of_no_share_are_checked_and_unused() -> None:
    x, y, labels, options = case(10, "float64")
    options["alpha"] = 1.0
    result = with_gradient("distillation_loss", x, y, labels, **options)
    with pytest.raises(ValueError, match="labels must be in"):
        sigmax.distillation_loss(x, y, labels + 10, **options)
    del options["class_weight"]
    expected = with_gradient("distillation_loss", x, y, **options)
    assert all(same(a, b) for a, b in zip(result, expected, strict=True))


# ---------------------------------------------------------------- errors


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
