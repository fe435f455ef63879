"""The steps of an evaluation in the core, against NumPy's own."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

import sigmax
from sigmax import _core, _rows, _tables

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
def test_spans(classes: int, dtype: str) -> None:
    x = rows(classes, dtype)
    x[9, 0] = np.nan
    largest, smallest, mean = _core.spans(x)
    finite = x > -np.inf
    assert np.array_equal(largest, x.max(axis=1), equal_nan=True)
    assert np.array_equal(smallest, np.where(finite, x, np.inf).min(axis=1))
    for i in np.flatnonzero(finite.any(axis=1) & (x.max(axis=1) < np.inf)):
        there = x[i, finite[i]]
        assert abs(mean[i] - math.fsum(there) / len(there)) <= 2.0**-50 * np.abs(there).max()
    assert np.isnan(mean[7])
    assert mean[8] == np.inf


def test_a_mean_of_many_numbers() -> None:
    x = np.random.default_rng(3).normal(1, 3, (2, 300_001))
    exact = [math.fsum(row) / len(row) for row in x]
    assert np.abs(_core.spans(x)[2] - exact).max() < 2e-15


def test_sums_by_key() -> None:
    rng = np.random.default_rng(4)
    keys, values = rng.integers(0, 7, 1000), rng.normal(size=(16, 1000))
    expected = np.stack([np.bincount(keys, value, 9) for value in values], axis=-1)
    assert np.array_equal(_core.sums_by(keys, 9, *values), expected)
    one = values[0]
    for wrong in [(keys, 6, one), (keys - 1, 9, one), (keys, 9), (keys, 9, one[1:]), (one, 9, one)]:
        with pytest.raises(TypeError, match="sums_by"):
            _core.sums_by(*wrong)


def test_groups_of_units() -> None:
    """The numbers that splitmix64 draws after a seed of 0, and a fair share of units for each group."""
    step = np.uint64(0x9E3779B97F4A7C15)
    seeds = (np.arange(3, dtype=np.uint64) * step).view(np.int64)
    drawn = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert _core.spread_over(seeds, 997).tolist() == [x % 997 for x in drawn]
    counts = np.bincount(_core.spread_over(np.arange(100_000), 10), minlength=10)
    assert np.abs(counts - 10_000).max() < 400
    for wrong in [(seeds, 0), (seeds.astype(float), 5), (seeds[:, None], 5)]:
        with pytest.raises(TypeError, match="spread_over"):
            _core.spread_over(*wrong)


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


TEMPERATURES = (1.0, 0.1, 37.0, 1e30, 1e-30)


def evaluated(x: Any, labels: Any, temperature: Any, group: Any, weight: Any) -> tuple[Any, ...]:
    """Confidence, correctness, loss, squares and the table of rows of logits, in one pass."""
    table = np.zeros((5, 15, x.shape[1]))
    return *_core.of_logits(table, group, x, temperature, weight, labels), table


@pytest.mark.parametrize("classes", [*SIZES, 1003, 5000])
def test_one_pass_over_logits(classes: int) -> None:
    """It has the bits of softmax, cross_entropy and the steps above."""
    rng = np.random.default_rng(classes)
    x = np.concatenate([rows(classes, "float32")[:, :classes], np.zeros((2, classes), "f4")])
    x = np.concatenate([x[:6], x[8:]])  # without those that have no winner, or none that is alone
    x[-1, 0] = 200  # all but sure
    x[-2] = np.inf
    count = len(x)
    labels, group = rng.integers(0, classes, count), rng.integers(0, 5, count)
    weight = rng.choice([1.0, 0.25, 3.0], count)
    each = np.exp(rng.normal(size=count))
    for temperature in (*(np.array([t]) for t in TEMPERATURES), each):
        found = evaluated(x, labels, temperature, group, weight)
        p = sigmax.softmax(x, temperature=temperature if temperature.size > 1 else temperature[0])
        winner = _core.winners(x)
        assert np.array_equal(found[0], p[np.arange(count), winner].astype(float))
        assert np.array_equal(found[1], winner == labels)
        losses = sigmax.cross_entropy(
            x,
            labels,
            temperature=temperature if temperature.size > 1 else temperature[0],
            reduction="none",
        )
        assert np.array_equal(found[2].astype(np.float32), losses)
        assert np.array_equal(found[3], _core.squared_distances(p, labels))
        table = np.zeros_like(found[4])
        _core.add_by_class(table, group, p, p, weight, labels)
        assert np.array_equal(found[4], table)
        without = _core.of_logits(None, None, x, temperature, None, labels)
        assert all(np.array_equal(a, b) for a, b in zip(found, without, strict=False))


def test_rows_without_probabilities() -> None:
    x = np.zeros((3, 20), np.float32)
    x[0, 3], x[1] = np.nan, -np.inf
    confidence = _core.of_logits(None, None, x, np.ones(1), None, np.zeros(3, int))[0]
    assert np.array_equal(np.isnan(confidence), [True, True, False])


@pytest.mark.parametrize("groups", [1, 3, 500])
def test_sums_do_not_depend_on_threads(groups: int) -> None:
    rng = np.random.default_rng(groups)
    x = rng.normal(0, 3, (4000, 50)).astype(np.float32)
    labels, group = rng.integers(0, 50, len(x)), rng.integers(0, groups, len(x))
    weight, counts = rng.random(len(x)), rng.poisson(1, (70, groups)).astype(float)
    found = []
    for threads in (1, 2, 5):
        sigmax.set_num_threads(threads)
        table = np.zeros((groups, 15, 50))
        numbers = _core.of_logits(table, group, x, np.ones(1), weight, labels)
        p = sigmax.softmax(x)
        again = np.zeros_like(table)
        _core.add_by_class(again, group, p, p, weight, labels)
        assert np.array_equal(table, again)
        of_groups = table.reshape(groups, -1)
        sums = _core.absolute_sums(counts, of_groups), _core.product(counts, of_groups)[:70]
        found.append((*numbers, table, *sums))
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize(
    ("resamples", "shape"), [(1, (1, 1)), (33, (200, 3, 50)), (64, (3, 9001)), (5, (70, 257))]
)
def test_sums_of_resamples(resamples: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(resamples)
    table = np.where(rng.random(shape) < 0.3, rng.normal(size=shape), 0.0)
    counts = rng.poisson(1, (resamples, shape[0])).astype(float)
    expected = np.abs(counts @ table.reshape(shape[0], -1)).sum(axis=1)
    table = table.reshape(shape[0], -1)
    np.testing.assert_allclose(_core.absolute_sums(counts, table), expected, rtol=1e-12)
    product = _core.product(counts, table)[:resamples]
    unaligned = np.frombuffer(b"." + table.tobytes(), offset=1).reshape(table.shape)
    assert np.array_equal(_core.product(counts, unaligned)[:resamples], product)
    expected = counts @ table
    np.testing.assert_allclose(product, expected, rtol=1e-12, atol=1e-12)


def both_ways(monkeypatch: pytest.MonkeyPatch, measure: Any) -> tuple[Any, Any]:
    """The result of one pass, and that of the steps one by one."""
    one = measure()
    with monkeypatch.context() as patch:
        patch.setattr(_tables, "are_plain", lambda _: False)
        patch.setattr(_tables, "is_plain", lambda _: False)
        return one, measure()


@pytest.mark.parametrize("seed", range(12))
def test_one_pass_is_the_steps_one_by_one(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Random shapes, types and options; losses differ by their rounding to float32."""
    monkeypatch.setattr(_rows, "_CHUNK", 2**11)
    monkeypatch.setattr(_rows, "_KERNEL_CHUNK", 2**13)
    rng = np.random.default_rng(seed)
    classes, count = int(rng.choice([1, 2, 3, 9, 40, 130])), int(rng.choice([1, 7, 300, 2000]))
    x = rng.normal(0, 3, (count, classes)).astype(rng.choice(["float16", "float32"]))
    labels = rng.integers(0, classes, count)
    options: dict[str, Any] = {"bins": int(rng.choice([1, 2, 15]))}
    if rng.random() < 0.5:
        options["temperature"] = np.exp(rng.normal(size=count))
    if rng.random() < 0.5:
        options["sample_weight"] = rng.choice([0.0, 1.0, 2.5], count) + (np.arange(count) == 0)
    if rng.random() < 0.5:
        options["where"] = (rng.random(x.shape) < 0.8) | (np.arange(classes) == labels[:, None])
    multilabel = rng.random() < 0.3
    if multilabel:
        labels = rng.integers(0, 2, x.shape)
        options = {"bins": options["bins"], "multilabel": True}
    elif rng.random() < 0.5:
        options["groups"] = rng.integers(0, max(2, count // 3), count)
    one, other = both_ways(
        monkeypatch, lambda: sigmax.evaluate(x, labels, **options, resamples=20).to_dict()
    )
    assert one.keys() == other.keys()
    for name, value in one.items():
        near = {"rtol": 3e-7, "atol": 1e-7} if name == "nll" else {"rtol": 1e-11, "atol": 1e-12}
        if not isinstance(value, dict) or name == "rules":
            assert value == other[name]
            continue
        for part, number in value.items():
            np.testing.assert_allclose(number, other[name][part], **near, err_msg=f"{name} {part}")
    options.pop("groups", None)
    for measure in (sigmax.brier_score, sigmax.calibration_error):
        given = {k: v for k, v in options.items() if k != "bins"}
        one, other = both_ways(monkeypatch, partial(measure, x, labels, **given))
        assert abs(one - other) < 1e-12
    for kind in ("classwise", "smooth", "adaptive"):
        measure = partial(sigmax.calibration_error, x, labels, kind=kind, **options)
        one, other = both_ways(monkeypatch, measure)
        assert abs(one - other) < 1e-12


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
    x = p.astype("f4")
    _core.of_logits(table, group, x, one, one, label)
    for wrong in [
        (table[:, :, :2], group, x, one, one, label),
        (table, None, x, one, one, label),
        (table, group + 2, x, one, one, label),
        (table, group, p, one, one, label),
        (table, group, x, one[:2], one, label),
        (table, group, x, one, None, label),
        (table, group, x, one, one, label + 3),
        (None, None, x[:, :0], one, None, label),
        (None, None, np.zeros((4, 65_537), "f4"), one, None, label),
    ]:
        with pytest.raises(TypeError, match="of_logits"):
            _core.of_logits(*wrong)
    for wrong in [
        (np.ones((1, 3)), p),
        (np.ones(4), p),
        (np.ones((1, 4)), p.T),
        (np.ones((1, 2)), table),
    ]:
        with pytest.raises(TypeError, match="absolute_sums"):
            _core.absolute_sums(*wrong)
        with pytest.raises(TypeError, match="product"):
            _core.product(*wrong)
    for labels in (label + 3, label - 1, label[:2], label.astype(float)):
        with pytest.raises(TypeError, match="squared_distances"):
            _core.squared_distances(p, labels)
    for x in (p[0], p[:, :0], [1.0], p.astype("f2")):
        with pytest.raises(TypeError, match="winners"):
            _core.winners(x)


@pytest.mark.parametrize("soft", [False, True])
def test_a_fit_that_starts_on_a_sample(monkeypatch: pytest.MonkeyPatch, soft: bool) -> None:
    """The temperature of a fit that reads all rows from the start, with fewer passes over them."""
    from sigmax import calibration

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
    from sigmax import calibration

    x = np.tile([4.0, 0.0], (40_000, 1))
    y = np.zeros(40_000, int)
    y[39_000:] = 1
    monkeypatch.setattr(_rows, "_CHUNK", 2**10)
    monkeypatch.setattr(calibration, "_SAMPLE", 1000)
    fit = sigmax.fit_temperature(x, y)
    assert fit.status == "ok"
    assert abs(fit.temperature * np.log(39) / 4 - 1) < 1e-12
