"""Prior shift: EM by hand, the likelihood's maximum, a shift that was made."""

import numpy as np
import pytest

import sigmax

RNG = np.random.default_rng(0)
P = RNG.dirichlet(np.ones(4), 500)
TRAIN = np.array([0.4, 0.3, 0.2, 0.1])


@pytest.mark.parametrize("axis", [0, 1])
def test_em_by_hand(axis):
    prior = TRAIN
    for _ in range(20000):
        r = P * prior / TRAIN
        prior = (r / r.sum(axis=1, keepdims=True)).mean(axis=0)
    x = P.T if axis == 0 else P
    fit = sigmax.fit_prior_shift(x, TRAIN, axis, from_logits=False)
    np.testing.assert_allclose(fit.prior, prior, atol=1e-6)
    assert fit.converged
    gain = np.log(P @ (fit.prior / TRAIN)).mean()
    assert fit.gain == pytest.approx(gain, abs=1e-12)
    expected = P * fit.prior / TRAIN
    expected /= expected.sum(axis=1, keepdims=True)
    applied = fit.apply(x, axis, from_logits=False)
    np.testing.assert_allclose(applied.T if axis == 0 else applied, expected, rtol=1e-12)


def test_a_shift_that_was_made_is_found():
    rng = np.random.default_rng(1)
    there = np.array([0.6, 0.25, 0.1, 0.05])
    y = rng.choice(4, 20000, p=there)
    x = rng.normal(size=(20000, 4)) + 2 * np.eye(4)[y]
    fit = sigmax.fit_prior_shift(2 * x, np.full(4, 0.25))  # the logits of equal shares
    np.testing.assert_allclose(fit.prior, there, atol=0.015)
    before, after = (sigmax.cross_entropy(z, y) for z in (2 * x, np.log(fit.apply(2 * x))))
    assert after < before - 0.05


def test_questions_and_weights():
    p, weight = RNG.random(300), RNG.integers(1, 4, 300)
    one = sigmax.fit_prior_shift(p, [0.7, 0.3], from_logits=False, sample_weight=weight)
    p2 = np.repeat(p, weight)
    two = sigmax.fit_prior_shift(np.stack([1 - p2, p2], axis=1), [0.7, 0.3], from_logits=False)
    np.testing.assert_allclose(one.prior, two.prior, rtol=1e-9)
    z = np.log(p / (1 - p))
    np.testing.assert_allclose(one.apply(p, from_logits=False), one.apply(z), rtol=1e-12)


def test_errors():
    with pytest.raises(ValueError, match=r"train_prior must be above 0, got 0.0 at index \(0,\)"):
        sigmax.fit_prior_shift(P, [0.0, 0.5, 0.25, 0.25], from_logits=False)
    with pytest.raises(ValueError, match="train_prior must have the shape"):
        sigmax.fit_prior_shift(P, [0.5, 0.5], from_logits=False)
    with pytest.raises(ValueError, match="logits must have 4 classes along the axis, got 3"):
        sigmax.fit_prior_shift(P, TRAIN, from_logits=False).apply([[0.0, 1.0, 2.0]])
