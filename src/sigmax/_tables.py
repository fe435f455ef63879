"""What an evaluation adds up: columns of one number per row, and tables of their sums by group of rows and bin."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np

from . import _core
from ._rows import Chunk, Parts, Rows, in_threads, is_float32, merged, total
from ._smooth import sums_on_grid
from .losses import cross_entropy
from .normalization import softmax

CELLS = 16  # of confidence in a bin, for the null error
NOTHING = "logits must have a row that counts: all are ignored or have weight 0"
_TABLE = 2**22  # numbers in the table by class: 32 MiB
_FEWEST_GROUPS = 20  # in it, even if it becomes larger
_LONGEST_ROW = 2**16  # of one kernel
_BATCH = 2**18  # rows whose columns are added up at a time


# ---------------------------------------------------------------- columns


@dataclass
class _Columns:
    """What rows are worth: one number for each."""

    first: int  # how many rows are before these
    confidence: Any
    correct: Any
    weight: Any  # None: 1
    group: Any  # the number of the group, if groups were given
    nll: Any = None
    brier: Any = None

    @classmethod
    def of(cls, chunk: Chunk, group: Any, numbers: tuple[Any, ...]) -> "_Columns":
        """Return the columns of rows that have these confidences, correctness, losses and squares."""
        confidence, correct, nll, brier = numbers
        return cls(chunk.first, confidence, correct, chunk.weight, group, nll, brier)

    @classmethod
    def joined(cls, parts: "list[_Columns]") -> "_Columns":
        columns = zip(*(list(vars(c).values())[1:] for c in parts), strict=True)
        return cls(parts[0].first, *(None if x[0] is None else np.concatenate(x) for x in columns))

    def kept(self) -> "_Columns":
        """Return what the bins of equal mass need."""
        return replace(
            self, nll=None, brier=None, weight=None if (self.weight == 1).all() else self.weight
        )

    def some(self, rows: Any) -> "_Columns":
        """Return some of the rows, of which the places are no longer known but by their units."""
        return replace(
            self,
            confidence=self.confidence[rows],
            correct=self.correct[rows],
            weight=None if self.weight is None else self.weight[rows],
            group=self.unit[rows],
        )

    def __len__(self) -> int:
        return len(self.confidence)

    @property
    def number(self) -> Any:
        return self.first + np.arange(len(self))

    @property
    def unit(self) -> Any:
        """What the bootstrap draws."""
        return self.number if self.group is None else self.group


def probabilities(chunk: Chunk) -> Any:
    if chunk.probabilities is not None and _is_one(chunk.temperature):
        return chunk.probabilities
    return softmax(chunk.logits, temperature=chunk.temperature)


def winners(chunk: Chunk, p: Any) -> tuple[Any, Any]:
    """Return how sure the winners are, and whether they are right: of distributions, how likely."""
    n = np.arange(len(p))
    # Probabilities of logits may be equal where the logits are not.
    winner = _core.winners(chunk.logits if chunk.probabilities is None else p)
    sure = p[n, winner].astype(np.float64)
    require_winner(chunk, sure)
    return sure, winner == chunk.index if chunk.soft is None else chunk.soft[n, winner]


def require_winner(chunk: Chunk, confidence: Any) -> None:
    """Refuse rows with NaN, and those that are masked throughout."""
    if not (confidence > 0).all():
        chunk.require_classes(~np.isnan(chunk.logits), "logits must not be NaN", chunk.logits)
        message = "logits must leave each row a class of positive probability"
        chunk.require(confidence > 0, message, ["none"] * len(confidence))


def _is_one(temperature: Any) -> bool:
    return np.ndim(temperature) == 0 and float(temperature) == 1.0


def losses_of(chunk: Chunk) -> Any:
    """Return the losses as float64."""
    labels = chunk.index if chunk.soft is None else chunk.soft
    if chunk.probabilities is not None and _is_one(chunk.temperature):
        losses = cross_entropy(chunk.probabilities, labels, from_logits=False, reduction="none")
    else:
        losses = cross_entropy(
            chunk.logits, labels, temperature=chunk.temperature, reduction="none"
        )
    return losses.astype(np.float64)


def squares_of(chunk: Chunk, p: Any) -> Any:
    """Return the squared distances of probabilities and labels."""
    if chunk.soft is not None:
        return ((p - chunk.soft) ** 2).sum(axis=-1)
    return _core.squared_distances(p, chunk.index)


def numbers_of(chunk: Chunk) -> tuple[Any, ...]:
    """Return confidence, correctness, loss and squared distance of each row."""
    if is_plain(chunk):
        return numbers_of_logits(chunk)
    p = probabilities(chunk)
    return (*winners(chunk, p), losses_of(chunk), squares_of(chunk, p))


def answers_of(chunk: Chunk) -> tuple[Any, Any]:
    """Return how sure the winners are, and whether they are right: the first of `numbers_of`."""
    if is_plain(chunk):
        return numbers_of_logits(chunk)[:2]
    return winners(chunk, probabilities(chunk))


def is_plain(chunk: Chunk) -> bool:
    """Whether `numbers_of_logits` takes the rows: float32 logits with class indices."""
    logits, given = chunk.logits, chunk.soft is None and chunk.probabilities is None
    short = logits.shape[-1] <= _LONGEST_ROW
    return given and short and logits.dtype == np.float32 and not _core.get_correct_rounding()


def are_plain(rows: Rows) -> bool:
    """Whether all their chunks are."""
    given = rows.hard and rows.from_logits and is_float32(rows.logits.dtype)
    return given and rows.classes <= _LONGEST_ROW and not _core.get_correct_rounding()


def numbers_of_logits(chunk: Chunk, table: Any = None, group: Any = None) -> tuple[Any, ...]:
    """Return `numbers_of` plain rows in one pass over the logits, which adds them to a table by class too."""
    temperature = np.array(chunk.temperature, np.float64, ndmin=1)
    weight = None if table is None else chunk.weight
    numbers = _core.of_logits(table, group, chunk.logits, temperature, weight, chunk.index)
    require_winner(chunk, numbers[0])
    return numbers


def sums_of_brier(chunk: Chunk) -> tuple[float, float]:
    if is_plain(chunk):
        squares = numbers_of_logits(chunk)[3]
    else:
        p = probabilities(chunk)
        require_winner(chunk, p.max(axis=-1))
        squares = squares_of(chunk, p)
    return total(chunk.weight * squares), total(chunk.weight)


def sums_of_smooth(chunk: Chunk) -> tuple[float, Any]:
    sure, right = answers_of(chunk)
    return total(chunk.weight), sums_on_grid(sure, chunk.weight * (sure - right))


# ---------------------------------------------------------------- sums


@dataclass
class Table:
    """Sums for each group of rows. Those of a resample are a product: how often it has each group, times this."""

    rows: int
    units: int
    whole: Any  # (groups, 5): weight, correct, nll, brier, infinite losses
    by_width: Any  # (groups, bins, 6): count, weight, weight², gap, correct, correct²
    cells: Any  # (cells, 3): weight, weight², weight · confidence, by confidence
    class_weight: Any  # (groups of by_class,): weight
    by_class: Any = None  # (fewer groups, bins, classes): weight · (p − label)
    by_mass: Any = None  # as by_width, in bins of equal numbers of rows
    edges: Any = None  # the least and the largest confidence in these


@dataclass
class _Plan:
    """What the parts of the rows must agree on."""

    bins: int
    units: int
    names: Any  # of the groups, if they were given
    groups: int
    few: int  # the number of groups of the table by class; 0 without it

    def group(self, columns: _Columns, few: bool = False) -> Any:
        """Return the group of each row."""
        return spread_over(columns.unit, self.units, self.few if few else self.groups)

    def given_groups(self, chunk: Chunk) -> Any:
        """Return the number of each row's group, if groups were given."""
        return None if self.names is None else np.searchsorted(self.names, chunk.groups)

    def few_groups(self, chunk: Chunk, given: Any) -> Any:
        """Return the group of each row in the table by class; None without it."""
        unit = chunk.numbers if given is None else given
        return spread_over(unit, self.units, self.few) if self.few else None


