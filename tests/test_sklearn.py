"""sigmax.sklearn: scikit-learn's own checks, the optimum of LogisticRegression, soft labels, calibration."""

import doctest
import pickle

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import estimator_checks_generator

import sigmax
from sigmax.sklearn import (
    SoftmaxRegression,
    TemperatureScaling,
    VectorScaling,
    _calibration,
    _regression,
)

ESTIMATORS = [
    SoftmaxRegression(),
    TemperatureScaling(cv=3),  # of 5 folds some checks have too few rows
    TemperatureScaling(cv=3, ensemble=False),
    VectorScaling(cv=3),
    VectorScaling(cv=3, ensemble=False),
]
FAST = 1  # of them; the checks of the others take a minute
CHECKS = [
    pytest.param(
        estimator,
        check,
        id=f"{k}-{check.func.__name__}",
        marks=pytest.mark.slow if k >= FAST else (),
    )
    for k, one in enumerate(ESTIMATORS)
    for estimator, check in estimator_checks_generator(one)
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_check_estimator(estimator, check):
    check(estimator)


def digits(rows: int = 300) -> tuple[np.ndarray, np.ndarray]:
    x, y = load_digits(return_X_y=True)
    return x[:rows] / 16, y[:rows]


def soft_labels(rows: int, classes: int, seed: int = 0) -> np.ndarray:
    return sigmax.softmax(np.random.default_rng(seed).normal(size=(rows, classes)))


@pytest.mark.parametrize("module", [_calibration, _regression])
def test_examples_run(module):
    assert doctest.testmod(module).failed == 0


# ---------------------------------------------------------------- softmax regression


@pytest.mark.parametrize(
    "options", [{}, {"C": 10.0, "fit_intercept": False}, {"class_weight": "balanced"}], ids=str
)
@pytest.mark.parametrize("classes", [2, 3])
def test_optimum_is_that_of_logistic_regression(classes, options):
    x, y = load_iris(return_X_y=True)
    x, y = (x[y > 0], y[y > 0] - 1) if classes == 2 else (x, y)
    s = np.random.default_rng(0).random(len(x))
    ours = SoftmaxRegression(tol=1e-9, **options).fit(x, y, s)
    theirs = LogisticRegression(tol=1e-12, max_iter=10_000, solver="newton-cg", **options).fit(
        x, y, s
    )
    assert ours.coef_.shape == theirs.coef_.shape
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=1e-5, atol=1e-7)
    assert ours.status_ == "ok"


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_soft_labels_are_weighted_duplicates(classes, class_weight):
    rng = np.random.default_rng(0)
    x, q, s = rng.normal(size=(80, 3)), soft_labels(80, classes), rng.random(80)
    model = SoftmaxRegression(class_weight=class_weight)
    soft = clone(model).fit(x, q, s)
    copies = np.repeat(x, classes, axis=0)
    hard = model.fit(copies, np.tile(np.arange(classes), 80), (q * s[:, None]).ravel())
    np.testing.assert_allclose(soft.coef_, hard.coef_, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(soft.intercept_, hard.intercept_, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("method", ["newton", "l-bfgs", "diagonal"])
def test_methods_find_the_same(method, monkeypatch):
    x, y = digits()
    expected = SoftmaxRegression(C=0.1).fit(x, y)
    if method != "newton":
        monkeypatch.setattr(_regression, "_MOST_PARAMETERS", 0)
    if method == "diagonal":
        monkeypatch.setattr(_regression, "_MOST_FEATURES", 0)
    monkeypatch.setattr(_regression, "_CHUNK", 65_000)
    for data in (x, sparse.csr_array(x)):
        found = SoftmaxRegression(C=0.1).fit(data, y)
        assert found.status_ == "ok"
        np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-6)


def test_gradient_vanishes_at_the_optimum():
    x, y = digits()
    model = SoftmaxRegression(tol=1e-9).fit(x, y)
    _, (_, of_weight, of_bias) = sigmax.value_and_grad(sigmax.linear_cross_entropy)(
        x, model.coef_, y, bias=model.intercept_, reduction="sum"
    )
    assert abs(of_weight + model.coef_).max() < 1e-8
    assert abs(of_bias).max() < 1e-8


def test_degenerate_data_is_named():
    with pytest.warns(ConvergenceWarning, match="separate the classes"):
        model = SoftmaxRegression(C=np.inf).fit([[0.0], [1.0], [2.0]], [0, 0, 1])
    assert model.status_ == "separable"
    with pytest.raises(ValueError, match=r"y has one class, .* \(single_class\)"):
        SoftmaxRegression().fit([[0.0], [1.0]], [1, 1])
    with pytest.warns(ConvergenceWarning, match="Not at the optimum after 1 steps"):
        model = SoftmaxRegression(max_iter=1).fit(*digits())
    assert model.status_ == "not_converged"
    x = np.zeros((4, 2))
    constant = SoftmaxRegression().fit(x, [0, 0, 0, 1])
    np.testing.assert_allclose(constant.predict_proba(x[:1]), [[0.75, 0.25]])


def test_labels_are_checked():
    x = np.zeros((2, 1))
    with pytest.raises(ValueError, match="labels must sum to 1"):
        SoftmaxRegression().fit(x, [[0.5, 0.4], [0.5, 0.5]])
    with pytest.raises(ValueError, match="y must be numbers where it has a column for each class"):
        SoftmaxRegression().fit(x, [["a", "b"], ["c", "d"]])
    with pytest.raises(ValueError, match="at least one non-zero number"):
        SoftmaxRegression().fit(x, [0, 1], [0.0, 0.0])


def test_warm_start_and_pickle():
    x, y = digits()
    cold = SoftmaxRegression(C=0.1, warm_start=True).fit(x, y)
    coef, steps = cold.coef_, cold.n_iter_
    warm = cold.fit(x, y)
    assert warm.n_iter_ < steps
    np.testing.assert_allclose(warm.coef_, coef, atol=1e-7)
    twin = pickle.loads(pickle.dumps(warm))
    np.testing.assert_array_equal(twin.predict_proba(x), warm.predict_proba(x))


def test_log_probabilities_keep_their_digits():
    model = SoftmaxRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 2])
    z = model.decision_function([[1e3]])
    np.testing.assert_array_equal(model.predict_log_proba([[1e3]]), sigmax.log_softmax(z))
    assert model.predict_log_proba([[1e3]]).max() < 0
    binary = SoftmaxRegression().fit([[0.0], [1.0]], [0, 1])
    np.testing.assert_allclose(
        np.exp(binary.predict_log_proba([[0.3]])), binary.predict_proba([[0.3]])
    )


