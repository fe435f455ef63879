"""From probabilities to decisions: which rows to answer, from which probability on, and what errors cost."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _intervals, _rows
from ._arguments import in_exact_arithmetic
from ._numbers import ratio
from ._questions import questions, scored, units
from ._ranking import Number, Order
from ._rows import Chunk
from ._tables import NOTHING, answers_of
from .evaluation import Estimate
from .normalization import softmax

__all__ = ["RiskCoverage", "Threshold", "choose_threshold", "decide", "risk_coverage"]

Goal = Literal["accuracy", "cost", "f1", "precision", "recall"]
_FEWEST = 50  # rows to choose a threshold from, and score it
_POINTS = 200  # of a curve


# ---------------------------------------------------------------- which rows to answer


@dataclass(frozen=True)
class RiskCoverage:
    """What :func:`risk_coverage` measures.

    Attributes
    ----------
    aurc : Estimate
        Area under the curve of the error rate by coverage: the mean error rate, where each row in turn is the least
        confident that is answered.
    excess : float
        The aurc less that of an order in which all right rows come first.
    auroc : Estimate
        How often a right row is more confident than a wrong one; NaN without both.
    coverage, accuracy : ndarray
        Share of the rows that are answered, the most confident first, and accuracy among them. Rows of one confidence
        are answered together.
    confidence : ndarray
        The least confidence that is answered.
    rows : int
    """

    aurc: Estimate
    excess: float
    auroc: Estimate
    coverage: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray
    rows: int

    def accuracy_at(self, coverage: float) -> Estimate:
        """Return the accuracy of the most confident share of the rows, the nearest there is at least."""
        share = _arguments.number(coverage, "coverage", 0.0, 1.0)
        return self._at(
            min(int(np.searchsorted(self.coverage, share - 1e-12)), len(self.coverage) - 1)
        )

    def coverage_at(self, accuracy: float) -> Estimate:
        """Return the largest share of the rows that can be answered with this accuracy; 0 if there is none.

        The interval has the shares whose own accuracy's interval has it.
        """
        goal = _arguments.number(accuracy, "accuracy", 0.0, 1.0)
        places, low, high = self._intervals
        ends = (_last(self.coverage[places], x >= goal) for x in (low, high))
        value = _last(self.coverage, self.accuracy >= goal)
        low_end, high_end = ends
        return Estimate(value, (min(low_end, value), max(high_end, value)))

    @cached_property
    def _intervals(self) -> tuple[Any, Any, Any]:
        """Some places of the curve, and the ends of the intervals of the accuracies there."""
        order: Order = self._order  # type: ignore[attr-defined]
        at = np.linspace(0, 1, _POINTS if order.names is None else _POINTS // 4)
        places = np.unique(np.searchsorted(self.coverage, at).clip(0, len(self.coverage) - 1))
        return places, *np.array([self._at(k).interval for k in places]).T

    def _of(self, order: Order) -> "RiskCoverage":
        object.__setattr__(self, "_order", order)
        return self

    def _at(self, k: int) -> Estimate:
        """Return the accuracy at the k-th place. The confidence there is an estimate too."""
        order: Order = self._order  # type: ignore[attr-defined]
        share, accuracy = self.coverage[k], float(self.accuracy[k])
        answered, both = np.arange(len(self.coverage)) <= k, order.positive + order.negative
        near = np.abs(self.coverage - share) <= max(0.05, len(self.coverage) ** -0.5)
        here, total = order.positive[near].sum() / both[near].sum(), both.sum()
        of_place = (here - accuracy) * (answered - share)
        by_positive, by_negative = (1 - accuracy) * answered, -accuracy * answered
        scale, count = share * total, float(share * total)
        number = Number(
            accuracy, (by_positive - of_place) / scale, (by_negative - of_place) / scale, count
        )
        error = order.error(number)
        ends = _intervals.of_rows(accuracy, error, count, order.confidence, order.units)
        return Estimate(accuracy, ends)


def _last(values: Any, which: Any) -> float:
    return float(values[which][-1]) if which.any() else 0.0


@in_exact_arithmetic
def risk_coverage(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    multilabel: bool = False,
    confidence: float = 0.95,
    groups: ArrayLike | None = None,
) -> RiskCoverage:
    r"""Measure how the error rate falls when only the more confident rows are answered.

    .. math:: \mathrm{AURC} = \frac{\sum_n s_n \, r(p_n)}{\sum_n s_n}, \quad
        r(t) = \frac{\sum_{p_n \ge t} s_n [\text{wrong}]}{\sum_{p_n \ge t} s_n}

    Parameters
    ----------
    logits, labels, axis, from_logits, temperature, sample_weight, ignore_index, where, multilabel, confidence, groups
        As for :func:`evaluate`.

    Returns
    -------
    RiskCoverage
        Largest error: as for :func:`evaluate`, from probabilities within 1 ULP. Intervals have the variance of
        what each row, or group, adds.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`.

    References
    ----------
    Geifman, Y., El-Yaniv, R. (2017). Selective classification for deep neural networks. arXiv:1705.08500.
    Geifman, Y., Uziel, G., El-Yaniv, R. (2019). Bias-reduced uncertainty estimation. arXiv:1805.08206 (the excess).

    Examples
    --------
    >>> import sigmax
    >>> p = [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]
    >>> curve = sigmax.risk_coverage(p, [0, 0, 1, 0], from_logits=False)
    >>> print(round(curve.aurc, 6), round(curve.auroc, 6), round(curve.accuracy_at(0.5), 6))
    0.145833 0.666667 1.0
    """
    rows = _rows.rows_of(locals())
    level = _arguments.confidence(confidence)
    columns = rows.kept(_ranked, rows.weight is not None)
    count = sum(columns.map(_length).gather())
    if not count:
        raise ValueError(NOTHING)
    order = Order.of_parts(columns, level, shares=True)
    accuracy, area = order.mean_share(), order.area()
    low, high = order.interval(accuracy)
    aurc = Estimate(1 - accuracy.value, (1 - high, 1 - low), half_width=accuracy.half_width)
    answered = order.true + order.false
    return RiskCoverage(
        aurc=aurc,
        excess=float(aurc) - _least_area(order),
        auroc=Estimate(area.value, order.interval(area), half_width=area.half_width),
        coverage=answered / answered[-1],
        accuracy=ratio(order.true, answered),
        confidence=order.least,
        rows=count,
    )._of(order)


def _answers(chunk: Chunk) -> tuple[Any, ...]:
    """Return how sure the winners are, whether they are right, the weights, and what is drawn together."""
    sure, right = answers_of(chunk)
    return sure, right * 1.0, chunk.weight, units(chunk)


def _ranked(chunk: Chunk, weighted: bool) -> tuple[Any, ...]:
    """As `_answers`, in few bytes: no weights of 1, no units that are the rows."""
    sure, right = answers_of(chunk)
    return sure, right, chunk.weight if weighted else None, chunk.groups


def _length(columns: Any) -> int:
    return len(columns[0])


def _least_area(order: Order) -> float:
    """Return the area of the right rows first, then the wrong ones one by one, the lightest first."""
    right, wrong = order.positive.sum(), order.negative.sum()
    if not wrong:
        return 0.0
    weight = np.sort(np.concatenate(order.columns.map(_wrong).gather()))
    so_far = np.cumsum(weight)
    return float(weight @ (so_far / (right + so_far)) / (right + wrong))


def _wrong(columns: Any) -> Any:
    """Return the weights of wrong rows, or parts of rows."""
    _, right, weight, _ = columns
    wrong = 1.0 - right[right < 1]
    return wrong if weight is None else wrong * weight[right < 1]


# ---------------------------------------------------------------- from which probability on


@dataclass(frozen=True)
class Threshold:
    """What :func:`choose_threshold` finds.

    Attributes
    ----------
    threshold : float
        Rows from this probability on are answered (``goal="accuracy"``), or answered yes. inf: none.
    goal : str
    value : float or None
        As given.
    scores : dict of Estimate
        On the rows that did not choose: for ``"accuracy"`` accuracy and coverage, else precision, recall, f1, accuracy
        and, of the costs, cost per row.
    interval : (float, float)
        In which the threshold lies if other rows choose.
    chosen_from, scored_on : int
        Rows of the two halves.
    """

    threshold: float
    goal: str
    value: float | None
    scores: dict[str, Estimate]
    interval: tuple[float, float]
    chosen_from: int
    scored_on: int


@in_exact_arithmetic
def choose_threshold(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    goal: Goal,
    value: float | None = None,
    costs: tuple[float, float] = (1.0, 1.0),
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    multilabel: bool = False,
    confidence: float = 0.95,
    resamples: int = 200,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Threshold:
    r"""Choose a threshold on a random half of the rows, and score it on the other half.

    .. math:: t = \operatorname{arg\,min}_t \; c_{fp} \sum_{p_n \ge t} s_n (1 - y_n) + c_{fn} \sum_{p_n < t} s_n y_n

    for ``goal="cost"``. A threshold that is scored on the rows that chose it looks better than it is.

    Parameters
    ----------
    logits, labels, axis, from_logits, temperature, sample_weight, ignore_index, where, multilabel
        As for :func:`evaluate`; of all goals but ``"accuracy"`` yes-or-no questions, as for :func:`fit_platt`.
    goal : {"accuracy", "cost", "f1", "precision", "recall"}
        ``"accuracy"``: answer as many rows as are right in a share ``value`` of them. ``"cost"``: the least.
        ``"f1"``: the largest. ``"precision"``: the largest recall with this precision at least. ``"recall"``: the
        largest precision with this recall at least.
    value : float, optional
        In [0, 1]: of the accuracy, precision or recall.
    costs : (float, float)
        Of a false yes and of a false no: not negative.
    confidence, groups, seed
        As for :func:`evaluate`; the halves have whole groups.
    resamples : int
        Both halves are resampled together. The one chooses anew, which makes the interval of the threshold; the other
        says how far the score of such a threshold may be off, which makes those of the scores of this one.

    Returns
    -------
    Threshold
        Largest error: as for :func:`evaluate`, from probabilities within 1 ULP.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`, and with fewer than 50 rows: neither half would say anything.

    References
    ----------
    Elkan, C. (2001). The foundations of cost-sensitive learning. https://dl.acm.org/doi/10.5555/1642194.1642224.

    Examples
    --------
    >>> import sigmax
    >>> import numpy as np
    >>> x = np.linspace(-4, 4, 2001)
    >>> y = (np.sin(1e4 * x) + 1) / 2 < sigmax.sigmoid(x)
    >>> chosen = sigmax.choose_threshold(x, y, goal="cost", costs=(1, 9))
    >>> print(chosen.threshold < 0.3, chosen.scores["cost"] < 0.6)
    True True
    """
    _arguments.choice(goal, "goal", ("accuracy", "cost", "f1", "precision", "recall"))
    needs = goal in ("accuracy", "precision", "recall")
    if needs != (value is not None):
        raise ValueError(
            f"value must be {'given' if needs else 'left out'} for goal={goal!r}, got {value}"
        )
    value = None if value is None else _arguments.number(value, "value", 0.0, 1.0)
    prices = tuple(_arguments.number(c, "costs", 0.0, _arguments.LARGEST) for c in costs)
    if len(prices) != 2:
        raise ValueError(
            f"costs must be two numbers, of a false yes and of a false no, got {costs}"
        )
    make = _rows.rows_of if goal == "accuracy" else questions
    rows = make(locals())
    level, seed = _arguments.confidence(confidence), _arguments.integer(seed, "seed", 0)
    resamples = _arguments.count(resamples, "resamples")
    if goal == "accuracy":
        p, y, weight, unit = rows.collect(_answers)
    else:
        _, p, y, weight, unit = rows.collect(scored)
    if len(p) < _FEWEST:
        raise ValueError(f"a threshold needs {_FEWEST} rows to choose from and score, got {len(p)}")
    rng = np.random.default_rng([seed, 3])
    halves = _halves(p, y, weight, unit, rng)
    chooser = _Chooser(goal, value, prices)
    threshold = chooser.choose(halves[0], None)
    scores = chooser.scores(halves[1], threshold, None)
    draws = [half.draw(rng) for _ in range(resamples) for half in halves]
    chosen = [chooser.choose(halves[0], draw) for draw in draws[::2]]
    again = [
        [chooser.scores(halves[1], t, counts) for counts in (draw, None)]
        for t, draw in zip(chosen, draws[1::2], strict=True)
    ]
    estimates, units = {}, int(halves[1].unit.max()) + 1
    for name, score in scores.items():
        # How far the score of a threshold is off, over thresholds that other rows choose: not how far these differ.
        spread = score + np.array([drawn[name] - whole[name] for drawn, whole in again])
        spread = np.clip(spread[~np.isnan(spread)], 0.0, None if name == "cost" else 1.0)
        ends = _intervals.percentiles(spread, level, units) if len(spread) else (math.nan,) * 2
        estimates[name] = Estimate(score, ends, spread)
    interval = _intervals.percentiles(np.array(chosen), level)
    counts = len(halves[0].p), len(halves[1].p)
    return Threshold(threshold, goal, value, estimates, interval, *counts)


@dataclass
class _Half:
    """Rows in the order of their probability, the largest first."""

    p: Any
    y: Any
    weight: Any
    unit: Any  # numbers from 0 on
    ends: Any  # the last row of each probability

    @classmethod
    def of(cls, p: Any, y: Any, weight: Any, unit: Any) -> "_Half":
        order = np.argsort(-p, kind="stable")
        p = p[order]
        _, unit = np.unique(unit[order], return_inverse=True)
        return cls(
            p,
            y[order],
            weight[order],
            unit.ravel(),
            np.append(np.flatnonzero(np.diff(p)), len(p) - 1),
        )

    def draw(self, rng: Any) -> Any:
        """Return how often each row is in a resample of the units."""
        count = int(self.unit.max()) + 1
        return np.bincount(rng.integers(0, count, count), minlength=count)[self.unit]


def _halves(p: Any, y: Any, weight: Any, unit: Any, rng: Any) -> list[_Half]:
    names, of = np.unique(unit, return_inverse=True)
    if len(names) < 2:
        raise ValueError("groups must be two at least, one to choose from and one to score, got 1")
    chosen = np.zeros(len(names), bool)
    chosen[rng.permutation(len(names))[: len(names) // 2]] = True
    first = chosen[of.ravel()]
    return [_Half.of(*(x[rows] for x in (p, y, weight, unit))) for rows in (first, ~first)]


@dataclass
class _Chooser:
    goal: str
    value: float | None
    costs: tuple[float, ...]

    def choose(self, half: _Half, counts: Any) -> float:
        weight = half.weight if counts is None else half.weight * counts
        true, false = (np.cumsum(x)[half.ends] for x in (weight * half.y, weight * (1 - half.y)))
        yes, most = true + false, true[-1]
        precision, recall = ratio(true, yes, math.nan), true / most if most else true * 0.0
        if self.goal == "accuracy":
            good = np.where(precision >= self.value, yes, -1.0)
        elif self.goal == "cost":
            good = np.append(
                -self.costs[1] * most, -self.costs[0] * false - self.costs[1] * (most - true)
            )
        elif self.goal == "f1":
            good = 2 * true / (yes + most)
        elif self.goal == "precision":
            good = np.where(precision >= self.value, recall, -1.0)
        else:
            good = np.where(recall >= self.value, np.nan_to_num(precision, nan=-1.0), -1.0)
        best = int(np.argmax(good))
        if self.goal == "cost":
            return math.inf if best == 0 else float(half.p[half.ends[best - 1]])
        return float(half.p[half.ends[best]]) if good[best] >= 0 else math.inf

    def scores(self, half: _Half, threshold: float, counts: Any) -> dict[str, float]:
        weight = half.weight if counts is None else half.weight * counts
        yes, total = half.p >= threshold, weight.sum()
        positive, negative = weight * half.y, weight * (1 - half.y)
        tp, fp, fn, tn = (
            float(x.sum()) for x in (positive[yes], negative[yes], positive[~yes], negative[~yes])
        )
        if self.goal == "accuracy":
            return {"accuracy": _share(tp, tp + fp), "coverage": _share(tp + fp, total)}
        return {
            "precision": _share(tp, tp + fp),
            "recall": _share(tp, tp + fn),
            "f1": _share(2 * tp, 2 * tp + fp + fn),
            "accuracy": _share(tp + tn, total),
            "cost": (self.costs[0] * fp + self.costs[1] * fn) / total,
        }


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


# ---------------------------------------------------------------- what errors cost


@in_exact_arithmetic
def decide(
    logits: ArrayLike,
    costs: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
) -> Any:
    r"""Choose for each row the answer that costs least on average, if the probabilities are honest.

    .. math:: a = \operatorname{arg\,min}_a \sum_k p_k \, c_{ka}

    Parameters
    ----------
    logits : array_like of real numbers, shape (..., C, ...)
        Or probabilities with ``from_logits=False``.
    costs : array_like, shape (C, A)
        What answer a costs where the label is k. There may be more answers than classes, as a last one that hands the
        row to a person at a price.
    axis, from_logits, temperature
        As for :func:`evaluate`.

    Returns
    -------
    ndarray of int, shape of the rows
        The first of the cheapest answers. Largest error of a cost: that of a sum of float64 numbers, some ULP.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of real numbers, ``costs`` are not finite or of another number of classes.

    References
    ----------
    Chow, C. K. (1970). On optimum recognition error and reject tradeoff. doi:10.1109/TIT.1970.1054406.

    Examples
    --------
    >>> import sigmax
    >>> costs = [[0, 1, 0.3], [9, 0, 0.3]]      # a missed 1 costs 9, a person 0.3
    >>> sigmax.decide([[0.99, 0.01], [0.8, 0.2], [0.1, 0.9]], costs, from_logits=False)
    array([0, 2, 1])
    """
    x = _arguments.numpy_array(_arguments.real(logits, "logits"), "logits")
    axis = _arguments.class_axis(axis, x.ndim)
    price = _arguments.numpy_array(_arguments.real(costs, "costs"), "costs").astype(np.float64)
    if price.ndim != 2 or price.shape[0] != x.shape[axis] or price.shape[1] == 0:
        raise ValueError(
            f"costs must have the shape ({x.shape[axis]}, answers), got {tuple(price.shape)}"
        )
    _arguments.require(np.isfinite(price), price, "costs", "finite")
    if _arguments.flag(from_logits, "from_logits"):
        p = softmax(x.astype(np.float64), axis, temperature=temperature)
    else:
        _arguments.no_temperature(temperature)
        p = _arguments.probabilities(x, "logits").astype(np.float64)
    return (np.moveaxis(p, axis, -1) @ price).argmin(axis=-1)
