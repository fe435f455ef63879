"""A temperature for each group of rows, no further from the common one than the rows can tell."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _core, _rows
from ._arguments import in_exact_arithmetic
from ._rows import Chunk, Rows
from .calibration import TemperatureFit, fit_temperature, label_logits, mean_logits, smoothing_of
from .normalization import softmax

__all__ = ["GroupTemperatureFit", "fit_group_temperatures"]

_MOST_STEPS = 200
_WIDEST = 40.0  # of a change of log T, either way


@dataclass(frozen=True)
class GroupTemperatureFit:
    """What :func:`fit_group_temperatures` finds.

    Attributes
    ----------
    temperatures : dict
        By the name of the group.
    rows : dict
        How many rows of each count.
    pooled : TemperatureFit
        Of all rows: what other groups get.
    spread : float
        Standard deviation of log T between groups, beyond chance. 0: all have the common one.
    status, message
        Of ``pooled``; with a status other than "ok" there is nothing to apply.
    """

    temperatures: dict[Any, float]
    rows: dict[Any, int]
    pooled: TemperatureFit
    spread: float

    @property
    def status(self) -> str:
        return self.pooled.status

    @property
    def message(self) -> str:
        return self.pooled.message

    @in_exact_arithmetic
    def apply(
        self, logits: ArrayLike, groups: ArrayLike, axis: int = -1, *, from_logits: bool = True
    ) -> Any:
        """Return the probabilities at the temperature of each row's group; of a group that is new, at the pooled one.

        Raises ValueError, with the message, where there is no best temperature.
        """
        if self.status != "ok":
            raise ValueError(self.message)
        names, of = np.unique(
            np.asarray(_arguments.positions(groups, "groups")), return_inverse=True
        )
        known = [self.temperatures.get(name, self.pooled.temperature) for name in names.tolist()]
        temperature = np.asarray(known)[of].reshape(np.shape(groups))
        if self.pooled.binary:
            x = _rows.columns_of(logits, from_logits)
            return softmax(x, temperature=temperature)[..., 1]
        x = _arguments.real(logits, "logits")
        if not _arguments.flag(from_logits, "from_logits"):
            x = np.log(_arguments.probabilities(x, "logits"))
        return softmax(x, axis, temperature=temperature)


@in_exact_arithmetic
def fit_group_temperatures(
    logits: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    sample_weight: ArrayLike | None = None,
    label_smoothing: float | Literal["laplace"] = 0.0,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    multilabel: bool = False,
    shrinkage: float | Literal["auto"] = "auto",
) -> GroupTemperatureFit:
    r"""Find a temperature for each group, shrunk to the common one by as much as its rows leave open.

    .. math:: \min_{T_g} \sum_{n \in g} s_n (-\log p_{n}(T_g)) + \frac{(\log T_g - \log T)^2}{2 \tau^2}

    Parameters
    ----------
    logits, labels, axis, from_logits, sample_weight, label_smoothing, ignore_index, where, multilabel
        As for :func:`fit_temperature`.
    groups : array_like, shape of the rows
        The name of each row's group, of any type that sorts.
    shrinkage : float or "auto"
        τ, the standard deviation of log T between groups; 0 gives all the common one. ``"auto"`` is empirical Bayes:
        what the slopes of the groups at the common T show beyond chance.

    Returns
    -------
    GroupTemperatureFit
        Largest error of a temperature: 1e-9, relative (not in ULP, as for :func:`fit_temperature`). A group that
        is always right, or has one row, has one too.

    Raises
    ------
    TypeError, ValueError
        As for :func:`fit_temperature`.

    References
    ----------
    DerSimonian, R., Laird, N. (1986). Meta-analysis in clinical trials. doi:10.1016/0197-2456(86)90046-2.

    Examples
    --------
    >>> import sigmax
    >>> import numpy as np
    >>> logits = np.tile([[3.0, 0.0]], (600, 1))
    >>> labels = np.arange(600) % 10 < np.repeat([1, 4], 300)      # 90 % right, then 60 %
    >>> fit = sigmax.fit_group_temperatures(logits, labels.astype(int), np.repeat(["en", "zh"], 300))
    >>> print({name: round(t, 2) for name, t in fit.temperatures.items()}, round(fit.pooled.temperature, 2))
    {'en': 1.37, 'zh': 6.91} 2.73
    """
    options: dict[str, Any] = {
        "from_logits": from_logits,
        "sample_weight": sample_weight,
        "ignore_index": ignore_index,
        "where": where,
        "multilabel": multilabel,
    }
    pooled = fit_temperature(logits, labels, axis, label_smoothing=label_smoothing, **options)
    rows = _rows.rows(logits, labels, axis, groups=groups, padded=True, **options)
    _, names = rows.count()
    most = _arguments.LARGEST
    spread = _arguments.word_or_number(shrinkage, "shrinkage", "auto", 0.0, most)
    count, weight, squares = rows.sum(_sizes, names)
    titles = names.tolist()
    counts = {name: int(n) for name, n in zip(titles, count, strict=True)}
    if pooled.status != "ok":
        return GroupTemperatureFit(dict.fromkeys(titles, math.nan), counts, pooled, math.nan)
    problem = _Problem(
        rows,
        names,
        1.0 / pooled.temperature,
        weight.sum() / squares.sum(),
        smoothing_of(label_smoothing, pooled.rows),
    )
    if spread is None:
        spread = problem.spread()
    change = problem.solve(spread)
    found = dict(zip(titles, (pooled.temperature * np.exp(-change)).tolist(), strict=True))
    return GroupTemperatureFit(found, counts, pooled, float(spread))


@dataclass
class _Problem:
    """Slopes and curvatures of the losses of all groups in θ = log(b / pooled b), from one pass."""

    rows: Rows
    names: Any
    b: float
    share: float  # makes weights count as rows do
    smoothing: float

    def slopes(self, change: Any) -> tuple[Any, Any]:
        b = self.b * np.exp(change)
        first, second = self.rows.sum(_moments, self.names, b, self.smoothing)
        return self.share * b * first, self.share * b * b * second

    def spread(self) -> float:
        """Return the standard deviation of θ between groups (DerSimonian, Laird)."""
        slope, information = self.slopes(np.zeros(len(self.names)))
        some = information > 0
        slope, information = slope[some], information[some]
        total = information.sum()
        free = total - (information**2).sum() / total if total else 0.0
        excess = (slope**2 / information).sum() - (len(slope) - 1)
        return math.sqrt(max(excess / free, 0.0)) if free > 0 else 0.0

    def solve(self, spread: float) -> Any:
        """Return θ of each group: Newton's steps between bounds that close in on the root of the slope."""
        count = len(self.names)
        change, low, high = np.zeros(count), np.full(count, -_WIDEST), np.full(count, _WIDEST)
        if spread == 0:
            return change
        for _ in range(_MOST_STEPS):
            slope, curvature = self.slopes(change)
            total = slope + change / spread**2
            low, high = np.where(total < 0, change, low), np.where(total >= 0, change, high)
            step = change - total / (curvature + np.maximum(slope, 0.0) + 1 / spread**2)
            new = np.where((step > low) & (step < high), step, (low + high) / 2)
            done = np.abs(new - change).max() < 1e-10
            change = new
            if done:
                break
        return change


def _sizes(chunk: Chunk, names: Any) -> tuple[Any, ...]:
    of = np.searchsorted(names, chunk.groups)
    return (
        np.bincount(of, minlength=len(names)),
        np.bincount(of, chunk.weight, len(names)),
        np.bincount(of, chunk.weight**2, len(names)),
    )


def _moments(chunk: Chunk, names: Any, b: Any, smoothing: float) -> tuple[Any, Any]:
    """Return f' and f'' of each group."""
    of = np.searchsorted(names, chunk.groups)
    r, weight = label_logits(chunk)
    if smoothing:
        r = r + smoothing * (mean_logits(chunk.logits) - r)
    first, second = _core.logit_moments(chunk.logits, b[of], r)
    variance = np.maximum(second - first * first, 0.0)
    return np.bincount(of, weight * first, len(names)), np.bincount(
        of, weight * variance, len(names)
    )
