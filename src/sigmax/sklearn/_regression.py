"""Softmax regression: logistic regression of any number of classes, hard or soft labels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from sigmax import cross_entropy, log_sigmoid, log_softmax, sigmoid, softmax, value_and_grad
from sigmax.calibration import _direction

_loss_and_slope = value_and_grad(cross_entropy)


class SoftmaxRegression(ClassifierMixin, BaseEstimator):
    r"""Logistic regression of two or more classes, from class labels or from distributions.

    .. math:: \min_{W, b} \; C \sum_n s_n \, \operatorname{cross\_entropy}(W x_n + b, y_n) + \tfrac12 \lVert W \rVert^2

    The optimum is that of ``LogisticRegression`` with the same ``C``; two classes share one row of coefficients, as
    there. Labels may be distributions too: the soft labels of a teacher or of several annotators.

    Parameters
    ----------
    C : float
        Positive: the less, the stronger the penalty. inf is none.
    fit_intercept : bool
        Whether there is a b, which is not penalised.
    class_weight : dict, "balanced" or None
        Weights of the classes by their labels, or in inverse proportion to their frequencies.
    tol : float
        How far from the optimum the result may be, in standard errors of the coefficients taken together: the
        Newton decrement. It has no unit, and does not depend on the scale of the features.
    max_iter : int
        The most steps.
    warm_start : bool
        Whether ``fit`` starts from the coefficients of the call before.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels; of soft labels 0, 1, …
    coef_ : ndarray of shape (n_classes, n_features), or (1, n_features) for two classes
    intercept_ : ndarray of shape (n_classes,) or (1,)
    n_iter_ : int
        Steps taken.
    status_ : {"ok", "separable", "not_converged"}
        Whether this is the optimum, or why not. With ``C=inf`` separable classes have none: the coefficients grow
        without bound.
    message_ : str
        The same in a sentence.
    n_features_in_, feature_names_in_
        As of every estimator.

    References
    ----------
    Böhning, D. (1992). Multinomial logistic regression algorithm. doi:10.1007/BF00048682.
    Nocedal, J. (1980). Updating quasi-Newton matrices with limited storage. doi:10.1090/S0025-5718-1980-0572855-7.

    Examples
    --------
    >>> from sigmax.sklearn import SoftmaxRegression
    >>> X = [[0.0], [1.0], [2.0], [3.0]]
    >>> SoftmaxRegression().fit(X, ["no", "no", "yes", "yes"]).predict([[0.5], [2.5]])
    array(['no', 'yes'], dtype='<U3')
    >>> soft = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9]]
    >>> SoftmaxRegression(C=100.0).fit(X, soft).predict_proba([[1.5]]).round(3)
    array([[0.457, 0.543]])
    """

    coef_: Any
    intercept_: Any

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "C": [Interval(Real, 0, None, closed="right")],
        "fit_intercept": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "tol": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
    }

    def __init__(
        self,
        C: float = 1.0,  # noqa: N803
        *,
        fit_intercept: bool = True,
        class_weight: Any = None,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
    ) -> None:
        self.C = C
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SoftmaxRegression:  # noqa: N803
        """Find the optimum.

        Parameters
        ----------
        X : array_like or sparse matrix of shape (n_samples, n_features)
            float32 and float64 are computed with as they are.
        y : array_like of shape (n_samples,) or (n_samples, n_classes)
            Labels of any type, or distributions: rows of numbers in [0, 1] with sum 1.
        sample_weight : array_like of shape (n_samples,), optional
            Not negative. A weight of 2 is the same as the row twice.
        """
        self._validate_params()
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32])  # noqa: N806
        labels = self._labels(X, y)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        problem = _Problem(
            X, labels, weight, self._class_weights(labels, weight), self.C, self.fit_intercept
        )
        start = problem.zeros()
        before = getattr(self, "coef_", None) if self.warm_start else None
        if before is not None and before.shape == problem.shape:
            start = problem.join(before, self.intercept_)
        best, self.n_iter_, converged = problem.minimum(start, self.tol, self.max_iter)
        self.coef_, self.intercept_ = problem.split(best)
        self._diagnose(problem, best, converged)
        return self

    def _labels(self, X: Any, y: Any) -> Any:  # noqa: N803
        """Return class indices or distributions, and set the classes."""
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y is None"
            )
        soft = np.asarray(y)
        if soft.ndim == 2 and soft.shape[1] > 1:
            if soft.dtype.kind not in "biuf":
                raise ValueError(
                    f"y must be numbers where it has a column for each class, got dtype {soft.dtype}"
                )
            check_consistent_length(X, soft)
            self.classes_ = np.arange(soft.shape[1])
            return soft.astype(np.float64)
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        check_classification_targets(y)
        self.classes_, index = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y has one class, {self.classes_[0]!r}: a regression needs at least two (single_class)"
            )
        return index

    def _class_weights(self, labels: Any, weight: Any) -> Any:
        if self.class_weight is None:
            return None
        if labels.ndim == 1 or self.class_weight != "balanced":
            index = labels if labels.ndim == 1 else np.arange(len(self.classes_))
            return compute_class_weight(
                self.class_weight,
                classes=self.classes_,
                y=self.classes_[index],
                sample_weight=weight if labels.ndim == 1 else None,
            )
        mass = weight @ labels
        return mass.sum() / (len(mass) * np.where(mass > 0, mass, np.inf))

    def _diagnose(self, problem: _Problem, best: Any, converged: bool) -> None:
        if problem.is_separated(problem.value_and_slope(best)[0]):
            self.status_ = "separable"
            self.message_ = (
                "The features separate the classes: without a penalty the coefficients grow without bound. "
                "Pass a finite C."
            )
        elif converged:
            self.status_ = "ok"
            self.message_ = f"The optimum, after {self.n_iter_} steps."
        else:
            self.status_ = "not_converged"
            self.message_ = (
                f"Not at the optimum after {self.n_iter_} steps: pass a larger max_iter or tol."
            )
        if self.status_ != "ok":
            warnings.warn(self.message_, ConvergenceWarning, stacklevel=3)

    def decision_function(self, X: Any) -> Any:  # noqa: N803
        """Return the logits of shape (n_samples, n_classes); for two classes the log-odds, of shape (n_samples,)."""
        check_is_fitted(self)
        X = validate_data(  # noqa: N806
            self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False
        )
        logits = X @ self.coef_.T + self.intercept_
        return logits.ravel() if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """Return the probability of each class."""
        z = self.decision_function(X)
        if z.ndim == 2:
            return softmax(z)
        return np.stack([sigmoid(-z), sigmoid(z)], axis=1)

    def predict_log_proba(self, X: Any) -> Any:  # noqa: N803
        """Return the logarithms of the probabilities, with all their digits."""
        z = self.decision_function(X)
        if z.ndim == 2:
            return log_softmax(z)
        return np.stack([log_sigmoid(-z), log_sigmoid(z)], axis=1)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Return the most probable class of each row."""
        z = self.decision_function(X)
        return self.classes_[z.argmax(axis=1) if z.ndim == 2 else (z > 0).astype(int)]


