"""Fits of yes-or-no questions: against scikit-learn and brute force, data without a best one, one for each label."""

import numpy as np
import pytest

import sigmax


def sampled(rng, rows, scale=0.6, bias=-0.8):
    z = rng.normal(size=rows) * 2 + 1
    return z, (rng.random(rows) < 1 / (1 + np.exp(-(scale * z + bias)))).astype(int)


def irls(features, y, weight):
    """Newton's method for a logistic regression, ten lines."""
    theta = np.zeros(features.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-features @ theta))
        slope = features.T @ (weight * (p - y))
        theta -= np.linalg.solve((features * (weight * p * (1 - p))[:, None]).T @ features, slope)
    return theta


@pytest.mark.parametrize("soft", [False, True])
def test_platt_is_a_logistic_regression(soft):
    rng = np.random.default_rng(0)
    z, y = sampled(rng, 800)
    y, weight = (0.2 + 0.6 * y * rng.random(800) if soft else y), rng.random(800)
    fit = sigmax.fit_platt(z, y, sample_weight=weight)
    expected = irls(np.stack([z, np.ones(800)], axis=1), y, weight)
    np.testing.assert_allclose([fit.scale, fit.bias], expected, rtol=1e-9)
    p = 1 / (1 + np.exp(-(fit.scale * z + fit.bias)))
    nll = -np.average(y * np.log(p) + (1 - y) * np.log(1 - p), weights=weight)
    assert fit.nll_after == pytest.approx(nll, rel=1e-12)
    np.testing.assert_allclose(fit.apply(z), p, rtol=1e-13)


def test_platt_intervals_are_those_of_the_sandwich():
    z, y = sampled(np.random.default_rng(1), 500)
    fit = sigmax.fit_platt(z, y)
    f = np.stack([z, np.ones(500)], axis=1)
    p = fit.apply(z)
    inverse = np.linalg.inv((f * (p * (1 - p))[:, None]).T @ f)
    error = np.sqrt(np.diag(inverse @ (f * ((p - y) ** 2)[:, None]).T @ f @ inverse))
    for at, half in ((fit.scale_interval, error[0]), (fit.bias_interval, error[1])):
        assert at[1] - at[0] == pytest.approx(2 * 1.959964 * half, rel=1e-6)


def test_beta_is_a_logistic_regression_on_two_logarithms():
    z, y = sampled(np.random.default_rng(2), 900)
    p = 1 / (1 + np.exp(-z))
    fit = sigmax.fit_beta(p, y, from_logits=False)
    features = np.stack([np.log(p), -np.log1p(-p), np.ones(900)], axis=1)
    np.testing.assert_allclose([fit.a, fit.b, fit.c], irls(features, y, np.ones(900)), rtol=1e-7)
    expected = 1 / (1 + np.exp(-features @ [fit.a, fit.b, fit.c]))
    np.testing.assert_allclose(fit.apply(p, from_logits=False), expected, rtol=1e-12)


def test_beta_keeps_its_factors_from_being_negative():
    z = np.linspace(-6, 6, 1200)
    y = (np.sin(1e3 * z) + 1) / 2 < 0.5 + 0.3 * np.tanh(z) - 0.7 * (z > 3)  # falls at the upper end
    fit = sigmax.fit_beta(z, y)
    assert fit.status == "ok"
    assert fit.b == 0.0
    assert fit.a > 0
    feature = np.stack([-np.log1p(np.exp(-z)), np.ones_like(z)], axis=1)
    np.testing.assert_allclose([fit.a, fit.c], irls(feature, y, np.ones(len(z))), rtol=1e-7)


