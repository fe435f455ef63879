"""Labels: one_hot and smooth_labels against their definitions, what the losses do with them, errors."""

from typing import Any

import numpy as np
import pytest
import reference
from kernel_inputs import TYPES
from layouts import same
from loss_cases import (
    CLASSES,
    CONTRACT,
    HARD,
    HIDDEN,
    HOT,
    NAN,
    PRIOR,
    assert_close,
    batch,
    changed,
    every_type,
    with_gradient,
)

import sigmax


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,)])
def test_one_hot(shape: tuple[int, ...], kind: str) -> None:
    labels = np.resize([2, 0, 4, 1, 3, 0], shape).astype(kind)
    result = sigmax.one_hot(labels, 5)
    assert same(result, (labels[..., None] == np.arange(5)).astype(float))
    for axis in range(-1 - len(shape), 1 + len(shape)):
        assert same(np.moveaxis(sigmax.one_hot(labels, 5, axis=axis), axis, -1), result)
    for dtype in (*TYPES.values(), bool, np.int8):
        assert same(sigmax.one_hot(labels, 5, dtype=dtype), result.astype(dtype))


def test_one_hot_of_a_list() -> None:
    assert same(sigmax.one_hot([1, 0], 2), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert same(sigmax.one_hot([1, 0], 2, axis=0), np.array([[0.0, 1.0], [1.0, 0.0]]))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 12], r"^labels must be in \[0, 10\), got 12 at index \(3,\)$"),
        ([[0, -1]], r"^labels must be in \[0, 10\), got -1 at index \(0, 1\)$"),
        (np.array([2**64 - 1], np.uint64), r"got 18446744073709551615 at index \(0,\)"),
        ([0.0, 1.0], "labels must"),
        ([NAN], "labels must"),
        (["a"], "labels must"),
    ],
)
def test_refused_by_one_hot(labels: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        sigmax.one_hot(labels, 10)


@pytest.mark.parametrize("classes", [-1, 1.5, "2"])
def test_refused_number_of_classes(classes: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="num_classes"):
        sigmax.one_hot([0], classes)


@every_type
@pytest.mark.parametrize("where", [None, np.arange(CLASSES) != HIDDEN])
@pytest.mark.parametrize("prior", [None, PRIOR])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_smooth_labels(smoothing: float, prior: Any, where: Any, dtype: str) -> None:
    q = np.eye(CLASSES)[[0, 1, 3]] / 2 + [0.125, 0, 0.25, 0.125, 0]
    q = q.astype(TYPES[dtype])
    result = sigmax.smooth_labels(q, smoothing, prior=prior, where=where)
    assert result.shape == q.shape
    assert result.dtype == q.dtype
    for row, found in zip(q, result, strict=True):
        exact = reference.exact(reference.smooth_labels, row, smoothing, prior=prior, where=where)
        assert reference.ulp_error(found, exact, dtype).max() <= CONTRACT[dtype]
    turned = sigmax.smooth_labels(
        q.T, smoothing, axis=0, prior=prior, where=None if where is None else where[:, None]
    )
    assert same(turned.T.copy(), result)


def test_smooth_labels_is_what_label_smoothing_does() -> None:
    x, labels = batch(6, CLASSES), np.arange(6) % CLASSES
    for prior in (None, PRIOR):
        smooth = sigmax.smooth_labels(sigmax.one_hot(labels, CLASSES), 0.1, prior=prior)
        options = {"label_smoothing": 0.1, "smoothing_prior": prior}
        for a, b in zip(
            with_gradient("cross_entropy", x, smooth),
            with_gradient("cross_entropy", x, labels, **options),
            strict=True,
        ):
            assert_close(a, b, 4, np.abs(b).max())


def test_smooth_labels_of_integers() -> None:
    hot = np.eye(4, dtype=int)
    result = sigmax.smooth_labels(hot, 0.2)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, 0.8 * hot + 0.05, rtol=1e-15)
    assert (hot == np.eye(4)).all()


@pytest.mark.parametrize(
    ("labels", "smoothing", "options", "message"),
    [
        (HOT, -0.1, {}, "smoothing"),
        (HOT, 1.5, {}, "smoothing"),
        (HOT, NAN, {}, "smoothing"),
        (changed(HOT, (2, 5), 0.5), 0.1, {}, r"labels .*\(2,\)"),
        (changed(HOT, (2, 5), NAN), 0.1, {}, r"labels .*\(2,"),
        (HOT, 0.1, {"prior": np.ones(9)}, "prior"),
        (HOT, 0.1, {"prior": -np.ones(10)}, "prior"),
        (HOT, 0.1, {"where": np.ones(9, bool)}, "where must"),
    ],
)
def test_refused_by_smooth_labels(
    labels: Any, smoothing: float, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sigmax.smooth_labels(labels, smoothing, **options)
