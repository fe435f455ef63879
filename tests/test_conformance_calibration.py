"""Calibration errors, decompositions and conformal sets are those of the libraries for them."""

import importlib
import warnings

import numpy as np
import pytest

import sigmax

pytestmark = [pytest.mark.conformance, pytest.mark.filterwarnings("ignore")]

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4000, 5)) * 2
LABELS = (0.6 * LOGITS + RNG.gumbel(size=LOGITS.shape)).argmax(axis=1)
P = sigmax.softmax(LOGITS)
Z = RNG.normal(size=4000) * 2
YES = (RNG.random(4000) < sigmax.sigmoid(0.5 * Z - 0.3)).astype(int)
P_YES = sigmax.sigmoid(Z)
BINS = 15


@pytest.fixture(scope="module")
def whole():
    return sigmax.evaluate(LOGITS, LABELS, bins=BINS, resamples=1)


def library(name):
    """Return a module, or skip the test; what libraries warn of at import is theirs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            pytest.skip(f"needs {error.name}: pip install '.[conformance]', or {name} itself")


def close(found, expected, **how):
    assert float(found) == pytest.approx(float(expected), **(how or {"rel": 1e-12}))


# ---------------------------------------------------------------- netcal


def test_netcal(whole):
    """Its ACE is the mean gap of bins of equal width, each counting the same; ours by mass is its ECE of quantiles."""
    metrics = library("netcal.metrics")
    close(metrics.ECE(BINS).measure(P, LABELS), whole.ece)
    close(metrics.MCE(BINS).measure(P, LABELS), whole.mce)
    close(metrics.ECE(BINS, equal_intervals=False).measure(P, LABELS), whole.adaptive_ece)
    curve = sigmax.reliability_curve(LOGITS, LABELS, bins=BINS)
    some = curve.count > 0
    gaps = np.abs(curve.confidence - curve.accuracy)[some]
    close(metrics.ACE(BINS).measure(P, LABELS), gaps.mean())
    of_yes = sigmax.evaluate_binary(Z, YES, bins=BINS, resamples=1)
    close(metrics.ECE(BINS).measure(P_YES, YES), of_yes.ece)


# ---------------------------------------------------------------- MAPIE


def mapie_sets(score, confidence, **parameters):
    """Return the sets of the second half of the rows, and the quantile of the scores of the first."""
    base, classification = library("sklearn.base"), library("mapie.classification")

    class Softmax(base.ClassifierMixin, base.BaseEstimator):
        classes_ = np.arange(5)
        n_features_in_ = 5

        def fit(self, *_):
            return self

        def predict_proba(self, x):
            return sigmax.softmax(x)

        def predict(self, x):
            return x.argmax(axis=1)

        def __sklearn_is_fitted__(self):
            return True

    made = classification.SplitConformalClassifier(
        Softmax(), confidence_level=confidence, conformity_score=score, random_state=0
    )
    made.conformalize(LOGITS[:2000], LABELS[:2000])
    _, sets = made.predict_set(LOGITS[2000:], conformity_score_params=parameters)
    score = made._mapie_classifier.conformity_score_function_
    return sets[..., 0], float(score.quantiles_[0])


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_mapie_least_ambiguous_sets(coverage):
    sets, quantile = mapie_sets("lac", coverage)
    own = sigmax.conformal_sets(LOGITS[:2000], LABELS[:2000], coverage=coverage)
    close(own.threshold, quantile)
    np.testing.assert_array_equal(own.apply(LOGITS[2000:]), sets)


def test_mapie_adaptive_sets():
    """Its random shares are other numbers: equal on average. By default it adds the class that crosses."""
    sets, quantile = mapie_sets("aps", 0.9, include_last_label="randomized")
    own = sigmax.conformal_sets(LOGITS[:2000], LABELS[:2000], method="aps", coverage=0.9)
    close(own.threshold, quantile, abs=0.01)
    ours = own.apply(LOGITS[2000:])
    close(ours.sum(axis=1).mean(), sets.sum(axis=1).mean(), abs=0.05)
    held = [s[np.arange(2000), LABELS[2000:]].mean() for s in (ours, sets)]
    close(*held, abs=0.01)


# ---------------------------------------------------------------- model-diagnostics


@pytest.mark.parametrize(
    ("loss", "name", "factor"), [("brier", "SquaredError", 2), ("nll", "LogLoss", 1)]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_model_diagnostics_decomposition(loss, name, factor, weighted):
    """CORP: isotonic recalibration. Its squared error is of one class, ours is of both."""
    scoring = library("model_diagnostics.scoring")
    weights = np.random.default_rng(1).random(len(Z)) if weighted else None
    theirs = scoring.decompose(
        YES, P_YES, weights=weights, scoring_function=getattr(scoring, name)(), functional="mean"
    )
    own = sigmax.decompose(Z, YES, loss=loss, resamples=1, sample_weight=weights)
    close(own.loss, factor * theirs["score"][0])
    for part in ("miscalibration", "discrimination", "uncertainty"):
        close(getattr(own, part), factor * theirs[part][0], abs=1e-12)


# ---------------------------------------------------------------- relplot


@pytest.mark.parametrize("rows", [300, 4000])
@pytest.mark.parametrize("gap", [0.0, 0.3])
def test_relplot_smooth_error(rows, gap):
    """It halves the width ten times, from a grid of 201 points: 0.001 more or less."""
    metrics = library("relplot.metrics")
    z = Z[:rows]
    y = (np.random.default_rng(2).random(rows) < sigmax.sigmoid((1 - gap) * z)).astype(int)
    theirs = metrics.smECE(sigmax.sigmoid(z), y.astype(float))
    own = sigmax.evaluate_binary(z, y, resamples=1).smooth_ece
    close(own, theirs, abs=1.5e-3)


# ---------------------------------------------------------------- probmetrics


def test_probmetrics(whole):
    """Bins in float32: the error of a bin is known to its rounding."""
    torch, metrics = library("torch"), library("probmetrics.metrics")
    names = {
        "ece-15": "ece",
        "mce-15": "mce",
        "logloss": "nll",
        "brier": "brier",
        "accuracy": "accuracy",
    }
    made = metrics.Metrics.from_names([*names, "smece"])
    found = made.compute_all_from_labels_logits(torch.tensor(LABELS), torch.tensor(LOGITS))
    for theirs, ours in names.items():
        close(found[theirs], getattr(whole, ours), rel=1e-5)
    close(sigmax.calibration_error(LOGITS, LABELS, kind="smooth"), found["smece"], abs=1.5e-3)
