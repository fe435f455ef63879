"""Reliability curves against short definitions, and the intervals against Wilson's equation."""

import itertools
import math

import numpy as np
import pytest
from plain import softmax

import sigmax


def width_bins(confidence, bins):
    edges = np.arange(bins + 1) / bins
    found = [(confidence > a) & (confidence <= b) for a, b in itertools.pairwise(edges)]
    return [rows for rows in found if rows.any()]


def mass_bins(confidence, bins):
    """Of confidences that all differ."""
    parts = np.array_split(np.argsort(confidence), bins)
    return [np.isin(np.arange(len(confidence)), rows) for rows in parts]


@pytest.mark.parametrize("equal_mass", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_reliability_curve(equal_mass, weighted):
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(500, 4)) * 3
    labels = (logits / 2 + rng.gumbel(size=logits.shape)).argmax(axis=-1)
    weight = rng.exponential(size=500) if weighted else np.ones(500)
    curve = sigmax.reliability_curve(
        logits, labels, equal_mass=equal_mass, sample_weight=weight, bins=10
    )
    p = softmax(logits)
    confidence, correct = p.max(axis=-1), p.argmax(axis=-1) == labels
    for rows in (mass_bins if equal_mass else width_bins)(confidence, 10):
        rows = np.arange(500)[rows]
        k = int(np.flatnonzero(curve.upper >= confidence[rows].max() - 1e-15)[0])
        assert curve.lower[k] <= confidence[rows].min() + 1e-15
        assert curve.count[k] == len(rows)
        w = weight[rows]
        share = (w * correct[rows]).sum() / w.sum()
        assert curve.accuracy[k] == pytest.approx(share)
        assert curve.confidence[k] == pytest.approx((w * confidence[rows]).sum() / w.sum())
        # Wilson's limits are where the share is 1.96 standard errors away.
        n = w.sum() ** 2 / (w**2).sum()
        for limit, sign in zip(curve.interval, (1, -1), strict=True):
            error = 1.959963984540054 * math.sqrt(limit[k] * (1 - limit[k]) / n)
            assert limit[k] + sign * error == pytest.approx(share, abs=1e-9)
    assert curve.count.sum() == 500


def test_empty_bins():
    curve = sigmax.reliability_curve([[9.0, 0.0], [8.0, 0.0]], [0, 0], bins=4)
    assert np.array_equal(curve.count, [0, 0, 0, 2])
    assert np.isnan(curve.accuracy[:3]).all()
    assert [x[0] for x in curve.interval] == [0.0, 1.0]
    assert 0.3 < curve.interval[0][3] < curve.interval[1][3] == 1.0
    curve = sigmax.reliability_curve([[9.0, 0.0], [8.0, 0.0]], [0, 0], bins=4, equal_mass=True)
    assert np.array_equal(curve.count, [1, 1, 0, 0])
    assert np.isnan(curve.lower[2:]).all()