_CHUNK = 1 << 19  # numbers at a time, which stay in the cache
_MOST_PARAMETERS = 2000  # of Newton's method
_MOST_WORK = 2e10  # of a step of Newton's method, in multiplications
_MOST_FEATURES = 2000  # for a metric of all pairs of features
_PAIRS = 30  # steps that L-BFGS remembers


class _Problem:
    """The loss per unit of weight, as a function of V = W·Rᵀ, the parameters in a metric RᵀR.

    W has the intercepts as its last column. At equal logits the Hessian is (I − 1/K)/K ⊗ Σ s·x·xᵀ. Its second factor,
    with the penalty, is the metric: in V, features have neither scale nor correlation.
    """

    def __init__(
        self,
        x: Any,
        labels: Any,
        weight: Any,
        class_weight: Any,
        strength: float,
        intercept: bool,
    ) -> None:
        self.x, self.labels, self.weight, self.class_weight = x, labels, weight, class_weight
        self.intercept = intercept
        self.classes = labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
        self.shape = (1 if self.classes == 2 else self.classes, x.shape[1])
        self.total = float(weight.sum())
        if not self.total > 0:
            raise ValueError(f"sample_weight must have a positive sum, got {self.total}")
        self.penalty = np.full(x.shape[1] + intercept, 1.0 / (strength * self.total))
        self.penalty[x.shape[1] :] = 0.0
        self.root = self.metric()

    # ------------------------------------------------------------ parameters

    def zeros(self) -> Any:
        return np.zeros((self.shape[0], len(self.penalty)))

    def to_metric(self, w: Any) -> Any:
        return w * self.root if self.root.ndim == 1 else w @ self.root.T

    def from_metric(self, v: Any) -> Any:
        return v / self.root if self.root.ndim == 1 else solve_triangular(self.root, v.T).T

    def slope_to_metric(self, g: Any) -> Any:
        if self.root.ndim == 1:
            return g / self.root
        return solve_triangular(self.root, g.T, trans="T").T

    def join(self, coef: Any, intercept: Any) -> Any:
        return self.to_metric(np.hstack([coef, intercept[:, None]]) if self.intercept else coef)

    def split(self, v: Any) -> tuple[Any, Any]:
        w = np.ascontiguousarray(self.from_metric(v))
        if not self.intercept:
            return w, np.zeros(len(w))
        b = w[:, -1].copy()
        # The same number for all intercepts changes nothing: the one with the sum 0 stands for all.
        return w[:, :-1].copy(), b if len(b) == 1 else b - b.mean()

    # ------------------------------------------------------------ chunks of rows

    def parts(self, width: int) -> Iterator[tuple[slice, Any]]:
        """Yield slices of rows and their features as float64, such that rows of `width` numbers fit the cache."""
        step = max(1, _CHUNK // width)
        for begin in range(0, self.x.shape[0], step):
            part = slice(begin, begin + step)
            yield part, self.x[part].astype(np.float64, copy=False)

    def metric(self) -> Any:
        """Return R: upper triangular, or its diagonal where there are many features."""
        share = (0.25 if self.classes == 2 else 1.0 / self.classes) / self.total
        size, features = len(self.penalty), self.shape[1]
        if features > _MOST_FEATURES:
            squares = np.full(size, self.total)
            squares[:features] = 0.0
            for part, x in self.parts(features):
                square = x.multiply(x) if issparse(x) else x * x
                squares[:features] += square.T @ self.weight[part]
            diagonal = share * squares + self.penalty
            return np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        gram = np.zeros((size, size))
        for part, x in self.parts(features):
            s = self.weight[part]
            weighted = x.multiply(s[:, None]) if issparse(x) else x * s[:, None]
            product = x.T @ weighted
            gram[:features, :features] += product.toarray() if issparse(x) else product
            if self.intercept:
                gram[-1, :features] += x.T @ s
        if self.intercept:
            gram[:features, -1] = gram[-1, :features]
            gram[-1, -1] = self.total
        metric = share * gram + np.diag(self.penalty)
        diagonal = np.diag(metric)
        # A little more for features that others determine, and 1 for those that are always 0.
        np.fill_diagonal(metric, np.where(diagonal > 0, diagonal * (1 + 1e-10), 1.0))
        return np.linalg.cholesky(metric).T

    def logits(self, x: Any, w: Any) -> Any:
        """Return the logits of rows; of two classes the first is 0."""
        features = self.shape[1]
        z = x @ w[:, :features].T
        if self.intercept:
            z += w[:, -1]
        return np.hstack([np.zeros_like(z), z]) if self.classes == 2 else z

    def value_and_slope(self, v: Any) -> tuple[float, Any]:
        w = self.from_metric(v)
        features = self.shape[1]
        slope = self.penalty * w
        losses = []
        for part, x in self.parts(self.classes):
            z = self.logits(x, w)
            loss, g = _loss_and_slope(
                z,
                self.labels[part],
                class_weight=self.class_weight,
                sample_weight=self.weight[part],
                reduction="sum",
                out=z,
            )
            losses.append(float(loss))
            g = g[:, 1:] if self.classes == 2 else g
            slope[:, :features] += (x.T @ g).T / self.total
            if self.intercept:
                slope[:, -1] += g.sum(axis=0) / self.total
        value = math.fsum(losses) / self.total + 0.5 * float((self.penalty * w * w).sum())
        return value, self.slope_to_metric(slope)

    # ------------------------------------------------------------ the optimum

    def minimum(self, v: Any, tol: float, max_iter: int) -> tuple[Any, int, bool]:
        """Return the minimum, the number of steps, and whether it was reached.

        The steps are Newton's where there are few parameters, else those of L-BFGS.
        """
        size = v.size
        newton = size <= _MOST_PARAMETERS and self.x.shape[0] * size**2 <= _MOST_WORK
        value, slope = self.value_and_slope(v)
        pairs: list[tuple[Any, Any]] = []
        for steps in range(max_iter + 1):
            flat = slope.ravel()
            direction = self.newton_direction(v, slope) if newton else _direction(flat, pairs)
            gain = -float(flat @ direction)
            if gain * self.total <= tol**2:
                return v, max(steps, 1), True
            if steps == max_iter or self.is_separated(value):
                break
            step, new_value = 1.0, math.inf
            while not new_value <= value - 1e-4 * step * gain + 1e-14 * abs(value):
                new = v + step * direction.reshape(v.shape)
                new_value, new_slope = self.value_and_slope(new)
                step /= 2
                if step < 2.0**-40:  # rounding errors are all that is left
                    return v, steps + 1, True
            pairs = [*pairs[1 - _PAIRS :], ((new - v).ravel(), (new_slope - slope).ravel())]
            if not pairs[-1][0] @ pairs[-1][1] > 0:
                pairs.pop()
            v, value, slope = new, new_value, new_slope
        return v, max(steps, 1), False

    def is_separated(self, value: float) -> bool:
        """Whether the loss is too small for a single row to be on the wrong side, and nothing holds it back."""
        hard = self.labels.ndim == 1 and not self.penalty.any()
        return hard and value * self.total < math.log(2) * self.least_mass()

    def least_mass(self) -> float:
        mass = self.masses(slice(None))
        return float(mass[mass > 0].min())

    def masses(self, part: slice) -> Any:
        """Return s·Σ w·q of rows."""
        s, labels, w = self.weight[part], self.labels[part], self.class_weight
        if labels.ndim == 1:
            return s if w is None else s * w[labels]
        return s * labels.sum(axis=1) if w is None else s * (labels @ w)

    def newton_direction(self, v: Any, slope: Any) -> Any:
        """Return −H⁻¹·slope, from the Hessian of W."""
        w = self.from_metric(v)
        rows, size = w.shape
        hessian = np.diag(np.tile(self.penalty, rows))
        blocks = hessian.reshape(rows, size, rows, size)
        for part, x in self.parts(w.size):
            x = x.toarray() if issparse(x) else x
            design = np.hstack([x, np.ones((len(x), 1))]) if self.intercept else x
            p = softmax(self.logits(x, w))
            mass = self.masses(part)[:, None] / self.total
            if rows == 1:
                hessian += design.T @ (mass * p[:, :1] * p[:, 1:] * design)
                continue
            each = (p[:, :, None] * design[:, None, :]).reshape(len(x), -1)
            hessian -= each.T @ (mass * each)
            for k in range(rows):
                blocks[k, :, k, :] += design.T @ (mass * p[:, k : k + 1] * design)
        diagonal = np.diag(hessian)
        # What changes no logit has no curvature: any will do for it.
        hessian[np.diag_indices(len(hessian))] += 1e-13 * diagonal.max() + (diagonal <= 0)
        slope_of_w = slope @ self.root if self.root.ndim == 2 else slope * self.root
        step = -np.linalg.solve(hessian, slope_of_w.ravel()).reshape(w.shape)
        return self.to_metric(step).ravel()
