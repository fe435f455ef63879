"""Conformal prediction: sets of classes that have the label as often as they promise, whatever the model."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _intervals, _rows
from ._arguments import in_exact_arithmetic
from ._questions import units
from ._rows import Chunk
from ._tables import NOTHING
from .evaluation import Estimate
from .normalization import softmax

__all__ = ["ConformalSets", "SetSizes", "conformal_sets"]

Method = Literal["lac", "aps", "raps"]


@dataclass(frozen=True)
class _Score:
    """How strange a class is in a row: what a set has is at most the threshold."""

    method: str
    penalty: float
    free: int
    randomized: bool
    seed: int

    def of(self, p: Any, first: int, stream: int) -> Any:
        """Return the scores of rows of probabilities, of which the first has this number."""
        if self.method == "lac":
            return 1.0 - p
        order = np.argsort(-p, axis=-1, kind="stable")
        ranked = np.take_along_axis(p, order, axis=-1)
        total = np.cumsum(ranked, axis=-1)
        if self.randomized:
            total -= (1.0 - _uniforms(self.seed, stream, first, len(p))[:, None]) * ranked
        if self.method == "raps":
            total += self.penalty * np.maximum(np.arange(1, p.shape[-1] + 1) - self.free, 0)
        scores = np.empty_like(total)
        np.put_along_axis(scores, order, total, axis=-1)
        return scores


@dataclass(frozen=True)
class SetSizes:
    """What :meth:`ConformalSets.measure` finds.

    Attributes
    ----------
    coverage, size, empty : Estimate
        Share of rows whose set has the label; classes in a set, on average; share of empty sets.
    sizes : ndarray of int
        How many sets have 0, 1, …, C classes.
    coverage_of_class, size_of_class : ndarray
        By label; NaN without rows. ``interval_of_class`` has Wilson's intervals of the coverages.
    interval_of_class : (ndarray, ndarray)
    rows : int
    """

    coverage: Estimate
    size: Estimate
    empty: Estimate
    sizes: np.ndarray
    coverage_of_class: np.ndarray
    size_of_class: np.ndarray
    interval_of_class: tuple[np.ndarray, np.ndarray]
    rows: int


@dataclass(frozen=True)
class ConformalSets:
    """What :func:`conformal_sets` finds: from which score on a class is in the set.

    Attributes
    ----------
    threshold : float or ndarray
        One, or one for each class with ``per_class=True``. inf, and so sets of all classes, where there are too few
        rows for the coverage.
    coverage, penalty, temperature : float
        As given, as are the following.
    method : str
    randomized, never_empty, per_class : bool
    free, seed : int
    rows, classes : int
        Rows that were ranked; classes.
    binary : bool
        As for :class:`TemperatureFit`.
    """

    threshold: Any
    coverage: float
    method: str
    randomized: bool
    never_empty: bool
    per_class: bool
    penalty: float
    free: int
    seed: int
    temperature: float
    rows: int
    classes: int
    binary: bool = False

    @in_exact_arithmetic
    def apply(
        self, logits: ArrayLike, axis: int = -1, *, from_logits: bool = True, first: int = 0
    ) -> Any:
        """Return which classes are in the set of each row: bool, in the shape of the logits.

        One-dimensional logits of yes-or-no questions get a last axis of the two classes. ``first`` is the number of
        the first row, on which its random number depends: blocks of rows give the same sets as all at once.
        """
        x = _arguments.numpy_array(_arguments.real(logits, "logits"), "logits")
        from_logits = _arguments.flag(from_logits, "from_logits")
        if self.binary:
            x = _rows.columns_of(x, from_logits)
        elif not from_logits:
            x = np.log(_arguments.probabilities(x, "logits"), dtype=np.float64)
        axis = -1 if self.binary else axis
        moved = np.moveaxis(x, _arguments.class_axis(axis, x.ndim), -1)
        if moved.shape[-1] != self.classes:
            raise ValueError(
                f"logits must have {self.classes} classes along the axis, got {moved.shape[-1]}"
            )
        first = _arguments.integer(first, "first", 0)
        rows = moved.reshape(-1, self.classes)
        step = max(1, 2**20 // self.classes)
        blocks = [self._sets(rows[k : k + step], first + k) for k in range(0, len(rows), step)]
        sets = np.concatenate([np.zeros((0, self.classes), bool), *blocks])
        return np.moveaxis(sets.reshape(moved.shape), -1, axis)

    def _sets(self, x: Any, first: int) -> Any:
        p = softmax(x.astype(np.float64), temperature=self.temperature)
        sets = self._score.of(p, first, 1) <= self.threshold
        if self.never_empty:
            sets[np.arange(len(p)), p.argmax(axis=-1)] = True
        return sets & (x > -np.inf)

    @property
    def _score(self) -> _Score:
        return _Score(self.method, self.penalty, self.free, self.randomized, self.seed)

    @in_exact_arithmetic
    def measure(
        self,
        logits: ArrayLike,
        labels: ArrayLike,
        /,
        axis: int = -1,
        *,
        from_logits: bool = True,
        ignore_index: int | None = None,
        where: ArrayLike | None = None,
        multilabel: bool = False,
        groups: ArrayLike | None = None,
        confidence: float = 0.95,
    ) -> SetSizes:
        """Return how often the sets of these rows have the label, and how large they are; on other rows than the fit's.

        Arguments are those of :func:`conformal_sets`; of ``groups``, rows are not independent.
        """
        rows = _rows.rows_of(locals())
        _require_hard(rows)
        confidence = _arguments.confidence(confidence)
        held, size, label, unit = rows.collect(self._measured)
        if len(held) == 0:
            raise ValueError(NOTHING)
        one = np.ones(len(held))
        mean = float(size.mean())
        error, units = _intervals.error_of((size - mean) / len(size), unit)
        half = _intervals.quantile(confidence, units) * error
        count = np.bincount(label, minlength=self.classes)
        of_class = [
            np.divide(
                np.bincount(label, x, self.classes),
                count,
                out=np.full(self.classes, math.nan),
                where=count > 0,
            )
            for x in (held, size)
        ]
        return SetSizes(
            coverage=Estimate(*_intervals.of_ratio(held * 1.0, one, unit, confidence)),
            size=Estimate(mean, (max(mean - half, 0.0), min(mean + half, float(self.classes)))),
            empty=Estimate(*_intervals.of_ratio((size == 0) * 1.0, one, unit, confidence)),
            sizes=np.bincount(size, minlength=self.classes + 1),
            coverage_of_class=of_class[0],
            size_of_class=of_class[1],
            interval_of_class=_intervals.wilson(
                of_class[0], count, _intervals.quantile(confidence)
            ),
            rows=len(held),
        )

    def _measured(self, chunk: Chunk) -> tuple[Any, ...]:
        sets = self._sets(chunk.logits, chunk.first)
        return sets[np.arange(len(sets)), chunk.index], sets.sum(axis=-1), chunk.index, units(chunk)


@in_exact_arithmetic
def conformal_sets(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    coverage: float = 0.9,
    method: Method = "lac",
    randomized: bool = True,
    never_empty: bool = False,
    per_class: bool = False,
    penalty: float = 0.01,
    free: int = 5,
    from_logits: bool = True,
    temperature: float = 1.0,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    multilabel: bool = False,
    seed: int = 0,
) -> ConformalSets:
    r"""Find from labelled rows which classes a set must have to hold the label as often as promised.

    .. math:: C(x) = \{k : s(x, k) \le \hat q\}, \quad
        \hat q = \text{the } \lceil (n + 1) \cdot \text{coverage} \rceil \text{-th smallest } s(x_i, y_i)

    If new rows are drawn as these were, their sets have the label with this probability at least, over the draw of
    both, and with 1/(n + 1) more at most.

    Parameters
    ----------
    logits, labels, axis, from_logits, ignore_index, where, multilabel
        As for :func:`fit_temperature`; labels are class indices.
    coverage : float
        In (0, 1).
    method : {"lac", "aps", "raps"}
        The score s. ``"lac"`` is 1 − p_k: the smallest sets, which may be empty. ``"aps"`` is the probability of the
        classes more likely than k, and of k itself: as many classes as it takes. ``"raps"`` adds ``penalty`` for each
        class beyond ``free``: smaller sets where classes are many.
    randomized : bool
        Whether a class counts only by a random share of its own probability in ``"aps"`` and ``"raps"``: smaller sets.
        The numbers follow from the seed and the row's place. ``"lac"`` has none.
    never_empty : bool
        Whether the most likely class is in every set: no set is empty, and the coverage can only grow.
    per_class : bool
        A threshold for each class, so that each class is held as often as promised, where it has rows enough.
    penalty, free : float, int
        Of ``"raps"``: not negative.
    temperature : float
        What the logits are divided by: of a calibration.
    seed : int
        Not negative.

    Returns
    -------
    ConformalSets
        With ``apply`` for new rows, and ``measure`` for labelled ones. Largest error of a score: 1 ULP of each
        float64 probability that it adds up.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`; labels that are distributions are refused.

    References
    ----------
    Sadinle, M., Lei, J., Wasserman, L. (2019). Least ambiguous set-valued classifiers with bounded error levels.
    arXiv:1609.00451.
    Romano, Y., Sesia, M., Candès, E. (2020). Classification with valid and adaptive coverage. arXiv:2006.02544.
    Angelopoulos, A. et al. (2021). Uncertainty sets for image classifiers using conformal prediction. arXiv:2009.14193.

    Examples
    --------
    >>> import sigmax
    >>> p = [[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6]]
    >>> sets = sigmax.conformal_sets(p, [0, 0, 1, 1, 2], coverage=0.8, from_logits=False)
    >>> print(round(sets.threshold, 9))
    0.7
    >>> sets.apply([[0.5, 0.4, 0.1], [0.98, 0.01, 0.01]], from_logits=False)
    array([[ True,  True, False],
           [ True, False, False]])
    """
    temperature = _arguments.temperatures(temperature, ())
    rows = _rows.rows_of(locals())
    _require_hard(rows)
    coverage = _arguments.number(coverage, "coverage", 0.0, 1.0)
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be in (0, 1), got {coverage}")
    _arguments.choice(method, "method", ("lac", "aps", "raps"))
    per_class = _arguments.flag(per_class, "per_class")
    score = _Score(
        method,
        _arguments.number(penalty, "penalty", 0.0, _arguments.LARGEST),
        _arguments.integer(free, "free", 0),
        _arguments.flag(randomized, "randomized"),
        _arguments.integer(seed, "seed", 0),
    )
    scores, label = rows.collect(_scores_of_labels, score)
    if len(scores) == 0:
        raise ValueError(NOTHING)
    if per_class:
        threshold: Any = np.array(
            [_ranked(scores[label == k], coverage) for k in range(rows.classes)]
        )
    else:
        threshold = _ranked(scores, coverage)
    return ConformalSets(
        threshold,
        coverage,
        method,
        score.randomized,
        _arguments.flag(never_empty, "never_empty"),
        per_class,
        score.penalty,
        score.free,
        score.seed,
        temperature,
        len(scores),
        rows.classes,
        rows.binary,
    )


def _scores_of_labels(chunk: Chunk, score: _Score) -> tuple[Any, Any]:
    p = softmax(chunk.logits.astype(np.float64), temperature=chunk.temperature)
    chunk.require_classes(~np.isnan(p), "logits must not be NaN", chunk.logits)
    scores = score.of(p, chunk.first, 0)
    return scores[np.arange(len(p)), chunk.index], chunk.index


def _ranked(scores: Any, coverage: float) -> float:
    """Return the ⌈(n + 1)·coverage⌉-th smallest score; inf beyond the last."""
    rank = math.ceil((len(scores) + 1) * coverage - 1e-9)
    return float(np.partition(scores, rank - 1)[rank - 1]) if rank <= len(scores) else math.inf


def _require_hard(rows: Any) -> None:
    if not rows.hard:
        raise ValueError("labels must be class indices, got distributions")


def _uniforms(seed: int, stream: int, first: int, count: int) -> Any:
    """Return the random number of each of some rows, which follows from the row's number."""
    bits = np.random.PCG64(np.random.SeedSequence([seed, stream]))
    return np.random.Generator(bits.advance(first)).random(count)
