"""Intervals of shares, of means and of calibration errors, as simulated in tools/simulate_*.py."""

import functools
import math
from typing import Any

import numpy as np

from . import _core

_SPREADS = np.concatenate(
    [[0.0], np.geomspace(0.002, 0.7, 40)]
)  # that the gaps of the bins may have

_ROUNDING = 2.0**-40  # differences of numbers near 1 that are rounding

_MORE = 6  # rows that a bin has for its variance beside its own


_MANY = 2000  # units, from which on Student's t is normal


@functools.lru_cache
def quantile(confidence: float, units: float = math.inf) -> float:
    """Return how many standard errors are on each side; where so many units say how large one is, of Student's t."""
    if not 2 <= units < _MANY:
        return float(_normal().inv_cdf(0.5 + confidence / 2))
    angle = np.linspace(0, np.pi / 2, 4097)
    density = np.cos(angle) ** (units - 2)  # of arctan(t / √(units − 1))
    chance = np.append(0.0, np.cumsum(density[1:] + density[:-1]))
    return float(np.sqrt(units - 1) * np.tan(np.interp(confidence * chance[-1], chance, angle)))


def _normal() -> Any:
    from statistics import NormalDist  # which is slow to import

    return NormalDist()


def percentiles(resamples: Any, confidence: float, units: float = math.inf) -> tuple[float, float]:
    """Return quantiles of resamples. Those of few units vary too little: they go further out (Hesterberg 2015)."""
    tail = max((1.0 - confidence) / 2 - 1e-12, 0.0)  # 0.95 is not exact: of 200 the fifth
    if 2 <= units < _MANY:
        further = quantile(confidence, units) * math.sqrt(units / (units - 1))
        tail = _normal().cdf(-further)
    low, high = np.quantile(
        [resamples, np.negative(resamples)], tail, axis=1, method="inverted_cdf"
    )
    return float(low), -float(high)


def wilson(share: Any, count: Any, z: float) -> tuple[Any, Any]:
    """Return the score interval of a share of `count` (Wilson 1927); all of [0, 1] for none."""
    none = count == 0
    n = np.where(none, 1.0, count)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    low, high = np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
    return np.where(none, 0.0, low), np.where(none, 1.0, high)


def of_share(
    share: float, count: float, resamples: Any, confidence: float, units: int
) -> tuple[float, float]:
    """Return Wilson's interval, for as many rows as have the variance of the resamples, of so many units.

    Groups, weights and soft labels count by that. Where all rows are alike it says nothing: then they are `count`.
    """
    variance = resamples.var() * units / max(units - 1, 1)
    return of_rows(share, math.sqrt(variance), count, confidence, units)


def error_of(influence: Any, unit: Any) -> tuple[float, int]:
    """Return the standard error of a number from what each row adds to it, and how many units there are.

    Rows of one unit are not independent: what they add is added up first.
    """
    return error_of_numbered(influence, np.unique(unit, return_inverse=True)[1].ravel())


def error_of_numbered(influence: Any, unit: Any) -> tuple[float, int]:
    """As `error_of`, of units that are numbers from 0 on."""
    count = int(unit.max()) + 1
    sums = influence if count == len(unit) else np.bincount(unit, influence)
    return float(np.sqrt(sums @ sums * count / (count - 1))) if count > 1 else np.inf, count


def of_ratio(
    part: Any, whole: Any, unit: Any, confidence: float
) -> tuple[float, tuple[float, float]]:
    """Return Σ part / Σ whole, a share, and Wilson's interval for as many rows as have its variance."""
    total = whole.sum()
    if not total > 0:
        return np.nan, (0.0, 1.0)
    share = float(part.sum() / total)
    error, units = error_of((part - share * whole) / total, unit)
    count = total**2 / (whole @ whole)
    return share, of_rows(share, error, count, confidence, units)


def of_rows(
    share: float, error: float, count: float, confidence: float, units: int
) -> tuple[float, float]:
    """Return Wilson's interval of a share, for as many rows as have its error; of `count` where it says nothing."""
    known = 0 < share < 1 and 0 < error < np.inf
    count = share * (1 - share) / error**2 if known else count
    z = quantile(confidence, units if known else math.inf)
    low, high = wilson(np.float64(share), np.float64(count), z)
    return float(low), float(high)


def of_logit(
    value: float, error: float, count: float, confidence: float, units: int
) -> tuple[float, float]:
    """Return the interval of a number in [0, 1] that is normal on the scale of logits; at an end, Wilson's."""
    if not (0 < value < 1 and 0 < error < np.inf):
        return of_rows(value, 0.0, count, confidence, units)
    z = quantile(confidence, units)
    odds, half = np.log(value / (1 - value)), z * error / (value * (1 - value))
    low, high = 1 / (1 + np.exp(-(odds + np.array([-half, half]))))
    return float(low), float(high)


def resampled(counts: Any, table: Any) -> Any:
    """Return counts (resamples, groups) times a table (groups, ...), with the same bits for any number of threads."""
    product = _core.product(counts, table.reshape(len(table), -1))[: len(counts)]
    return product.reshape(len(counts), *table.shape[1:])


