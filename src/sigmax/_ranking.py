"""Numbers of the order of rows alone, and their intervals from what each row adds to them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _intervals
from ._numbers import ratio

Interval = tuple[float, float]


@dataclass
class Order:
    """Two kinds of rows, by weight, in the order of their scores: the largest first, equal ones at one place."""

    place: Any  # of each row
    positive: Any  # its weights
    negative: Any
    unit: Any  # the number of what it is drawn with
    true: Any  # positives up to each place
    false: Any
    confidence: float

    @classmethod
    def of(cls, score: Any, positive: Any, negative: Any, unit: Any, confidence: float) -> "Order":
        _, place = np.unique(-score, return_inverse=True)
        place = place.ravel()
        true, false = (np.cumsum(np.bincount(place, x)) for x in (positive, negative))
        number = np.unique(unit, return_inverse=True)[1].ravel()
        return cls(place, positive, negative, number, true, false, confidence)

    def _estimate(self, value: float, influence: Any, count: float) -> tuple[float, Interval]:
        if math.isnan(value):
            return value, (0.0, 1.0)
        error, units = _intervals.error_of_numbered(influence, self.unit)
        return value, _intervals.of_logit(value, error, count, self.confidence, units)

    def area(self) -> tuple[float, Interval]:
        """Return how often a positive is above a negative: the area under the ROC curve."""
        return self._estimate(*self.area_by_row())

    def area_by_row(self) -> tuple[float, Any, float]:
        """Return the area, what each row adds to it, and how many rows it rests on."""
        most, none = self.true[-1], self.false[-1]
        if not min(most, none) > 0:
            return math.nan, np.zeros(len(self.place)), 0.0
        above = self.true - np.diff(self.true, prepend=0) / 2  # of equal scores half
        below = none - self.false + np.diff(self.false, prepend=0) / 2
        won, lost = below[self.place] / none, above[self.place] / most
        area = float(self.positive @ won / most)
        influence = self.positive * (won - area) / most + self.negative * (lost - area) / none
        return area, influence, min(most, none)

    def average_precision(self) -> tuple[float, Interval]:
        """Return the mean over the positives of the share of positives down to their place."""
        return self._estimate(*self.average_precision_by_row())

    def average_precision_by_row(self) -> tuple[float, Any, float]:
        """As `area_by_row`."""
        most = self.true[-1]
        if not most > 0:
            return math.nan, np.zeros(len(self.place)), 0.0
        return self._mean_share(self.positive, most)

    def mean_share(self) -> tuple[float, Interval]:
        """Return the mean over all rows of the share of positives down to their place."""
        both = self.positive + self.negative
        return self._estimate(*self._mean_share(both, both.sum()))

    def _mean_share(self, weight: Any, total: float) -> tuple[float, Any, float]:
        here = np.bincount(self.place, weight)
        down_to = self.true + self.false
        share = ratio(self.true, down_to)
        value = float(here @ share / total)
        # A row changes the shares at all places from its own on.
        slope = ratio(here, down_to**2)
        by_positive, by_negative = (
            np.cumsum((slope * x)[::-1])[::-1][self.place] for x in (self.false, self.true)
        )
        influence = weight * (share[self.place] - value)
        influence = influence + self.positive * by_positive - self.negative * by_negative
        return value, influence / total, total

    def curve(self, most: int) -> tuple[Any, Any]:
        """Return the ROC curve from (0, 0) on, in so many points at most: equally many on each part of its way."""
        x = np.append(0.0, self.false / self.false[-1] if self.false[-1] else self.false * math.nan)
        y = np.append(0.0, self.true / self.true[-1] if self.true[-1] else self.true * math.nan)
        if len(x) <= most:
            return x, y
        kept = np.unique(np.searchsorted(x + y, np.linspace(0, 2, most)).clip(0, len(x) - 1))
        return x[kept], y[kept]
