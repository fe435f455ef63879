"""Numbers of the order of rows alone, and their intervals from what each row adds to them.

Up to 2^18 rows are sorted. More are counted in cells of scores: counts of parts are added up, in any order, and rows of
one cell are taken as equal; how far a number may be from that of the sorted rows follows from the counts.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _intervals
from ._numbers import ratio
from ._rows import Parts

Interval = tuple[float, float]
_SORTED = 2**18  # rows
_HALF, _STEPS, _LEAST = 2**19, 13, -24  # cells of each sign; a factor 2 has 2^13, from 2^-24 on
_BATCH = 2**18  # rows whose counts are added up at a time


@dataclass
class Number:
    """A number, what a row of weight 1 of each kind adds to it, how many rows it rests on, how far it may be off."""

    value: float
    by_positive: Any
    by_negative: Any
    count: float
    half_width: float = 0.0


@dataclass
class Order:
    """Two kinds of rows, by weight, at their places: the largest score first, equal ones at one place."""

    columns: Parts  # keys, labels, weights, units by number; of these None: 1, the rows themselves
    scores: Any  # the distinct ones; None: cells
    shares: bool  # whether scores are probabilities, whose cells are as fine at 1 as at 0
    key: Any  # of each place: its number among the scores, or its cell
    positive: Any  # weights at each place
    negative: Any
    squares: Any  # positive², positive · negative, negative² of the rows at each place
    names: Any  # of the units; None: the rows themselves
    units: int
    confidence: float

    @classmethod
    def of(
        cls, score: Any, y: Any, weight: Any, unit: Any, confidence: float, shares: bool = False
    ) -> "Order":
        """Return the order of rows in memory; a label y in [0, 1] is a positive of weight y, a negative of 1 − y."""
        return cls.of_parts(Parts([(score, y, weight, unit)]), confidence, shares)

    @classmethod
    def of_parts(cls, columns: Parts, confidence: float, shares: bool) -> "Order":
        counts, names = zip(*columns.map(_count).gather(), strict=True)
        units, scores = sum(counts), None
        if units <= _SORTED:
            columns = Parts(columns.gather())
            scores = np.unique(np.concatenate([part[0] for part in columns.values]))
        grouped = None if names[0] is None else np.unique(np.concatenate(names))
        columns = columns.map(_placed, scores, shares, grouped).persist()
        keys = 2 * _HALF if scores is None else len(scores)
        (sums,) = columns.map(_sums, keys).sum()
        key = np.flatnonzero(sums[5])[::-1]
        return cls(
            columns,
            scores,
            shares,
            key,
            sums[0, key],
            sums[1, key],
            sums[2:5, key],
            grouped,
            units if grouped is None else len(grouped),
            confidence,
        )

    @property
    def true(self) -> Any:
        """Positives down to each place."""
        return np.cumsum(self.positive)

    @property
    def false(self) -> Any:
        return np.cumsum(self.negative)

    @property
    def least(self) -> Any:
        """The score from which on rows are at a place, or at one before."""
        return _edges(self.key, self.shares) if self.scores is None else self.scores[self.key]

    def error(self, number: Number) -> float:
        """Return the standard error: what rows of one unit add is added up first."""
        a, b = number.by_positive, number.by_negative
        if self.names is None:
            both, mixed, neither = self.squares
            squares = float((both * a * a + 2 * mixed * a * b + neither * b * b).sum())
        else:
            squares = float((self.by_unit(number) ** 2).sum())
        return (
            math.sqrt(max(squares, 0.0) * self.units / (self.units - 1))
            if self.units > 1
            else math.inf
        )

    def by_unit(self, number: Number) -> Any:
        """Return what each unit adds to a number, in the order of their names."""
        tables = np.zeros((2, int(self.key[0]) + 1))
        tables[0, self.key], tables[1, self.key] = number.by_positive, number.by_negative
        (sums,) = self.columns.map(_sums_of_units, tables, self.units).sum()
        return sums

    def interval(self, number: Number) -> Interval:
        if math.isnan(number.value):
            return 0.0, 1.0
        error = self.error(number)
        return _intervals.of_logit(number.value, error, number.count, self.confidence, self.units)

    def area(self) -> Number:
        """Return how often a positive is above a negative: the area under the ROC curve."""
        true, false = self.true, self.false
        most, none = true[-1], false[-1]
        if not min(most, none) > 0:
            return Number(math.nan, 0.0 * true, 0.0 * true, 0.0)
        above = true - self.positive / 2  # of equal scores half
        below = none - false + self.negative / 2
        won, lost = below / none, above / most
        area = float(self.positive @ won / most)
        tied = float(self.positive @ self.negative) / (2 * most * none)
        half_width = tied if self.scores is None else 0.0
        return Number(
            area, (won - area) / most, (lost - area) / none, float(min(most, none)), half_width
        )

    def average_precision(self) -> Number:
        """Return the mean over the positives of the share of positives down to their place."""
        if not self.positive.any():
            return Number(math.nan, 0.0 * self.positive, 0.0 * self.positive, 0.0)
        return self._mean_share(1.0, 0.0)

    def mean_share(self) -> Number:
        """Return the mean over all rows of the share of positives down to their place."""
        return self._mean_share(1.0, 1.0)

    def _mean_share(self, of_positive: float, of_negative: float) -> Number:
        here = of_positive * self.positive + of_negative * self.negative
        total, true, false = float(here.sum()), self.true, self.false
        down_to = true + false
        share = ratio(true, down_to)
        value = float(here @ share / total)
        # A row changes the shares at all places from its own on.
        slope = ratio(here, down_to**2)
        by_positive, by_negative = (np.cumsum((slope * x)[::-1])[::-1] for x in (false, true))
        half_width = 0.0
        if (
            self.scores is None
        ):  # between those with all negatives of a cell first, or all positives
            low = ratio(true - self.positive, down_to - self.positive)
            high = ratio(true, down_to - self.negative)
            half_width = float(max(here @ (share - low), here @ (high - share)) / total)
        return Number(
            value,
            (of_positive * (share - value) + by_positive) / total,
            (of_negative * (share - value) - by_negative) / total,
            total,
            half_width,
        )

    def curve(self, most: int) -> tuple[Any, Any]:
        """Return the ROC curve from (0, 0) on, in so many points at most: equally many on each part of its way."""
        true, false = self.true, self.false
        x = np.append(0.0, false / false[-1] if false[-1] else false * math.nan)
        y = np.append(0.0, true / true[-1] if true[-1] else true * math.nan)
        if len(x) <= most:
            return x, y
        kept = np.unique(np.searchsorted(x + y, np.linspace(0, 2, most)).clip(0, len(x) - 1))
        return x[kept], y[kept]


# ---------------------------------------------------------------- rows


def _count(columns: Any) -> tuple[int, Any]:
    score, _, _, unit = columns
    return len(score), None if unit is None else np.unique(unit)


def _placed(columns: Any, scores: Any, shares: bool, names: Any) -> tuple[Any, ...]:
    """Return the columns with numbers in place of scores and units."""
    score, y, weight, unit = columns
    key = np.empty(len(score), np.int32)
    for begin in range(0, len(score), _BATCH):
        some = score[begin : begin + _BATCH]
        found = _cells(some, shares) if scores is None else np.searchsorted(scores, some)
        key[begin : begin + _BATCH] = found
    number = None if unit is None else np.searchsorted(names, unit).astype(np.int32)
    return key, y, weight, number


def _batches(columns: Any) -> Iterator[tuple[Any, ...]]:
    """Yield key, weight as positive, weight as negative and unit of some rows at a time."""
    for begin in range(0, len(columns[0]), _BATCH):
        part = slice(begin, begin + _BATCH)
        some: list[Any] = [x if x is None else x[part] for x in columns]
        key, y, weight, unit = some
        weight = np.ones(len(y)) if weight is None else weight
        yield key, weight * y, weight * (1.0 - y), unit


def _sums(columns: Any, keys: int) -> tuple[Any]:
    """Return by key: positive, negative, their squares and product, and rows."""
    result = np.zeros((6, keys))
    for key, p, n, _ in _batches(columns):
        for sums, x in zip(result, (p, n, p * p, p * n, n * n, None), strict=True):
            sums += np.bincount(key, x, keys)
    return (result,)


def _sums_of_units(columns: Any, tables: Any, units: int) -> tuple[Any]:
    result = np.zeros(units)
    for key, p, n, unit in _batches(columns):
        result += np.bincount(unit, p * tables[0, key] + n * tables[1, key], units)
    return (result,)


# ---------------------------------------------------------------- cells


def _cells(score: Any, shares: bool) -> Any:
    """Return the cell of each score, which is its leading bits: never a larger one for a smaller score."""
    x = np.asarray(score, np.float64)
    if shares:  # 1 − p is exact from 1/2 on
        with np.errstate(divide="ignore", over="ignore"):
            x = np.where(x > 0.5, 1.0 / (1.0 - x), -1.0 / x)
    size = np.abs(x).view(np.int64) >> (52 - _STEPS)
    size = np.clip(size - ((1023 + _LEAST) << _STEPS), 0, _HALF - 1)
    return np.where(x < 0, _HALF - 1 - size, _HALF + size)


def _edges(cell: Any, shares: bool) -> Any:
    """Return the least score of each cell."""
    size = np.where(cell >= _HALF, cell - _HALF, _HALF - cell)
    x = ((size + ((1023 + _LEAST) << _STEPS)) << (52 - _STEPS)).view(np.float64)
    x = np.where(size == 0, 0.0, np.where(cell == 0, np.inf, x))
    below = np.nextafter(-x, 0)
    if shares:
        return np.where(
            cell >= _HALF, 1.0 - 1.0 / np.maximum(x, 1.0), -1.0 / np.minimum(below, -1.0)
        )
    return np.where(cell >= _HALF, x, below)
