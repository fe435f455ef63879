"""Calibration of any classifier by one temperature, or by a scale and a bias per class."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, check_consistent_length, column_or_1d, get_tags, indexable
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, has_fit_parameter

import sigmax
from sigmax._rows import rows
from sigmax.calibration import vector_fit

from ._regression import SoftmaxRegression

_LEAST = float(np.finfo(np.float64).eps)  # a smaller probability is not meant


class _Scaling(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """What the calibrations have in common: the classifier, the folds, and the logits."""

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "estimator": [
            HasMethods(["fit", "predict_proba"]),
            HasMethods(["fit", "decision_function"]),
            None,
        ],
        "cv": ["cv_object"],
        "n_jobs": [None, int],
        "ensemble": ["boolean", StrOptions({"auto"})],
    }

    def __init__(
        self, estimator: Any = None, *, cv: Any = None, n_jobs: Any = None, ensemble: Any = "auto"
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.ensemble = ensemble

    @staticmethod
    def _calibrate(logits: Any, labels: Any, weight: Any) -> Any:
        raise NotImplementedError

    def _classifier(self) -> Any:
        return SoftmaxRegression() if self.estimator is None else self.estimator

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = get_tags(self._classifier()).input_tags.sparse
        return tags

    def get_metadata_routing(self) -> Any:
        """Return how ``fit`` passes its metadata on: to the classifier and to the splitter."""
        fit = MethodMapping().add(caller="fit", callee="fit")
        split = MethodMapping().add(caller="fit", callee="split")
        router = MetadataRouter(owner=self).add_self_request(self)
        return router.add(estimator=self._classifier(), method_mapping=fit).add(
            splitter=self.cv, method_mapping=split
        )

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **metadata: Any) -> Any:  # noqa: N803
        """Fit the classifier and the calibration.

        Parameters
        ----------
        X : array_like of shape (n_samples, n_features)
            As the classifier takes it.
        y : array_like of shape (n_samples,)
            Labels.
        sample_weight : array_like of shape (n_samples,), optional
            Of the calibration, and of the classifier if it takes them.
        **metadata
            For the classifier's ``fit`` and the splitter, by scikit-learn's metadata routing.
        """
        self._validate_params()
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None"
            )
        check_classification_targets(y)
        X, y = indexable(X, y)  # noqa: N806
        if len(y) == 0:
            raise ValueError("X has 0 rows: at least one of each class is needed")
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class, {self.classes_[0]!r}: nothing can be calibrated (single_class)"
            )
        classifier = self._classifier()
        routed = process_routing(self, "fit", **metadata)
        arguments = dict(routed.estimator.fit)
        if sample_weight is not None and has_fit_parameter(classifier, "sample_weight"):
            arguments["sample_weight"] = sample_weight
        ensemble = self.ensemble
        if ensemble == "auto":
            ensemble = not isinstance(classifier, FrozenEstimator)
        cv = check_cv(self.cv, y, classifier=True)
        self._check_folds(cv, index)
        folds = list(cv.split(X, y, **routed.splitter.split))
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(_fit_fold)(clone(classifier), X, y, train, test, arguments, self.classes_)
            for train, test in folds
        )
        tests = [test for _, test in folds]
        weights = [None if sample_weight is None else sample_weight[test] for test in tests]
        labels = [index[test] for test in tests]
        if ensemble:
            parts = zip(fits, labels, weights, strict=True)
            self.calibrated_ = [(one, self._fitted(z, n, w)) for (one, z), n, w in parts]
        else:
            weight = None if sample_weight is None else sample_weight[np.concatenate(tests)]
            logits = np.concatenate([z for _, z in fits])
            whole = clone(classifier).fit(X, y, **arguments)
            self.calibrated_ = [(whole, self._fitted(logits, np.concatenate(labels), weight))]
        first = self.calibrated_[0][0]
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(first, name):
                setattr(self, name, getattr(first, name))
        return self

    def _check_folds(self, cv: Any, index: Any) -> None:
        folds, least = getattr(cv, "n_splits", None), np.bincount(index).min()
        if folds is not None and least < folds and hasattr(cv, "shuffle"):
            raise ValueError(
                f"cv has {folds} folds, but a class has only {least} rows: "
                "pass a smaller cv, a fitted classifier in a FrozenEstimator, or more rows"
            )

    def _fitted(self, logits: Any, labels: Any, weight: Any) -> Any:
        """Return the calibration; what cannot be calibrated is told and left as it is."""
        fit = self._calibrate(logits, labels, weight)
        if fit.status not in ("ok", "not_converged"):
            warnings.warn(f"not calibrated: {fit.message}", ConvergenceWarning, stacklevel=3)
        return fit

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """Return the calibrated probabilities, with an ensemble their mean."""
        check_is_fitted(self)
        each = [
            _probabilities(fit, _logits(classifier, X, self.classes_))
            for classifier, fit in self.calibrated_
        ]
        return each[0] if len(each) == 1 else np.mean(each, axis=0)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Return the class of the largest probability."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def _fit_fold(
    classifier: Any,
    X: Any,  # noqa: N803
    y: Any,
    train: Any,
    test: Any,
    arguments: Any,
    classes: Any,
) -> tuple[Any, Any]:
    """Return the classifier fitted on one part, and its logits of the other."""
    part = {
        key: _safe_indexing(value, train)
        if hasattr(value, "__len__") and len(value) == len(y)
        else value
        for key, value in arguments.items()
    }
    classifier.fit(_safe_indexing(X, train), _safe_indexing(y, train), **part)
    return classifier, _logits(classifier, _safe_indexing(X, test), classes)


def _logits(classifier: Any, X: Any, classes: Any) -> Any:  # noqa: N803
    """Return numbers whose softmax the classifier means: its scores, else its log-probabilities."""
    known = classifier.classes_
    z = _scores(classifier, X, len(known))
    if len(known) == len(classes):
        return z
    whole = np.full((len(z), len(classes)), z.min(axis=1, keepdims=True) + np.log(_LEAST))
    whole[:, np.searchsorted(classes, known)] = z
    return whole


def _scores(classifier: Any, X: Any, count: int) -> Any:  # noqa: N803
    if hasattr(classifier, "decision_function"):
        z = np.asarray(classifier.decision_function(X))
        if z.ndim == 1 and count == 2:
            return np.stack([np.zeros_like(z), z], axis=1)  # log-odds, or a distance in their place
        if z.ndim == 2 and z.shape[1] == count:
            return z
        if not hasattr(classifier, "predict_proba"):  # one against one, for instance
            raise ValueError(
                f"decision_function must return a score for each of {count} classes, got shape {z.shape}: "
                "of an SVC pass decision_function_shape='ovr'"
            )
    if hasattr(classifier, "predict_log_proba"):
        with np.errstate(divide="ignore"):
            z = np.asarray(classifier.predict_log_proba(X))
    else:
        with np.errstate(divide="ignore"):
            z = np.log(np.asarray(classifier.predict_proba(X)))
    return np.maximum(z, np.log(_LEAST))


def _smoothing(labels: Any, weight: Any) -> float:
    """Return the share of one more observation that is spread over the classes: a weight of 2 is two rows."""
    return 1.0 / (1.0 + (len(labels) if weight is None else float(weight.sum())))


def _probabilities(fit: Any, logits: Any) -> Any:
    """Return the probabilities at the fit; chance is the limit of high temperatures, else nothing is changed."""
    if fit.status in ("ok", "not_converged"):
        return fit.apply(logits)
    return sigmax.softmax(np.zeros_like(logits) if fit.status == "chance" else logits)


class TemperatureScaling(_Scaling):
    r"""Calibrate a classifier by one temperature, found on rows that it has not seen.

    .. math:: p = \operatorname{softmax}(z / T)

    z are the classifier's ``decision_function``, if that has a score for each class (of two classes: the log-odds),
    else its log-probabilities, of which those below 2.2e-16 count as that. The predicted class stays as it is.

    Parameters
    ----------
    estimator : classifier, optional
        Fitted here, on parts of the rows; wrap one that is fitted in ``sklearn.frozen.FrozenEstimator``.
        A ``SoftmaxRegression`` unless given.
    cv : int, splitter, iterable of splits or None
        How rows are split: five stratified folds unless given.
    n_jobs : int, optional
        Folds at a time.
    ensemble : bool or "auto"
        True: a classifier and a calibration for each fold, and the mean of their probabilities. False: one classifier
        for all rows, and one calibration from the logits of all folds. "auto": True, but for a FrozenEstimator.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    calibrated_ : list of (classifier, TemperatureFit)
        The fits have the temperature, its interval, and the status of :func:`sigmax.fit_temperature`.
    n_features_in_, feature_names_in_
        As of the classifier.

    References
    ----------
    Guo, C., Pleiss, G., Sun, Y., Weinberger, K. Q. (2017). On calibration of modern neural networks. arXiv:1706.04599.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sigmax.sklearn import TemperatureScaling
    >>> X, y = load_iris(return_X_y=True)
    >>> calibrated = TemperatureScaling(GaussianNB(), ensemble=False).fit(X, y)
    >>> print(round(calibrated.calibrated_[0][1].temperature, 2))
    2.63
    """

    @staticmethod
    def _calibrate(logits: Any, labels: Any, weight: Any) -> Any:
        smoothing = _smoothing(labels, weight)
        return sigmax.fit_temperature(
            logits, labels, sample_weight=weight, label_smoothing=smoothing
        )


class VectorScaling(_Scaling):
    r"""Calibrate a classifier by a scale and a bias per class, found on rows that it has not seen.

    .. math:: p = \operatorname{softmax}(a \circ z + b)

    For classifiers that prefer some classes wrongly. How far scale and bias may go is taken from the data
    (:func:`sigmax.fit_vector_scaling`). Parameters and attributes are those of :class:`TemperatureScaling`.

    References
    ----------
    Guo, C., Pleiss, G., Sun, Y., Weinberger, K. Q. (2017). On calibration of modern neural networks. arXiv:1706.04599.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sigmax.sklearn import VectorScaling
    >>> X, y = load_iris(return_X_y=True)
    >>> VectorScaling(GaussianNB()).fit(X, y).predict_proba(X[:1]).round(3)
    array([[0.997, 0.002, 0.001]])
    """

    @staticmethod
    def _calibrate(logits: Any, labels: Any, weight: Any) -> Any:
        each = rows(logits, labels, -1, sample_weight=weight, padded=True)
        return vector_fit(each, _smoothing(labels, weight), None, repeats=True)