@pytest.mark.parametrize("from_logits", [True, False])
def test_isotonic_is_that_of_scikit_learn(from_logits):
    isotonic = pytest.importorskip("sklearn.isotonic").IsotonicRegression(out_of_bounds="clip")
    rng = np.random.default_rng(3)
    z, y = sampled(rng, 2000)
    x = np.round(z if from_logits else 1 / (1 + np.exp(-z)), 2)  # with ties
    weight = rng.random(2000)
    fit = sigmax.fit_isotonic(x, y, sample_weight=weight, from_logits=from_logits)
    new = rng.random(500) if not from_logits else rng.normal(size=500) * 4
    expected = isotonic.fit(x, y, sample_weight=weight).predict(new)
    np.testing.assert_allclose(fit.apply(new, from_logits=from_logits), expected, atol=1e-14)


def test_isotonic_of_few_rows_by_all_partitions():
    """The best of all ways to cut the rows into steps that rise."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        y = rng.integers(0, 2, 8).astype(float)
        best, of = np.inf, None
        for cuts in range(2**7):
            parts = np.split(y, [k + 1 for k in range(7) if cuts >> k & 1])
            means = [part.mean() for part in parts]
            if (np.diff(means) >= 0).all():
                q = np.concatenate([[m] * len(part) for m, part in zip(means, parts, strict=True)])
                loss = ((q - y) ** 2).sum()
                if loss < best - 1e-12:
                    best, of = loss, q
        points, values = sigmax.binary_fits.steps(np.arange(8.0), y, np.ones(8))
        np.testing.assert_allclose(np.interp(np.arange(8.0), points, values), of, atol=1e-14)


@pytest.mark.parametrize("make", [sigmax.fit_platt, sigmax.fit_beta, sigmax.fit_isotonic])
def test_data_without_a_best_fit_are_named(make):
    z = np.array([1.0, 2.0, 3.0, 4.0])
    assert make(z, [0, 0, 1, 1]).status == "separable"
    assert make(z, [0, 0, 1, 1], label_smoothing="laplace").status == "ok"
    assert make(z, [1, 1, 0, 0]).status == "chance"
    assert make(z, [1, 1, 1, 1]).status == "single_class"
    assert make([2.0, 2.0], [0, 1]).status == "flat"
    assert make(z, [-1, -1, -1, -1], ignore_index=-1).status == "empty"
    with pytest.raises(ValueError, match="label 1 above a logit of 3"):
        make(z, [0, 0, 1, 1]).apply(z)
    with pytest.raises(ValueError, match=r"logits must be finite, got inf at index \(1,\)"):
        make([0.0, np.inf], [0, 1])
    with pytest.raises(ValueError, match="one-dimensional with as many labels"):
        make([[0.0, 1.0]], [0])


def test_probabilities_of_0_and_1():
    p, y = np.array([0.0, 0.0, 0.5, 1.0, 1.0]), [0, 1, 0, 1, 0]
    fit = sigmax.fit_isotonic(p, y, from_logits=False)
    np.testing.assert_allclose(fit.apply([0.0, 1.0], from_logits=False), [1 / 3, 0.5])
    with pytest.raises(ValueError, match=r"above 0 and below 1, got 0.0 at index \(0,\)"):
        sigmax.fit_platt(p, y, from_logits=False)


@pytest.mark.parametrize("axis", [0, 1])
def test_one_fit_for_each_label(axis):
    rng = np.random.default_rng(5)
    z, y = sampled(rng, 1200)
    z, y = z.reshape(-1, 3), y.reshape(-1, 3)
    y[:, 2] = 1  # of which there is no fit
    weight = rng.random(400)
    where = rng.random(z.shape) < 0.9
    moved = (x.T if axis == 0 else x for x in (z, y, where))
    x, labels, mask = moved
    fits = sigmax.fit_per_label(sigmax.fit_platt, x, labels, axis, sample_weight=weight, where=mask)
    for k in range(2):
        alone = sigmax.fit_platt(z[:, k], y[:, k], sample_weight=weight, where=where[:, k])
        assert fits.fits[k] == alone
        np.testing.assert_array_equal(fits.apply(x).take(k, axis), alone.apply(z[:, k]))
    assert list(fits.refused) == [2]
    np.testing.assert_array_equal(fits.apply(x).take(2, axis), sigmax.sigmoid(z[:, 2]))
