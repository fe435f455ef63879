"""Prior shift: probabilities where classes are more or less frequent than where the model was trained."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments, _rows
from ._arguments import in_exact_arithmetic
from ._rows import Chunk
from ._tables import NOTHING, probabilities
from .normalization import softmax

__all__ = ["PriorShiftFit", "fit_prior_shift"]

_MOST_STEPS = 10_000
_CLOSE = 1e-9  # by which the shares still change in a step


@dataclass(frozen=True)
class PriorShiftFit:
    """What :func:`fit_prior_shift` finds.

    Attributes
    ----------
    prior : ndarray, shape (C,)
        How frequent the classes are among these rows.
    train_prior : ndarray
        As given.
    gain : float
        By how much the mean log-likelihood of the rows is larger than with ``train_prior``, in nats.
    iterations, rows : int
        Steps of the EM algorithm; rows that count.
    converged : bool
        Whether they ended.
    binary : bool
        As for :class:`TemperatureFit`.
    """

    prior: np.ndarray
    train_prior: np.ndarray
    gain: float
    iterations: int
    converged: bool
    rows: int
    binary: bool = False

    @in_exact_arithmetic
    def apply(self, logits: ArrayLike, axis: int = -1, *, from_logits: bool = True) -> Any:
        """Return the probabilities of these logits (or probabilities) where classes are as frequent as here."""
        with_change = np.log(self.prior) - np.log(self.train_prior)
        if self.binary:
            x = _rows.columns_of(logits, from_logits)
            return softmax(x + with_change.astype(x.dtype))[..., 1]
        x = _arguments.numpy_array(_arguments.real(logits, "logits"), "logits")
        if not _arguments.flag(from_logits, "from_logits"):
            x = np.log(_arguments.probabilities(x, "logits"))
        moved = np.moveaxis(x, _arguments.class_axis(axis, x.ndim), -1)
        if moved.shape[-1] != len(self.prior):
            raise ValueError(
                f"logits must have {len(self.prior)} classes along the axis, got {moved.shape[-1]}"
            )
        return np.moveaxis(softmax(moved + with_change.astype(x.dtype)), -1, axis)


@in_exact_arithmetic
def fit_prior_shift(
    logits: ArrayLike,
    train_prior: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> PriorShiftFit:
    r"""Find from rows without labels how frequent the classes are among them.

    .. math:: \pi_k \leftarrow \frac{\sum_n s_n \, r_{nk}}{\sum_n s_n}, \quad
        r_{nk} = \frac{p_{nk} \, \pi_k / \pi^0_k}{\sum_j p_{nj} \, \pi_j / \pi^0_j}

    It holds where rows of a class look as they did in training and only the frequencies have changed, and where the
    probabilities are honest there: calibrate first.

    Parameters
    ----------
    logits : array_like of real numbers, shape (..., C, ...)
        Or probabilities with ``from_logits=False``. One-dimensional ones are of class 1 against class 0. NumPy or Dask.
    train_prior : array_like, shape (C,)
        π⁰: the shares of the classes where the model was trained, or calibrated; above 0, with sum 1.
    axis, from_logits, temperature, sample_weight, where
        As for :func:`evaluate`.

    Returns
    -------
    PriorShiftFit
        Largest error: shares change by less than 1e-9 in the last step (not in ULP) of the EM algorithm, whose
        likelihood has one maximum.

    Raises
    ------
    TypeError, ValueError
        As for :func:`evaluate`.

    References
    ----------
    Saerens, M., Latinne, P., Decaestecker, C. (2002). Adjusting the outputs of a classifier to new a priori
    probabilities. doi:10.1162/089976602753284446.

    Examples
    --------
    >>> import sigmax
    >>> p = [[0.9, 0.1]] * 8 + [[0.1, 0.9]] * 2
    >>> fit = sigmax.fit_prior_shift(p, [0.5, 0.5], from_logits=False)
    >>> print(fit.prior.round(6))
    [0.875 0.125]
    >>> fit.apply([0.5, 0.5], from_logits=False).round(6)
    array([0.875, 0.125])
    """
    x = _arguments.blocks(logits, "logits")
    single = x.ndim == 1
    shape = x.shape if single else tuple(np.delete(x.shape, _arguments.class_axis(axis, x.ndim)))
    rows = _rows.rows(
        logits,
        np.broadcast_to(np.int64(0), shape),
        axis,
        from_logits=from_logits,
        temperature=temperature,
        sample_weight=sample_weight,
        where=where,
    )
    before = _arguments.prior(train_prior, "train_prior", rows.classes)
    _arguments.require(before > 0, before, "train_prior", "above 0")
    prior, converged, steps = before, False, 0
    count, weight, shares, start = rows.sum(_expected, np.ones(rows.classes))
    if not count:
        raise ValueError(NOTHING)
    value = start
    while not converged and steps < _MOST_STEPS:
        steps += 1
        new = shares / weight
        converged = bool(np.abs(new - prior).max() < _CLOSE)
        prior = new
        _, _, shares, value = rows.sum(_expected, prior / before)
    gain = float((value - start) / weight)
    return PriorShiftFit(prior, before, gain, steps, converged, int(count), rows.binary)


def _expected(chunk: Chunk, ratio: Any) -> tuple[Any, ...]:
    """Return sums of the rows, their weights, the expected weight of each class, and the log-likelihood."""
    p = probabilities(chunk).astype(np.float64)
    chunk.require_classes(~np.isnan(p), "logits must not be NaN", chunk.logits)
    shifted = p * ratio
    mass = shifted.sum(axis=-1)
    chunk.require(mass > 0, "logits must leave each row a class of positive probability", mass)
    weight = chunk.weight
    return len(chunk), weight.sum(), (weight / mass) @ shifted, _rows.total(weight * np.log(mass))
