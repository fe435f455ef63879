"""What losses are made of, and the rising curve: sums, definitions by hand, what chance shows, curves that fall."""

import numpy as np
import pytest

import sigmax

RNG = np.random.default_rng(0)
Z = np.round(RNG.normal(size=800) * 2 - 1, 1)
Y = (RNG.random(800) < 1 / (1 + np.exp(-0.5 * Z))).astype(int)
WEIGHT = RNG.random(800)
LOGITS = RNG.normal(size=(800, 4)) * 3
LABELS = (0.7 * LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)


def mean_loss(p, y, weight, loss):
    p = np.stack([1 - p, p], axis=1)
    if loss == "brier":
        return np.average(((p - np.eye(2)[y]) ** 2).sum(axis=1), weights=weight)
    return np.average(-np.log(p[np.arange(len(y)), y]), weights=weight)


@pytest.mark.parametrize("loss", ["nll", "brier"])
def test_two_classes_with_the_isotonic_regression_of_scikit_learn(loss):
    isotonic = pytest.importorskip("sklearn.isotonic").IsotonicRegression()
    p = sigmax.sigmoid(Z)
    repaired = isotonic.fit(Z, Y, sample_weight=WEIGHT).predict(Z)
    share = np.full(800, np.average(Y, weights=WEIGHT))
    given, best, always = (mean_loss(q, Y, WEIGHT, loss) for q in (p, repaired, share))
    for x in (Z, np.stack([0 * Z, Z], axis=1)):
        parts = sigmax.decompose(x, Y, loss=loss, sample_weight=WEIGHT)
        assert parts.method == "isotonic"
        assert parts.loss == pytest.approx(given, rel=1e-12)
        assert parts.miscalibration == pytest.approx(given - best, abs=1e-12)
        assert parts.discrimination == pytest.approx(always - best, abs=1e-12)
        assert parts.uncertainty == pytest.approx(always, rel=1e-12)


@pytest.mark.parametrize("loss", ["nll", "brier"])
@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_many_classes(loss, method):
    parts = sigmax.decompose(LOGITS, LABELS, loss=loss, method=method, sample_weight=WEIGHT)
    total = parts.miscalibration - parts.discrimination + parts.uncertainty
    assert total == pytest.approx(parts.loss, abs=1e-12)
    make = sigmax.fit_temperature if method == "temperature" else sigmax.fit_vector_scaling
    p = make(LOGITS, LABELS, sample_weight=WEIGHT).apply(LOGITS)
    e = sigmax.evaluate(p, LABELS, from_logits=False, sample_weight=WEIGHT)
    assert parts.loss - parts.miscalibration == pytest.approx(getattr(e, loss), rel=1e-9)
    share = np.bincount(LABELS, WEIGHT) / WEIGHT.sum()
    expected = -(share * np.log(share)).sum() if loss == "nll" else 1 - (share**2).sum()
    assert parts.uncertainty == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", ["nll", "brier"])
def test_what_chance_makes_of_an_honest_model(loss):
    rng = np.random.default_rng(1)
    seen = []
    for _ in range(60):
        z = rng.normal(size=300)
        y = rng.random(300) < sigmax.sigmoid(z)
        parts = sigmax.decompose(z, y, loss=loss)
        seen.append(parts.miscalibration)
    assert parts.null_miscalibration == pytest.approx(np.mean(seen), rel=0.2)


def test_data_without_a_best_temperature_have_no_miscalibration():
    parts = sigmax.decompose([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [0, 1])
    assert parts.miscalibration == 0.0
    with pytest.raises(ValueError, match="method='isotonic' is for two classes, got 3"):
        sigmax.decompose([[2.0, 0.0, 0.0]], [0], method="isotonic")


# ---------------------------------------------------------------- the curve


def test_curve_of_winners_and_of_questions():
    isotonic = pytest.importorskip("sklearn.isotonic").IsotonicRegression()
    p = sigmax.softmax(LOGITS)
    sure, right = p.max(axis=1), p.argmax(axis=1) == LABELS
    for curve, (x, y) in (
        (sigmax.corp_curve(LOGITS, LABELS, resamples=5), (sure, right)),
        (sigmax.corp_curve(Z, Y, resamples=5), (sigmax.sigmoid(Z), Y)),
    ):
        fitted = isotonic.fit(x, y).predict(x)
        np.testing.assert_allclose(
            np.interp(x, curve.confidence, curve.calibrated), fitted, atol=1e-12
        )
        expected = ((x - y) ** 2).mean() - ((fitted - y) ** 2).mean()
        assert curve.miscalibration == pytest.approx(expected, abs=1e-12)


def test_band_holds_the_curves_of_honest_models():
    rng = np.random.default_rng(2)
    inside = []
    for seed in range(30):
        p = rng.random(200)
        curve = sigmax.corp_curve(p, rng.random(200) < p, from_logits=False, seed=seed)
        at = np.interp(curve.grid, curve.confidence, curve.calibrated)
        inside.append(((curve.lower <= at + 1e-12) & (at <= curve.upper + 1e-12)).mean())
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


def test_a_curve_that_falls_is_named():
    rng = np.random.default_rng(3)
    p = rng.random(3000)
    falling = sigmax.corp_curve(
        p, rng.random(3000) < abs(2 * p - 1), from_logits=False, resamples=5
    )
    assert falling.falls
    assert "falls somewhere" in falling.message
    alarms = [
        sigmax.corp_curve(
            p[:500], rng.random(500) < p[:500] ** 2, from_logits=False, resamples=1
        ).falls
        for _ in range(50)
    ]
    assert sum(alarms) <= 3
