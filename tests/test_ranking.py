"""Numbers of the order of very many rows, which are counted in cells: within what they say of the sorted ones."""

import numpy as np
import pytest

import sigmax
from sigmax import _ranking

ROWS = 30_000
RNG = np.random.default_rng(4)
LOGITS = (RNG.normal(size=(ROWS, 3)) * 4).astype(np.float32)
LABELS = (0.8 * LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)
Z = RNG.normal(size=ROWS) * 3 - 2
Y = (RNG.random(ROWS) < 1 / (1 + np.exp(-0.7 * Z))).astype(int)
WEIGHT = RNG.random(ROWS)


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch):
    monkeypatch.setattr(_ranking, "_SORTED", 2**12)
    monkeypatch.setattr(_ranking, "_BATCH", 7000)


def area(score, positive, negative):
    """Σ over the pairs, by the sums of negatives below each score, and half of the equal ones."""
    values, place = np.unique(score, return_inverse=True)
    p, n = (np.bincount(place, x, len(values)) for x in (positive, negative))
    return p @ (np.cumsum(n) - n / 2) / p.sum() / n.sum()


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_binary_numbers_are_within_what_they_say(weight):
    found = sigmax.evaluate_binary(Z, Y, sample_weight=weight, resamples=1)
    w = np.ones(ROWS) if weight is None else weight
    expected = area(Z, w * Y, w * (1 - Y))
    assert 0 < found.roc_auc.half_width < 3e-4
    assert abs(found.roc_auc - expected) <= found.roc_auc.half_width
    order = np.argsort(-Z)
    down = np.cumsum((w * Y)[order]) / np.cumsum(w[order])
    expected = (w * Y)[order] @ down / (w * Y).sum()
    assert 0 < found.average_precision.half_width < 1e-3
    assert abs(found.average_precision - expected) <= found.average_precision.half_width
    assert found.to_dict()["roc_auc"]["half_width"] == found.roc_auc.half_width


def test_probabilities_near_1_and_near_0_have_cells_as_fine():
    p = 1 / (1 + np.exp(-4 * Z))
    found = sigmax.evaluate_binary(p, Y, from_logits=False, resamples=1)
    assert abs(found.roc_auc - area(p, Y, 1 - Y)) <= found.roc_auc.half_width < 5e-4
    assert len(np.unique(_ranking._cells(p, True))) > 15_000


@pytest.mark.parametrize("groups", [None, np.arange(ROWS) // 50])
def test_cells_and_sorted_rows_agree(monkeypatch, groups):
    cells = sigmax.risk_coverage(LOGITS, LABELS, groups=groups)
    monkeypatch.setattr(_ranking, "_SORTED", ROWS)
    exact = sigmax.risk_coverage(LOGITS, LABELS, groups=groups)
    for name in ("aurc", "auroc"):
        a, b = getattr(cells, name), getattr(exact, name)
        assert b.half_width == 0 < a.half_width < 1e-3
        assert abs(a - b) <= a.half_width
        width = b.interval[1] - b.interval[0]
        np.testing.assert_allclose(a.interval, b.interval, atol=a.half_width + 0.01 * width)
    assert cells.excess == pytest.approx(exact.excess, abs=cells.aurc.half_width)
    for share in (0.1, 0.5, 0.9):
        a, b = cells.accuracy_at(share), exact.accuracy_at(share)
        assert a == pytest.approx(b, abs=1e-3)
        np.testing.assert_allclose(a.interval, b.interval, atol=1e-3)
    assert cells.coverage_at(0.9) == pytest.approx(exact.coverage_at(0.9), abs=1e-3)


def test_a_confidence_of_the_curve_answers_its_share():
    curve = sigmax.risk_coverage(LOGITS, LABELS)
    sure = sigmax.softmax(LOGITS).max(axis=1)
    for k in range(0, len(curve.coverage), len(curve.coverage) // 7):
        assert np.mean(sure >= curve.confidence[k]) == pytest.approx(curve.coverage[k], abs=1e-5)


def test_the_order_of_rows_changes_no_bit():
    order = RNG.permutation(ROWS)
    one, other = (sigmax.risk_coverage(LOGITS[k], LABELS[k]) for k in (slice(None), order))
    assert (one.aurc, one.auroc, one.aurc.interval) == (
        other.aurc,
        other.auroc,
        other.aurc.interval,
    )
    np.testing.assert_array_equal(one.accuracy, other.accuracy)


@pytest.mark.parametrize("groups", [None, np.arange(ROWS) // 50])
def test_parts_of_dask_change_no_bit(groups):
    da = pytest.importorskip("dask.array")
    here = sigmax.risk_coverage(LOGITS, LABELS, groups=groups)
    there = sigmax.risk_coverage(da.from_array(LOGITS, chunks=(7_000, -1)), LABELS, groups=groups)
    assert (here.aurc, here.auroc, here.excess) == (there.aurc, there.auroc, there.excess)
    assert here.aurc.interval == pytest.approx(there.aurc.interval, rel=1e-12)


@pytest.mark.parametrize("shares", [False, True])
def test_cells_are_in_the_order_of_the_scores(shares):
    x = (
        RNG.random(20_000) ** 9
        if shares
        else np.ldexp(RNG.normal(size=20_000), RNG.integers(-60, 60))
    )
    ends = [0.0, 0.5, 1.0, 1 - 2.0**-53, 5e-324] if shares else [0.0, -0.0, -np.inf, np.inf, 5e-324]
    x = np.sort(np.concatenate([x, 1 - x if shares else -x, ends]))
    cell = _ranking._cells(x, shares)
    assert (np.diff(cell) >= 0).all()
    assert cell.min() >= 0
    assert cell.max() < 2**20
    edges = _ranking._edges(cell, shares)
    finite = np.isfinite(x)
    x, edges = x[finite], edges[finite]
    assert (edges <= x + 1e-12 * np.abs(x) + 1e-300).all()
    assert (np.diff(edges) >= 0).all()
