"""Two models on the same rows: how far apart their distributions are, where they disagree, and which is better."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any
from typing import cast as typed

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _intervals, _numbers, _rows
from ._arguments import in_exact_arithmetic, is_dask
from ._rows import Chunk, Parts, Rows, in_threads, merged
from ._tables import NOTHING, _of_rank, _Plan, bin_of, require_winner, sums_by
from .evaluation import Estimate, Evaluation, evaluate
from .losses import cross_entropy, kl_divergence

__all__ = ["Comparison", "Divergence", "compare"]

_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
_GROUPS = 2000  # of rows, for the bootstrap, as of `evaluate`


@dataclass(frozen=True)
class Divergence:
    """A Kullback–Leibler divergence in nats, over the rows.

    Attributes
    ----------
    mean : Estimate
        Over the rows, by weight.
    quantiles : dict
        By share of the rows: the smallest divergence that is not exceeded by so many of them. Exact.
    smallest, largest : float
        Of a row.
    row : tuple of int
        Where the largest is: an index of the rows as they were given.
    infinite : int
        Rows whose divergence is infinite: a class is possible in one model alone.
    """

    mean: Estimate
    quantiles: dict[float, float]
    smallest: float
    largest: float
    row: tuple[int, ...]
    infinite: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the resamples, as numbers, lists and dictionaries."""
        return {
            "mean": self.mean.to_dict(),
            "quantiles": [{"share": q, "value": x} for q, x in self.quantiles.items()],
            "smallest": self.smallest,
            "largest": self.largest,
            "row": list(self.row),
            "infinite": self.infinite,
        }


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` measures.

    Attributes
    ----------
    kl, reverse_kl : Divergence
        D(base ‖ other): what is lost where `other` stands for `base`; and D(other ‖ base).
    agreement : Estimate
        Share of rows with the same winner.
    by_confidence : dict of ndarray
        By the confidence of `base`, in bins (lower, upper]: ``rows``, ``flips`` (rows with another winner) and ``kl``,
        their mean divergence; NaN without rows.
    base, other : Evaluation or None
        Of each; None without labels, as are all below.
    difference : dict or None
        Other − base of each of their numbers, as `Estimate`.
    perplexity : dict or None
        ``base``, ``other``, exp of the NLL, and their ``ratio``, other / base.
    broken, fixed : Estimate or None
        Share of rows that are right in `base` alone, and in `other` alone.
    rows, classes : int
        Rows that count, and classes.
    rules : dict
        For each number the rule by which it is computed, in a sentence.
    confidence, seed, units : float, int, int
        Of the intervals; of the resamples; what these draw: rows, or groups.
    """

    kl: Divergence
    reverse_kl: Divergence
    agreement: Estimate
    by_confidence: dict[str, np.ndarray]
    base: Evaluation | None
    other: Evaluation | None
    difference: dict[str, Estimate] | None
    perplexity: dict[str, Estimate] | None
    broken: Estimate | None
    fixed: Estimate | None
    rows: int
    classes: int
    rules: dict[str, str]
    confidence: float
    seed: int
    units: int

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the resamples, as numbers, lists and dictionaries."""
        return {
            "rows": self.rows,
            "classes": self.classes,
            "units": self.units,
            "confidence": self.confidence,
            "resamples": len(self.agreement.resamples),
            "seed": self.seed,
            "kl": self.kl.to_dict(),
            "reverse_kl": self.reverse_kl.to_dict(),
            "agreement": self.agreement.to_dict(),
            "by_confidence": {name: x.tolist() for name, x in self.by_confidence.items()},
            "base": self.base and self.base.to_dict(),
            "other": self.other and self.other.to_dict(),
            "difference": self.difference and _all_as_dict(self.difference),
            "perplexity": self.perplexity and _all_as_dict(self.perplexity),
            "broken": None if self.broken is None else self.broken.to_dict(),
            "fixed": None if self.fixed is None else self.fixed.to_dict(),
            "rules": self.rules,
        }


def _all_as_dict(estimates: dict[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_dict() for name, estimate in estimates.items()}


@in_exact_arithmetic
def compare(
    base: ArrayLike,
    other: ArrayLike,
    labels: ArrayLike | None = None,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    quantiles: Sequence[float] = _QUANTILES,
    bins: int = 15,
    confidence: float = 0.95,
    resamples: int = 1000,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Comparison:
    r"""Compare two models on the same rows: a quantised one and its original, a new one and the old.

    .. math:: D(p \,\|\, q) = \sum_k p_k (\log p_k - \log q_k), \quad
        \frac{\mathrm{perplexity}(q)}{\mathrm{perplexity}(p)} = e^{\mathrm{nll}(q) - \mathrm{nll}(p)}

    Parameters
    ----------
    base, other : array_like of real numbers, shape (..., C, ...)
        Logits of the same rows and classes, or probabilities with ``from_logits=False``. NumPy, memory maps, Dask.
    labels : array_like, optional
        Class indices or distributions, as for :func:`evaluate`. Without them only the models are compared.
    axis, from_logits, temperature, sample_weight, where
        As for :func:`evaluate`, of both.
    ignore_index : int, optional
        Rows with this label are left out of everything.
    quantiles : sequence of float
        Which quantiles of the divergence, in [0, 1].
    bins, confidence, resamples, groups, seed
        As for :func:`evaluate`. Rows of one group (a document) are drawn together in every interval.

    Returns
    -------
    Comparison
        Largest error of the divergence of a row: that of :func:`kl_divergence`, 1 ULP of the type of the logits,
        however close the two are; it is at least 0. Sums are compensated in float64. Intervals of the divergence and of
        the difference of NLL are of the studentised bootstrap, that of the agreement is Wilson's, the others are those
        of :meth:`Evaluation.difference`.

    Raises
    ------
    TypeError
        If an argument is not of real numbers, or class indices are not integers.
    ValueError
        If the shapes of ``base`` and ``other`` differ, a logit is NaN, a label is out of range, no class or no row is
        left, or an option is out of range; with the position.

    See Also
    --------
    evaluate : of one model.
    kl_divergence : as a loss, with gradient.

    References
    ----------
    Kullback, S., Leibler, R. A. (1951). On information and sufficiency. doi:10.1214/aoms/1177729694.
    Efron, B. (1981). Nonparametric standard errors and confidence intervals. doi:10.2307/3314608.

    Examples
    --------
    >>> import sigmax
    >>> import numpy as np
    >>> base = np.array([[4.0, 0.0], [0.0, 4.0], [1.0, 0.0], [0.0, 2.0]], np.float32)
    >>> other = np.round(base * 8) / 8 + np.array([0.0, 1e-4], np.float32)
    >>> comparison = sigmax.compare(base, other, [0, 1, 1, 1])
    >>> print(f"{comparison.kl.mean:.3g} {comparison.agreement} {comparison.perplexity['ratio']:.6f}")
    4.21e-10 1.0 0.999979
    """
    if ignore_index is not None and labels is None:
        raise ValueError(f"ignore_index needs labels, got ignore_index={ignore_index!r} without")
    shares = _shares(quantiles)
    options: dict[str, Any] = {
        "from_logits": from_logits,
        "temperature": temperature,
        "sample_weight": sample_weight,
        "ignore_index": ignore_index,
        "where": where,
        "groups": groups,
    }
    x, y = _arguments.blocks(base, "base"), _arguments.blocks(other, "other")
    if x.shape != y.shape:
        raise ValueError(
            f"base and other must have one shape, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    at = _arguments.class_axis(axis, x.ndim)
    none = np.broadcast_to(np.int64(0), x.shape[:at] + x.shape[at + 1 :])
    with _named("base"):
        one = _rows.rows(x, none if labels is None else labels, axis, **options)
    with _named("other"):
        two = _rows.rows(y, none if labels is None else labels, axis, **options)
    bins = _arguments.count(bins, "bins")
    resamples = _arguments.count(resamples, "resamples")
    confidence = _arguments.confidence(confidence)
    seed = _arguments.integer(seed, "seed", 0)
    sums = _sums(one, two, bins, shares, labels is not None)
    rest: dict[str, Any] = {
        "bins": bins,
        "confidence": confidence,
        "resamples": resamples,
        "seed": seed,
    }
    sides = None
    if labels is not None:
        sides = [evaluate(z, labels, axis, **options, **rest) for z in (x, y)]
    return _comparison(sums, sides, one.classes, confidence, resamples, seed)


def _shares(quantiles: Any) -> list[float]:
    try:
        shares = [float(q) for q in quantiles]
    except (TypeError, ValueError):
        shares = [math.nan]
    if not all(0.0 <= q <= 1.0 for q in shares):
        raise ValueError(f"quantiles must be numbers in [0, 1], got {quantiles!r}")
    return shares


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Call the logits in an error by the argument that they are."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("logits", name, 1)) from None


# ---------------------------------------------------------------- sums


@dataclass
class _Sums:
    """What is left of all rows."""

    rows: int
    units: int
    groups: Any  # (groups, 10): the columns of `_sums_of_pair`
    cells: Any  # (bins, 4): weight, rows, flips, weight · divergence
    quantiles: tuple[dict[float, float], dict[float, float]]  # of both divergences
    extremes: tuple["_Extremes", "_Extremes"]


@dataclass
class _Extremes:
    smallest: float = math.inf
    largest: float = -math.inf
    row: tuple[int, ...] = ()

    def and_of(self, values: Any, chunk: Chunk) -> "_Extremes":
        k = int(values.argmax())
        return self.and_also(_Extremes(float(values.min()), float(values[k]), chunk.position(k)))

    def and_also(self, more: "_Extremes") -> "_Extremes":
        top = more if more.largest > self.largest else self
        return _Extremes(min(self.smallest, more.smallest), top.largest, top.row)


def _sums(one: Rows, two: Rows, bins: int, shares: list[float], labelled: bool) -> _Sums:
    one, two = _in_the_same_blocks(one, two)
    parts = one.parts()
    counts, names = zip(*parts.map(Rows.count).gather(), strict=True)
    count = sum(counts)
    if count == 0:
        raise ValueError(NOTHING.replace("logits", "base"))
    distinct = None if one.groups is None else np.unique(np.concatenate(names))
    units = count if distinct is None else len(distinct)
    plan = _Plan(bins, units, distinct, min(units, _GROUPS), 0)
    firsts = [int(n) for n in np.cumsum([0, *counts[:-1]])]
    each = [two.parts().values, firsts, list(counts)]
    parts = parts.map(_summed, plan, labelled, each=each).persist()
    groups, cells = parts.map(itemgetter(0)).sum()
    extremes = [_Extremes(), _Extremes()]
    for of_part in parts.map(itemgetter(1)).gather():
        extremes = [a.and_also(b) for a, b in zip(extremes, of_part, strict=True)]
    ranks = np.array([max(math.ceil(q * count), 1) - 1 for q in shares], np.int64)
    found = [
        dict(zip(shares, _of_ranks(parts.map(_sorted, k), ranks), strict=True)) for k in (0, 1)
    ]
    return _Sums(count, units, groups, cells, (found[0], found[1]), (extremes[0], extremes[1]))


def _in_the_same_blocks(one: Rows, two: Rows) -> tuple[Rows, Rows]:
    """Return rows of which both or none are Dask's, in the same blocks."""
    blocks = next((x.logits.chunks[0] for x in (one, two) if is_dask(x.logits)), None)
    if blocks is None or not one.batch:
        return one, two
    import dask.array as da

    return (
        replace(one, logits=da.asarray(one.logits).rechunk({0: blocks})),
        replace(two, logits=da.asarray(two.logits).rechunk({0: blocks})),
    )


def _sorted(part: Any, k: int) -> Any:
    return part[2][k]


def _of_ranks(order: Parts, ranks: Any) -> list[float]:
    found: Any = _of_rank(order, ranks)
    return [float(x) for x in found.view(np.float64)]


def _summed(
    one: Rows, two: Rows, first: int, count: int, plan: _Plan, labelled: bool
) -> tuple[tuple[Any, ...], list[_Extremes], list[Any]]:
    """Return the sums of a part, the extremes of both divergences, and these sorted, as integers of the same order."""
    values = [np.empty(count), np.empty(count)]
    extremes = [_Extremes(), _Extremes()]

    def sums() -> Iterator[tuple[Any, ...]]:
        pairs = zip(_chunks(one, "base", first), _chunks(two, "other", first), strict=True)
        begin = 0
        for pair, partial in in_threads(
            lambda both: _sums_of_pair(both[0], both[1], plan, labelled), pairs
        ):
            end = begin + len(pair.base)
            for k, x in enumerate((pair.kl, pair.reverse)):
                values[k][begin:end] = x
                extremes[k] = extremes[k].and_of(x, pair.base) if len(x) else extremes[k]
            begin = end
            yield partial

    result = merged(sums())
    for x in values:
        x.sort()
    return result, extremes, [x.view(np.uint64) for x in values]


def _chunks(rows: Rows, name: str, first: int) -> Iterator[Chunk]:
    with _named(name):
        for chunk in replace(rows, first=first).chunks():
            require_winner(chunk, 1.0 * (chunk.logits.max(axis=-1) > -np.inf))
            yield chunk


@dataclass
class _Pair:
    """A chunk of both models."""

    base: Chunk
    unit: Any  # what the bootstrap draws
    kl: Any
    reverse: Any


def _sums_of_pair(
    base: Chunk, other: Chunk, plan: _Plan, labelled: bool
) -> tuple[_Pair, tuple[Any, ...]]:
    x, y = base.logits, other.logits
    if x.dtype != y.dtype:
        x, y = x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
    names = plan.names
    unit = (
        base.first + np.arange(len(base)) if names is None else np.searchsorted(names, base.groups)
    )
    pair = _Pair(base, unit, _divergence(x, y, base), _divergence(y, x, base))
    winner, others = x.argmax(axis=-1), y.argmax(axis=-1)
    flips, w = winner != others, base.weight
    confidence = np.exp(-_losses(x, winner, base))
    infinite, kl = _finite(pair.kl)
    back, reverse = _finite(pair.reverse)
    change = broken = fixed = np.zeros(len(base))
    if labelled:
        change = _losses(y, _labels(base), base) - _losses(x, _labels(base), base)
        gain = _right(others, base) - _right(winner, base)
        broken, fixed = np.maximum(-gain, 0.0), np.maximum(gain, 0.0)
    columns = [w, w * w, w * kl, infinite, w * reverse, back, w * ~flips, w * change]
    columns += [w * broken, w * fixed]
    groups = sums_by(plan.group(typed(Any, pair)), (plan.groups,), *columns)
    of_bins = (w, np.ones(len(w)), 1.0 * flips, w * pair.kl)
    return pair, (groups, sums_by(bin_of(confidence, plan.bins), (plan.bins,), *of_bins))


def _divergence(x: Any, y: Any, chunk: Chunk) -> Any:
    """Return D(x ‖ y) of each row, of logits."""
    options: dict[str, Any] = {"labels_from_logits": True, "temperature": chunk.temperature}
    return kl_divergence(y, x, reduction="none", **options).astype(np.float64) + 0.0


def _losses(x: Any, labels: Any, chunk: Chunk) -> Any:
    options: dict[str, Any] = {"temperature": chunk.temperature, "reduction": "none"}
    return cross_entropy(x, labels, **options).astype(np.float64)


def _labels(chunk: Chunk) -> Any:
    return chunk.index if chunk.soft is None else chunk.soft


def _right(winner: Any, chunk: Chunk) -> Any:
    """Return how right the winners are: whether they are the label, or how likely the label is of their class."""
    if chunk.soft is None:
        return 1.0 * (winner == chunk.index)
    return chunk.soft[np.arange(len(winner)), winner]


def _finite(x: Any) -> tuple[Any, Any]:
    infinite = np.isinf(x)
    return 1.0 * infinite, np.where(infinite, 0.0, x)


# ---------------------------------------------------------------- estimates


def _comparison(
    sums: _Sums,
    sides: list[Evaluation] | None,
    classes: int,
    confidence: float,
    resamples: int,
    seed: int,
) -> Comparison:
    weight, squares, kl, infinite, reverse, back, same, change, broken, fixed = sums.groups.T
    draws = _numbers.draws(seed, resamples, len(weight))
    rows = min(weight.sum() ** 2 / squares.sum(), sums.units)

    def mean(x: Any, least: float = -math.inf) -> Estimate:
        value = float(x.sum() / weight.sum())
        low, high = _intervals.of_mean(value, x, weight, draws, confidence)
        interval = (max(low, least), high) if sums.units > 1 else (math.nan, math.nan)
        return Estimate(value, interval, (draws @ x) / (draws @ weight))

    def share(x: Any) -> Estimate:
        value, drawn = float(x.sum() / weight.sum()), (draws @ x) / (draws @ weight)
        interval = _intervals.of_share(value, rows, drawn, confidence, sums.units)
        return Estimate(value, interval if sums.units > 1 else (math.nan, math.nan), drawn)

    def divergence(x: Any, without: Any, k: int) -> Divergence:
        count, extremes = int(without.sum()), sums.extremes[k]
        nan = (math.nan, math.nan)
        average = Estimate(math.inf, nan, np.full(resamples, np.inf)) if count else mean(x, 0.0)
        return Divergence(
            average, sums.quantiles[k], extremes.smallest, extremes.largest, extremes.row, count
        )

    with_labels: dict[str, Any] = dict.fromkeys(
        ("base", "other", "difference", "perplexity", "broken", "fixed")
    )
    if sides is not None:
        base, other = sides
        difference = other.difference(base)
        if math.isfinite(difference["nll"]):
            difference["nll"] = mean(change)
        with_labels = {
            "base": base,
            "other": other,
            "difference": difference,
            "perplexity": {
                "base": _exp(base.nll),
                "other": _exp(other.nll),
                "ratio": _exp(difference["nll"]),
            },
            "broken": share(broken),
            "fixed": share(fixed),
        }
    return Comparison(
        kl=divergence(kl, infinite, 0),
        reverse_kl=divergence(reverse, back, 1),
        agreement=share(same),
        by_confidence=_by_confidence(sums.cells),
        **with_labels,
        rows=sums.rows,
        classes=classes,
        rules=_rules(len(sums.cells)),
        confidence=confidence,
        seed=seed,
        units=sums.units,
    )


def _exp(estimate: Estimate) -> Estimate:
    low, high = estimate.interval
    return Estimate(_power(estimate), (_power(low), _power(high)), np.exp(estimate.resamples))


def _power(x: float) -> float:
    return float(np.exp(np.float64(x)))


def _by_confidence(cells: Any) -> dict[str, np.ndarray]:
    weight, rows, flips, kl = cells.T
    bins = len(cells)
    return {
        "lower": np.arange(bins) / bins,
        "upper": np.arange(1, bins + 1) / bins,
        "rows": np.rint(rows).astype(np.int64),
        "flips": np.rint(flips).astype(np.int64),
        "kl": _numbers.ratio(kl, weight, math.nan),
    }


def _rules(bins: int) -> dict[str, str]:
    """Return how each number is computed."""
    return {
        "kl": "mean over the rows of Σ p (log p - log q), p of the base, q of the other, in nats; at least 0 in "
        "every row",
        "reverse_kl": "the same with p of the other, q of the base",
        "quantiles": "the smallest divergence that so large a share of the rows does not exceed; weights do not count",
        "agreement": "share of rows whose winner is the same class; of ties the first class wins",
        "by_confidence": f"{bins} bins of equal width, (lower, upper], of the winner's probability in the base",
        "perplexity": "exp of the mean of -log p(label)",
        "ratio": "perplexity of the other / that of the base = exp of the mean difference of -log p(label), row by row",
        "broken": "share of rows whose winner is the label in the base alone",
        "fixed": "share of rows whose winner is the label in the other alone",
        "difference": "other - base, of the same rows; resamples draw them, or their groups, for both together",
    }
