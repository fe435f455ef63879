"""The steps of an evaluation in the core, against NumPy's own."""

from typing import Any

import numpy as np
import pytest

import sigmax
from sigmax import _core

SIZES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257)
TYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def rows(classes: int, dtype: str) -> Any:
    x = np.random.default_rng(classes).normal(0, 3, (40, classes)).astype(dtype)
    x[1] = 0.5
    x[2:6] = np.round(x[2:6])
    x[6, ::2] = -np.inf
    x[7] = -np.inf
    x[8, -1] = np.inf
    return x


@TYPES
@pytest.mark.parametrize("classes", SIZES)
def test_winners(classes: int, dtype: str) -> None:
    x = rows(classes, dtype)
    assert np.array_equal(_core.winners(x), x.argmax(axis=1))
    assert np.array_equal(_core.winners(x[:, ::-1]), x[:, ::-1].argmax(axis=1))


@TYPES
@pytest.mark.parametrize("classes", SIZES)
def test_squared_distances(classes: int, dtype: str) -> None:
    p = sigmax.softmax(rows(classes, dtype) * 4)
    p[7:9] = 1 / classes
    labels = np.random.default_rng(0).integers(0, classes, len(p))
    distances = p.astype(np.longdouble) - np.eye(classes)[labels]
    expected = (distances**2).sum(axis=1).astype(float)
    found = _core.squared_distances(p, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-15 * (classes + 8), atol=0)


def test_a_confident_row_keeps_its_digits() -> None:
    p = np.array([[1.0, 1e-20, 3e-20]])
    assert _core.squared_distances(p, np.array([0])) == 1e-40 + 9e-40


@pytest.mark.parametrize("bins", [1, 2, 3, 7, 10, 15, 49, 1000])
def test_bins(bins: int) -> None:
    edges = np.arange(bins + 1) / bins
    near = np.concatenate([edges, np.nextafter(edges, 0), np.nextafter(edges, 1).clip(0, 1)])
    p = np.concatenate([near, np.random.default_rng(bins).random(2000), [0.0, -0.0, 5e-324]])
    expected = np.maximum(np.searchsorted(edges, p, "left") - 1, 0)
    assert np.array_equal(_core.bin_of(p, bins), expected)


def test_too_many_bins_are_no_crash() -> None:
    with pytest.raises(MemoryError):
        _core.bin_of(np.zeros(1), 2**59)


@TYPES
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("classes", [2, 8, 11, 100])
def test_sums_by_class(classes: int, soft: bool, dtype: str) -> None:
    rng = np.random.default_rng(classes)
    count, groups, bins = 3000, 5, 15
    p = sigmax.softmax(rng.normal(0, 3, (count, classes)).astype(dtype))
    group, labels = rng.integers(0, groups, count), rng.integers(0, classes, count)
    weight = rng.choice([1.0, 0.25, 3.0], count)
    one_hot = np.eye(classes)[labels]
    terms = p - one_hot.astype(dtype) if soft else p
    table = np.zeros((groups, bins, classes))
    _core.add_by_class(table, group, p, terms, weight, None if soft else labels)
    expected = np.zeros_like(table)
    bin_of = np.maximum(np.searchsorted(np.arange(bins + 1) / bins, p.astype(float)) - 1, 0)
    exact = (p.astype(float) - one_hot) * weight[:, None]
    np.add.at(expected, (group[:, None], bin_of, np.arange(classes)), exact)
    assert np.abs(table - expected).max() < (1e-5 if soft and dtype == "float32" else 1e-11)


def test_arguments_that_do_not_fit() -> None:
    p, table, one = np.zeros((4, 3)), np.zeros((2, 5, 3)), np.ones(4)
    group = label = np.zeros(4, np.int64)
    _core.add_by_class(table, group, p, p, one, label)
    for wrong in [
        (table[:, :, :2], group, p, p, one, label),
        (table, group + 2, p, p, one, label),
        (table, group - 1, p, p, one, label),
        (table, group, p.astype("f4"), p, one, label),
        (table, group, p, p[:3], one, label),
        (table, group, p, p, one[:3], label),
        (table, group, p, p, one, label + 3),
        (table, group[:3], p, p, one, label),
        (table.astype("f4"), group, p, p, one, label),
    ]:
        with pytest.raises(TypeError, match="add_by_class"):
            _core.add_by_class(*wrong)
    for labels in (label + 3, label - 1, label[:2], label.astype(float)):
        with pytest.raises(TypeError, match="squared_distances"):
            _core.squared_distances(p, labels)
    for x in (p[0], p[:, :0], [1.0], p.astype("f2")):
        with pytest.raises(TypeError, match="winners"):
            _core.winners(x)


@pytest.mark.parametrize("soft", [False, True])
def test_a_fit_that_starts_on_a_sample(monkeypatch: pytest.MonkeyPatch, soft: bool) -> None:
    """The temperature of a fit that reads all rows from the start, with fewer passes over them."""
    from sigmax import _rows, calibration

    rng = np.random.default_rng(5)
    x = rng.normal(0, 5, (120_000, 5))
    y: Any = (x / 2.5 + rng.gumbel(size=x.shape)).argmax(axis=1)
    labels = np.eye(5)[y] * 0.8 + 0.04 if soft else y
    whole = sigmax.fit_temperature(x, labels)
    monkeypatch.setattr(_rows, "_CHUNK", 2**12)
    monkeypatch.setattr(calibration, "_SAMPLE", 4000)
    fit = sigmax.fit_temperature(x, labels)
    assert fit.iterations < whole.iterations
    assert abs(fit.temperature / whole.temperature - 1) < 2e-15
    assert abs(fit.nll_after / whole.nll_after - 1) < 1e-14
    np.testing.assert_allclose(fit.interval, whole.interval, rtol=1e-9)


def test_a_sample_without_a_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows of the sample are right: only the others say how sure to be."""
    from sigmax import _rows, calibration

    x = np.tile([4.0, 0.0], (40_000, 1))
    y = np.zeros(40_000, int)
    y[39_000:] = 1
    monkeypatch.setattr(_rows, "_CHUNK", 2**10)
    monkeypatch.setattr(calibration, "_SAMPLE", 1000)
    fit = sigmax.fit_temperature(x, y)
    assert fit.status == "ok"
    assert abs(fit.temperature * np.log(39) / 4 - 1) < 1e-12