def of_mean(mean: float, x: Any, weight: Any, draws: Any, confidence: float) -> tuple[float, float]:
    """Return the interval of Σ x / Σ weight over groups by the studentised bootstrap (Efron 1981).

    `draws` say how often each resample has each group. Losses are skewed: percentiles would miss on the upper side.
    """
    groups = len(x)
    if groups < 2:
        return -np.inf, np.inf
    power = np.frexp(np.abs(x).max())[1]  # squares of numbers near 1 stay in the range of float64
    x, mean = np.ldexp(x, -power), np.ldexp(mean, -power)
    residuals = x - mean * weight
    residuals[np.abs(residuals) <= _ROUNDING] = 0.0
    error = np.sqrt(residuals @ residuals) / weight.sum()
    squares = [residuals, weight, residuals**2, residuals * weight, weight**2]
    sum_r, sum_w, rr, rw, ww = resampled(draws, np.stack(squares, axis=1)).T
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sum_r / sum_w
        variances = rr - 2 * means * rw + means * means * ww
        errors = np.sqrt(np.where(variances <= _ROUNDING * rr, 0.0, variances)) / sum_w
        off = np.where(means == 0, 0.0, means / errors)
    low, high = percentiles(off[~np.isnan(off)], confidence)
    error *= np.sqrt(groups / (groups - 1))
    low, high = (mean - high * error, mean - low * error) if error > 0 else (mean, mean)
    return float(np.ldexp(low, power)), float(np.ldexp(high, power))


def of_gaps(
    table: Any, value: float, null: Any, confidence: float, draws: int, seed: int
) -> tuple[tuple[float, float], float]:
    """Return interval and mean of what sums of groups of rows, by bin, say of the true mean |gap| of the bins.

    Chance adds to every gap, whatever its sign, so the mean of the gaps of a sample is too large. Here the true gaps
    are normal, with a mean and a spread that are unknown too (Morris 1983), and what is known of them is drawn. Where
    a calibrated model would show as large an error by chance, 0 belongs to the interval.
    """
    weight, squares, gap, correct = (table[..., k].sum(axis=0) for k in (1, 2, 3, 4))
    some = weight > 2.0**-500 * weight.sum()  # the squares of others round to 0
    weight, squares, gap, correct = weight[some], squares[some], gap[some], correct[some]
    mean = gap / weight
    residuals = table[:, some, 3] - mean * table[:, some, 1]
    rows = weight**2 / squares
    # And that of more rows, as accurate as a line through all bins says: few that are far off vary too little.
    accuracy = np.clip(_line((gap + correct) / weight, correct / weight, rows), 0.02, 0.98)
    more = rows + _MORE - 1
    variance = (residuals**2).sum(axis=0) / weight**2 * rows / more
    variance += _MORE * accuracy * (1 - accuracy) / (rows * more)
    drawn = _true_gaps(mean, variance, rows, draws, np.random.default_rng([seed, 1]))
    low, high = percentiles(drawn, confidence)
    by_chance = value <= percentiles(null, confidence)[1]
    return (0.0 if by_chance else low, min(high, 1.0)), float(drawn.mean())


def _line(x: Any, y: Any, weight: Any) -> Any:
    """Return the line of least squares at each x, whose slope is nearer to 1 where x says little of it."""
    off_x, off_y = (of - weight @ of / weight.sum() for of in (x, y))
    slope = (weight @ (off_x * off_y) + 1) / (weight @ off_x**2 + 1)
    return y - off_y + slope * off_x


def of_difference(one: Any, other: Any) -> tuple[float, float]:
    """Return the interval of one estimate less another, of the same rows, from their intervals (Zou, Donner 2008).

    These may lie more to one side of the estimates, which a difference of resamples forgets.
    """
    a, b = one.resamples, other.resamples
    spread = a.std() * b.std()
    together = float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0
    middles = a.mean(), b.mean()
    below, above = zip(
        *(
            (m - e.interval[0], e.interval[1] - m)
            for m, e in zip(middles, (one, other), strict=True)
        ),
        strict=True,
    )
    # An error that may be 0 often is: how far its estimate is above is bias, and does not vary with the other one.
    of_low, of_high = (min(together, 0.0) if e.interval[0] <= 0 else together for e in (one, other))
    low, high = (
        np.sqrt(max(x * x + y * y - 2 * r * x * y, 0.0))
        for x, y, r in ((below[0], above[1], of_low), (above[0], below[1], of_high))
    )
    middle = middles[0] - middles[1]
    return float(middle - low), float(middle + high)


def _true_gaps(mean: Any, variance: Any, rows: Any, draws: int, rng: Any) -> Any:
    """Return draws of Σ share · |gap| of the bins."""
    spread = _SPREADS**2
    precision = 1.0 / (variance + spread[:, None])
    of_centre = 1.0 / precision.sum(axis=1)
    centre = (precision @ mean) * of_centre
    squares = (precision * (mean - centre[:, None]) ** 2).sum(axis=1)
    log_likelihood = 0.5 * (np.log(precision).sum(axis=1) + np.log(of_centre) - squares)
    likelihood = np.exp(log_likelihood - log_likelihood.max()) * np.gradient(_SPREADS)
    of = rng.choice(len(spread), draws, p=likelihood / likelihood.sum())
    centres = centre[of] + np.sqrt(of_centre[of]) * rng.standard_normal(draws)
    shrunk = spread[of][:, None] / (spread[of][:, None] + variance)
    gaps = centres[:, None] + shrunk * (mean - centres[:, None])
    gaps += np.sqrt(shrunk * variance) * rng.standard_normal(gaps.shape)
    return (np.abs(gaps) * rng.dirichlet(rows, draws)).sum(axis=1)