# ---------------------------------------------------------------- calibration


@pytest.mark.parametrize("scaling", [TemperatureScaling, VectorScaling])
@pytest.mark.parametrize(
    "classifier",
    [
        SVC(),
        LinearSVC(),
        RandomForestClassifier(20, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression(C=1e4, max_iter=1000)),
    ],
    ids=lambda c: type(c).__name__,
)
def test_calibration_makes_the_loss_small(classifier, scaling):
    x, y = digits(900)
    train, test = slice(0, 600), slice(600, None)
    plain = clone(classifier).fit(x[train], y[train])
    calibrated = scaling(classifier, cv=3, ensemble=False).fit(x[train], y[train])
    p = calibrated.predict_proba(x[test])
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    z = plain.decision_function(x[test]) if hasattr(plain, "decision_function") else None
    before = log_loss(y[test], sigmax.softmax(z) if z is not None else plain.predict_proba(x[test]))
    assert log_loss(y[test], p) < before
    if scaling is TemperatureScaling:  # the winner stays
        np.testing.assert_array_equal(calibrated.predict(x[test]), plain.predict(x[test]))


def test_frozen_classifier():
    """By hand: one temperature of the logits of all rows."""
    x, y = digits(900)
    model = LogisticRegression(C=1e3, max_iter=2000).fit(x[:300], y[:300])
    calibrated = TemperatureScaling(FrozenEstimator(model)).fit(x[300:600], y[300:600])
    ((_, fit),) = calibrated.calibrated_
    expected = sigmax.fit_temperature(
        model.decision_function(x[300:600]), y[300:600], label_smoothing=1 / 301
    )
    np.testing.assert_allclose(fit.temperature, expected.temperature, rtol=1e-12)
    np.testing.assert_allclose(
        calibrated.predict_proba(x[600:]),
        sigmax.softmax(model.decision_function(x[600:]), temperature=fit.temperature),
        rtol=1e-12,
    )


def test_ensemble_is_the_mean_of_folds():
    x, y = digits()
    calibrated = TemperatureScaling(GaussianNB(), cv=3).fit(x, y)
    assert len(calibrated.calibrated_) == 3
    each = [
        fit.apply(np.maximum(model.predict_log_proba(x), np.log(np.finfo(float).eps)))
        for model, fit in calibrated.calibrated_
    ]
    np.testing.assert_allclose(calibrated.predict_proba(x), np.mean(each, axis=0), rtol=1e-12)


def test_calibration_refuses_what_it_cannot_do():
    x, y = digits()
    with pytest.raises(ValueError, match="must return a score for each of 10 classes, got shape"):
        TemperatureScaling(SVC(decision_function_shape="ovo"), cv=2).fit(x, y)
    with pytest.raises(ValueError, match="a class has only 1 rows"):
        TemperatureScaling().fit(x[:10], y[:10])
    with pytest.raises(ValueError, match=r"y has one class, .* \(single_class\)"):
        TemperatureScaling().fit(x, np.zeros(len(x)))
    flat = np.zeros((20, 1))
    with pytest.warns(ConvergenceWarning, match="not calibrated: All 10 rows have equal logits"):
        found = TemperatureScaling(cv=2).fit(flat, np.arange(20) % 2)
    np.testing.assert_allclose(found.predict_proba(flat[:1]), [[0.5, 0.5]])


def test_metadata_is_routed():
    x, y = load_iris(return_X_y=True)
    groups = np.arange(len(x)) % 5
    weight = np.random.default_rng(0).random(len(x))
    with sklearn.config_context(enable_metadata_routing=True):
        model = SoftmaxRegression().set_fit_request(sample_weight=True)
        calibrated = TemperatureScaling(model, cv=GroupKFold(5)).set_fit_request(sample_weight=True)
        calibrated.fit(x, y, sample_weight=weight, groups=groups)
        assert len(calibrated.calibrated_) == 5
        pipeline = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            SoftmaxRegression().set_fit_request(sample_weight=True),
        )
        pipeline.fit(x, y, sample_weight=weight)
    scaled = StandardScaler().fit_transform(x)
    np.testing.assert_allclose(
        pipeline[-1].coef_, SoftmaxRegression().fit(scaled, y, weight).coef_, rtol=1e-12
    )


def test_feature_names():
    pandas = pytest.importorskip("pandas")
    x, y = load_iris(return_X_y=True)
    frame = pandas.DataFrame(x, columns=list("abcd"))
    for model in (SoftmaxRegression(), TemperatureScaling()):
        model.fit(frame, y)
        assert list(model.feature_names_in_) == list("abcd")
        assert model.n_features_in_ == 4
