"""Losses of classes: cross-entropy and divergence, from class indices or distributions, logits or probabilities."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments
from ._arguments import Reduction
from ._loss import Rows, loss
from .normalization import softmax
from .soft_labels import SparseLabels, SparseLoss

__all__ = ["cross_entropy", "kl_divergence"]


@loss
def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    class_weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    smoothing_prior: ArrayLike | None = None,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
    z_loss: float = 0.0,
    reduction: Reduction = "mean",
    normalizer: float | None = None,
) -> Any:
    r"""Cross-entropy of labels and the distribution that logits (or probabilities) give.

    .. math:: \ell_n = s_n \sum_k w_k q_{nk} (-\log p_{nk}) + z \, \Lambda_n^2, \quad
        p = \operatorname{softmax}(x / T), \;
        \Lambda = \operatorname{logsumexp}(x / T), \;
        q = (1 - \varepsilon) q^0 + \varepsilon \pi

    Parameters
    ----------
    logits : array_like of real numbers, shape (..., C, ...)
        One row per sample along ``axis``: logits, or probabilities with ``from_logits=False``; those are taken as
        given, neither clipped nor normalised.
    labels : array_like
        q⁰. Of the shape of ``logits`` without ``axis``: class indices, of any integer type. Of the shape of
        ``logits``: distributions along ``axis``, one-hot ones of bool or integers included. Or :class:`SparseLabels`,
        with the options that do not ask about all classes.
    axis : int
        The class axis.
    from_logits : bool
        What ``logits`` holds; nothing is guessed from its values.
    temperature : array_like
        T, positive: a number, or one per row. Only with logits.
    class_weight : array_like, shape (C,), optional
        w: finite, not negative.
    sample_weight : array_like, optional
        s: finite, broadcasting to the shape of the rows. Negative ones are legal (policy gradients).
    label_smoothing : float
        ε in [0, 1].
    smoothing_prior : array_like, shape (C,), optional
        π: not negative, with sum 1. Uniform unless given. Of a row with masked classes, the others share it in its
        proportions.
    ignore_index : int, optional
        Rows with this label are left out: their loss and gradient are 0, whatever they hold. Where labels are
        distributions, those that are sure of this class.
    where : array_like of bool, optional
        Mask, broadcasting to ``logits``: a masked class has probability 0 and gradient 0.
    z_loss : float
        z: weight of the squared logsumexp, which keeps logits from drifting. Only with logits.
    reduction : {"mean", "sum", "none"}
        The mean is the sum over D = Σ s Σ w q⁰ of the rows that are not left out, so that class indices and
        distributions agree. With nothing left it is 0.
    normalizer : float, optional
        Takes the place of D, for a mean over several calls.

    Returns
    -------
    scalar, or ndarray of the shape of the rows for ``reduction="none"``
        In the type of ``logits``. In natural units (nats), at least 0 where weights are, inf for a label of
        probability 0. Losses of confident rows keep full relative accuracy, down to the subnormal numbers.
        Largest error: float16 and bfloat16 0.51 ULP, float32 1 ULP, float64 2 ULP; under :func:`set_rounding` losses
        of class indices without weights, smoothing and z-loss are correctly rounded. A row with NaN is NaN.

    Raises
    ------
    TypeError
        If an argument is not of real numbers, or class indices are not integers.
    ValueError
        If a label is out of range, a distribution does not sum to 1 (within the square root of the type's
        epsilon), shapes do not match, an option is out of range, or the weights of a mean sum to less than 0.

    See Also
    --------
    value_and_grad : the loss and its gradient from one pass.
    linear_cross_entropy : the same for logits that are never held.

    References
    ----------
    Good, I. J. (1952). Rational decisions. doi:10.1111/j.2517-6161.1952.tb00104.x.
    Chowdhery, A. et al. (2023). PaLM. https://jmlr.org/papers/v24/22-1144.html (z-loss).

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.cross_entropy([[40.0, 0.0], [0.0, 1.0]], [0, 1], reduction="none"))
    [4.24835426e-18 3.13261688e-01]
    >>> print(sigmax.cross_entropy([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]], label_smoothing=0.1))
    0.5200948492805977
    """
    if isinstance(labels, SparseLabels):
        options = {
            "axis": axis,
            "from_logits": from_logits,
            "temperature": temperature,
            "class_weight": class_weight,
            "sample_weight": sample_weight,
            "label_smoothing": label_smoothing,
            "smoothing_prior": smoothing_prior,
            "ignore_index": ignore_index,
            "where": where,
            "z_loss": z_loss,
            "reduction": reduction,
            "normalizer": normalizer,
        }
        return SparseLoss("cross_entropy", logits, labels, options)
    rows = Rows(logits, axis, from_logits=from_logits)
    rows.take_labels(labels)
    rows.take_temperature(temperature)
    rows.take_sample_weight(sample_weight)
    rows.take_mask(where)
    rows.take_class_options(class_weight, label_smoothing, smoothing_prior, z_loss)
    rows.settle(ignore_index)
    return rows.reduce(reduction, normalizer)


@loss
def kl_divergence(
    logits: ArrayLike,
    labels: ArrayLike,
    /,
    axis: int = -1,
    *,
    from_logits: bool = True,
    labels_from_logits: bool = False,
    temperature: ArrayLike = 1.0,
    sample_weight: ArrayLike | None = None,
    where: ArrayLike | None = None,
    reduction: Reduction = "mean",
    normalizer: float | None = None,
) -> Any:
    r"""Kullback–Leibler divergence of the labels from the distribution that logits give.

    .. math:: D(q \,\|\, p) = \sum_k q_k (\log q_k - \log p_k), \quad p = \operatorname{softmax}(x / T)

    Parameters
    ----------
    logits : array_like of real numbers, shape (..., C, ...)
        As for :func:`cross_entropy`.
    labels : array_like of real numbers, shape of ``logits``
        q: distributions along ``axis``, or with ``labels_from_logits=True`` logits of such, at the same temperature. Or
        :class:`SparseLabels`.
        Close rows of logits keep the digits of their small divergence.
    axis, from_logits, temperature, sample_weight, where
        As for :func:`cross_entropy`; a mask applies to both.
    labels_from_logits : bool
        What ``labels`` holds.
    reduction, normalizer
        As for :func:`cross_entropy`: the mean is that of the rows.

    Returns
    -------
    scalar, or ndarray of the shape of the rows for ``reduction="none"``
        In the type of ``logits``, in nats; at least 0 for distributions, inf where p is 0 and q is not; 0·log 0 is 0.
        Largest error, of labels that are logits: float16 and bfloat16 0.51 ULP, float32 1 ULP, float64 2 ULP; of
        distributions the same, or that part of the sum of the terms' absolute values.

    Raises
    ------
    TypeError, ValueError
        As for :func:`cross_entropy`.

    References
    ----------
    Kullback, S., Leibler, R. A. (1951). On information and sufficiency. doi:10.1214/aoms/1177729694.

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.kl_divergence([0.0, 0.0], [1.0, 0.0]))
    0.6931471805599453
    >>> print(sigmax.kl_divergence([0.0, 1.0], [1e-9, 1.0], labels_from_logits=True))
    9.830596665102685e-20
    """
    if isinstance(labels, SparseLabels):
        options = {
            "axis": axis,
            "from_logits": from_logits,
            "labels_from_logits": labels_from_logits,
            "temperature": temperature,
            "sample_weight": sample_weight,
            "where": where,
            "reduction": reduction,
            "normalizer": normalizer,
        }
        return SparseLoss("kl_divergence", logits, labels, options)
    rows = Rows(logits, axis, from_logits=from_logits)
    of_logits = _arguments.flag(labels_from_logits, "labels_from_logits")
    if of_logits and not rows.from_logits:
        labels = softmax(_arguments.real(labels, "labels"), axis, where=where, dtype=np.float64)
        of_logits = False
    rows.take_second_rows(labels, "labels")
    rows.take_temperature(temperature)
    rows.take_sample_weight(sample_weight)
    rows.take_mask(where)
    rows.settle(are_distributions=not of_logits)
    rows.kernel = "divergence" if of_logits else "relative_entropy"
    if not rows.from_logits:
        rows.kernel += "_of_probabilities"
    rows.reduce(reduction, normalizer)
    if of_logits:
        rows.cool(squared=False)
    return rows
