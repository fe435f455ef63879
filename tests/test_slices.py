"""Slices: the numbers of each alone, Holm's correction, how often chance alone is called a gap."""

from statistics import NormalDist

import numpy as np
import pytest

import sigmax

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(1200, 4)) * 2
LABELS = (LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)
BY = np.array(["x", "y", "z"])[RNG.integers(0, 3, 1200)]
WEIGHT = RNG.random(1200)


def test_each_slice_alone():
    slices = sigmax.evaluate_by(LOGITS, LABELS, BY, sample_weight=WEIGHT, temperature=0.7)
    assert [s.name for s in slices] == ["x", "y", "z"]
    for s in slices:
        own = s.name == BY
        alone = sigmax.evaluate(
            LOGITS[own], LABELS[own], sample_weight=WEIGHT[own], temperature=0.7
        )
        p = sigmax.softmax(LOGITS[own], temperature=0.7).max(axis=1)
        assert s.rows == own.sum()
        assert s.accuracy == pytest.approx(alone.accuracy, rel=1e-12)
        assert s.nll == pytest.approx(alone.nll, rel=1e-12)
        assert s.ece == pytest.approx(alone.ece, rel=1e-9)
        assert s.confidence == pytest.approx(np.average(p, weights=WEIGHT[own]), rel=1e-12)
        assert s.gap == pytest.approx(s.confidence - s.accuracy, abs=1e-15)
        low, high = s.accuracy.interval
        assert s.gap.interval == pytest.approx((s.confidence - high, s.confidence - low), abs=1e-15)


def test_values_and_holm():
    slices = sigmax.evaluate_by(LOGITS, LABELS, BY, temperature=0.8)
    values = []
    for s in slices:
        p = sigmax.softmax(LOGITS[s.name == BY], temperature=0.8).max(axis=1)
        z = s.gap / (np.sqrt((p * (1 - p)).sum()) / len(p))
        values.append(2 * NormalDist().cdf(-abs(z)))
        assert s.p_value == pytest.approx(values[-1], rel=1e-9)
    order = np.argsort(values)
    expected = np.maximum.accumulate([min(1.0, (3 - k) * values[n]) for k, n in enumerate(order)])
    np.testing.assert_allclose([slices[n].adjusted for n in order], expected, rtol=1e-9)


def test_questions_and_groups():
    z, y = LOGITS[:, 0], (LABELS == 0).astype(int)
    once = sigmax.evaluate_by(z, y, BY)
    assert once[0].accuracy == pytest.approx(y[BY == "x"].mean())
    groups = np.tile(np.arange(1200), 2)
    twice = sigmax.evaluate_by(np.tile(z, 2), np.tile(y, 2), np.tile(BY, 2), groups=groups)
    for a, b in zip(once, twice, strict=True):
        assert b.accuracy.interval == pytest.approx(a.accuracy.interval, rel=1e-9)
        assert b.nll.interval == pytest.approx(a.nll.interval, rel=1e-9)
        assert np.log(b.p_value) >= 1.1 * np.log(a.p_value)  # as many rows count as before


def test_chance_is_seldom_called_a_gap():
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(100):
        p = 0.5 + rng.random(300) / 2
        y = (rng.random(300) > p).astype(int)
        slices = sigmax.evaluate_by(
            np.stack([p, 1 - p], axis=1), y, np.arange(300) % 10, from_logits=False, resamples=2
        )
        called += any(s.adjusted < 0.05 for s in slices)
    assert called <= 12  # 5 of 100, and three standard errors


def test_errors():
    with pytest.raises(ValueError, match="groups must have the shape"):
        sigmax.evaluate_by(LOGITS, LABELS, BY[:3])
    with pytest.raises(ValueError, match=r"groups must have the shape \(1200,\) of by"):
        sigmax.evaluate_by(LOGITS, LABELS, BY, groups=[0])