def spread_over(unit: Any, units: int, groups: int) -> Any:
    """Return a group for each unit: itself where there are enough groups, else one by a hash (splitmix64)."""
    if units <= groups:
        return unit
    return _core.spread_over(unit.astype(np.int64, copy=False), groups)


def sums_of(rows: Rows, bins: int, *, groups: int, by_mass: bool, by_class: bool) -> Table:
    """Return the sums of at most `groups` groups of rows, with the bins of equal mass and the classes if asked for."""
    parts = rows.parts()
    counts, names = zip(*parts.map(Rows.count).gather(), strict=True)
    count = sum(counts)
    if count == 0:
        raise ValueError(NOTHING)
    distinct = None if rows.groups is None else np.unique(np.concatenate(names))
    units = count if distinct is None else len(distinct)
    most = max(_FEWEST_GROUPS, min(groups, _TABLE // (rows.classes * bins)))
    few = min(units, groups, most) if by_class else 0
    plan = _Plan(bins, units, distinct, min(units, groups), few)
    firsts = [int(n) for n in np.cumsum([0, *counts[:-1]])]
    parts = parts.map(_summed, plan, each=[firsts]).persist()
    table = Table(count, units, *parts.map(itemgetter(1)).sum())
    if by_mass:
        columns = parts.map(itemgetter(0))
        cuts, table.edges = _cuts(columns, count, bins)
        (table.by_mass,) = columns.map(_by_mass, plan, cuts).sum()
    return table


def _summed(rows: Rows, first: int, plan: _Plan) -> tuple[list[_Columns], tuple[Any, ...]]:
    """Return the columns that the bins of equal mass need, in batches, and all other sums, from one pass."""
    by_class = np.zeros((plan.few, plan.bins, rows.classes)) if plan.few else None
    rows, kept = replace(rows, first=first), []

    def of(chunk: Chunk) -> tuple[Chunk, Any, tuple[Any, ...]]:
        p = probabilities(chunk)
        return chunk, p, (*winners(chunk, p), losses_of(chunk), squares_of(chunk, p))

    def chunks() -> Iterator[_Columns]:
        if are_plain(rows):
            for chunk in replace(rows, for_kernel=True).chunks():
                group = plan.given_groups(chunk)
                few = plan.few_groups(chunk, group)
                yield _Columns.of(chunk, group, numbers_of_logits(chunk, by_class, few))
            return
        for chunk, p, numbers in rows.in_threads(of):
            group = plan.given_groups(chunk)
            if plan.few:
                terms = p if chunk.soft is None else p - chunk.soft
                of_p, few = p.astype(terms.dtype, copy=False), plan.few_groups(chunk, group)
                _core.add_by_class(by_class, few, of_p, terms, chunk.weight, chunk.index)
            yield _Columns.of(chunk, group, numbers)

    def sums() -> Iterator[tuple[Any, ...]]:
        for columns in _batches(chunks()):
            kept.append(columns.kept())
            yield _one_pass(columns, plan)

    result = merged(sums())
    return kept, (*result, by_class) if plan.few else result


def _batches(parts: Iterator[_Columns]) -> Iterator[_Columns]:
    waiting: list[_Columns] = []
    for columns in parts:
        waiting.append(columns)
        if sum(map(len, waiting)) >= _BATCH:
            yield _Columns.joined(waiting)
            waiting = []
    if waiting:
        yield _Columns.joined(waiting)


def bin_of(confidence: Any, bins: int) -> Any:
    """Return the bin k of (k / bins, (k + 1) / bins]; the first has 0 too."""
    return _core.bin_of(confidence, bins)


def sums_by(key: Any, shape: tuple[int, ...], *values: Any) -> Any:
    """Return the sums of values by key, in an array of this shape, values last."""
    values = tuple(np.asarray(value, np.float64) for value in values)
    return _core.sums_by(key, math.prod(shape), *values).reshape(*shape, len(values))


def _one_pass(c: _Columns, plan: _Plan) -> tuple[Any, ...]:
    infinite = np.isinf(c.nll)
    nll = np.where(infinite, 0.0, c.nll)
    w = c.weight
    group = plan.group(c)
    whole = sums_by(group, (plan.groups,), w, w * c.correct, w * nll, w * c.brier, infinite)
    cells = plan.bins * CELLS
    cell = bin_of(c.confidence, cells)
    return (
        whole,
        _by_bin(c, cell // CELLS, plan),
        sums_by(cell, (cells,), w, w * w, w * c.confidence),
        np.bincount(plan.group(c, few=True), w, plan.few) if plan.few else np.zeros(0),
    )


def _by_bin(c: _Columns, at: Any, plan: _Plan) -> Any:
    """Return count, weight, weight², gap, correct and correct² by group and bin."""
    w = np.ones(len(c)) if c.weight is None else c.weight
    one = np.ones(len(c))
    key = plan.group(c) * plan.bins + at
    gap = w * (c.confidence - c.correct)
    values = (one, w, w * w, gap, w * c.correct, w * c.correct**2.0)
    return sums_by(key, (plan.groups, plan.bins), *values)


# ---------------------------------------------------------------- bins of equal mass


def _cuts(columns: Parts, count: int, bins: int) -> tuple[Any, Any]:
    """Return where the bins begin, as confidences and numbers of rows, and the edges of the bins."""
    sizes = count // bins + (np.arange(bins) < count % bins)
    sizes = sizes[sizes > 0]
    ends = np.cumsum(sizes) - 1
    starts = ends + 1 - sizes
    order = columns.map(_sorted_bits).persist()
    least = _of_rank(order, starts)
    most = _of_rank(order, ends)
    less, equal = (
        np.array(x) for x in zip(*order.map(_less_and_equal, least).gather(), strict=True)
    )
    shares = _shares(least, less.sum(axis=0), equal.sum(axis=0), starts, ends, bins)
    least, most = least.view(np.float64), most.view(np.float64)
    empty = np.full(bins - len(ends), math.nan)
    return (least[1:], *shares), (np.append(least, empty), np.append(most, empty))


def _shares(
    least: Any, less: Any, equal: Any, starts: Any, ends: Any, bins: int
) -> tuple[Any, Any]:
    """Return confidences that are in more bins than one, and the share of their rows that each bin has."""
    _, first = np.unique(least, return_index=True)
    low, high = less[first, None], (less + equal)[first, None]
    inside = np.minimum(high, ends + 1) - np.maximum(low, starts)
    share = np.zeros((len(first), bins))
    share[:, : len(ends)] = np.maximum(inside, 0) / (high - low)
    tied = (share > 0).sum(axis=1) > 1
    return least[first][tied].view(np.float64), share[tied]


def _sorted_bits(columns: list[_Columns]) -> Any:
    """Return the confidences as integers, which have the same order."""
    return np.sort(np.concatenate([[], *(c.confidence for c in columns)])).view(np.uint64)


def _of_rank(order: Parts, ranks: Any) -> Any:
    """Return the numbers of these ranks among those of all parts, byte by byte."""
    found = np.zeros(len(ranks), np.uint64)
    for shift in range(56, -8, -8):
        (below,) = order.map(_below, found, shift).sum()
        digit = np.count_nonzero(below <= ranks[:, None], axis=1)
        found += digit.astype(np.uint64) << np.uint64(shift)
    return found


def _below(order: Any, found: Any, shift: int) -> tuple[Any]:
    steps = np.arange(1, 256, dtype=np.uint64) << np.uint64(shift)
    return (np.searchsorted(order, found[:, None] + steps).astype(np.float64),)


def _less_and_equal(order: Any, bits: Any) -> tuple[Any, Any]:
    less = np.searchsorted(order, bits, "left")
    return less, np.searchsorted(order, bits, "right") - less


def _by_mass(columns: list[_Columns], plan: _Plan, cuts: Any) -> tuple[Any]:
    none = np.zeros((plan.groups, plan.bins, 6))
    tables = in_threads(lambda c: (_of_mass(c, plan, cuts),), iter(columns))
    return merged([(none,), *tables])


def _of_mass(c: _Columns, plan: _Plan, cuts: Any) -> Any:
    """Return the sums by group and bin; equally confident rows are in all bins that have some of them, by share."""
    starts, values, shares = cuts
    tied = np.searchsorted(values, c.confidence)
    is_tied = np.append(values, math.nan)[tied] == c.confidence
    rest = c.some(~is_tied) if is_tied.any() else c
    table = _by_bin(rest, np.searchsorted(starts, rest.confidence, "right"), plan)
    if is_tied.any():
        of_values = replace(plan, bins=len(values))
        sums = _by_bin(c.some(is_tied), tied[is_tied], of_values)
        linear, squares = np.einsum("gvk,vb->gbk", sums, shares), sums[..., 2] @ shares**2
        linear[..., 2] = squares
        table = table + linear
    return table
