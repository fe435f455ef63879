"""Functions along an axis: softmax, its logarithm, its inverse, logsumexp and entropy."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import _arguments, _core
from ._arguments import Axis
from ._axis import per_class, per_row, weighted

__all__ = ["entropy", "inverse_softmax", "log_softmax", "logsumexp", "softmax"]

# The short way for plain arrays: it answers None where the arguments need the long way, checks included.
_direct = _core.direct
_SOFTMAX = _core.rows_functions["softmax"]
_LOG_SOFTMAX = _core.rows_functions["log_softmax"]
_LOGSUMEXP = _core.rows_functions["logsumexp"]
_ENTROPY = _core.rows_functions["entropy"]


def softmax(
    x: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    where: ArrayLike | None = None,
    out: np.ndarray | None = None,
    dtype: DTypeLike | None = None,
) -> Any:
    r"""Turn logits into a probability distribution along an axis.

    .. math:: p_i = \frac{e^{x_i / T}}{\sum_j e^{x_j / T}}

    Parameters
    ----------
    x : array_like of real numbers, shape (..., C, ...)
        Logits. -inf has probability 0; +inf logits share probability 1 equally.
    axis : int, tuple of int or None
        The class axis. Several axes, or all for None, are normalised together.
    temperature : float or array_like
        Positive, in [2^-1022, 2^1000]. An array broadcasts against the batch dimensions, those of ``x``
        without ``axis``: one temperature per row.
    where : array_like of bool, optional
        Broadcasts against ``x``; classes where it is False have probability 0.
    out : ndarray, optional
        Where the result goes; may be ``x`` itself.
    dtype : dtype, optional
        Type of the result. By default float16, float32, float64 and bfloat16 keep their type; bool and integers
        become float64. The computation is in the wider of both types.

    Returns
    -------
    ndarray, shape of ``x``
        Probabilities in [0, 1]. Largest error: float16 and bfloat16 0.51 ULP, float32 0.8 ULP, both 0.5 under
        :func:`set_rounding`; float64 1 ULP (1.5 for subnormal results), at any spread of the logits. A row with NaN
        is NaN; a row that is masked throughout is 0.

    Raises
    ------
    TypeError
        If ``x`` is complex, longdouble, not numeric, or a masked array.
    ValueError
        If a temperature is not in [2^-1022, 2^1000], or shapes do not match.
    AxisError
        If ``axis`` is out of bounds.

    See Also
    --------
    log_softmax, logsumexp, inverse_softmax

    References
    ----------
    Bridle, J. S. (1990). Probabilistic interpretation of feedforward classification network outputs.
    doi:10.1007/978-3-642-76153-9_28.
    Hinton, G., Vinyals, O., Dean, J. (2015). Distilling the knowledge in a neural network. arXiv:1503.02531.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.softmax([4.0, 2.0, 1.0, -1.0])
    array([0.83902451, 0.11354962, 0.04177257, 0.0056533 ])
    >>> sigmax.softmax([4.0, 2.0, 1.0, -1.0], temperature=[0.5, 10.0]).round(3)
    array([[0.98 , 0.018, 0.002, 0.   ],
           [0.316, 0.259, 0.234, 0.192]])
    >>> sigmax.softmax([1000.0, 1001.0, float("-inf")])
    array([0.26894142, 0.73105858, 0.        ])
    """
    if where is None and dtype is None:
        result = _direct(_SOFTMAX, axis, x, temperature, out)
        if result is not None:
            return result
    return per_class(_core.softmax, x, axis, temperature, where=where, out=out, dtype=dtype)


def log_softmax(
    x: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    where: ArrayLike | None = None,
    out: np.ndarray | None = None,
    dtype: DTypeLike | None = None,
) -> Any:
    r"""Logarithm of the softmax along an axis, exact for confident rows.

    .. math:: \log p_i = \frac{x_i}{T} - \log \sum_j e^{x_j / T}

    Parameters
    ----------
    x, axis, temperature, where, out, dtype
        As for :func:`softmax`.

    Returns
    -------
    ndarray, shape of ``x``
        In [-inf, 0]. Largest error: float16 and bfloat16 0.51 ULP, float32 0.7 ULP, both 0.5 under
        :func:`set_rounding`; float64 1 ULP, also where the result is as small as 1e-300. A row with NaN is NaN; a row
        that is masked throughout is -inf.

    Raises
    ------
    TypeError, ValueError, AxisError
        As for :func:`softmax`.

    References
    ----------
    Blanchard, P., Higham, D. J., Higham, N. J. (2021). Accurately computing the log-sum-exp and softmax
    functions. doi:10.1093/imanum/draa038.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.log_softmax([40.0, 0.0])
    array([-4.24835426e-18, -4.00000000e+01])
    """
    if where is None and dtype is None:
        result = _direct(_LOG_SOFTMAX, axis, x, temperature, out)
        if result is not None:
            return result
    return per_class(_core.log_softmax, x, axis, temperature, where=where, out=out, dtype=dtype)


def logsumexp(
    x: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    temperature: ArrayLike = 1.0,
    weights: ArrayLike | None = None,
    where: ArrayLike | None = None,
    keepdims: bool = False,
    out: np.ndarray | None = None,
) -> Any:
    r"""Logarithm of the sum of exponentials along an axis.

    .. math:: \operatorname{lse}(x) = \log \sum_j w_j \, e^{x_j / T}

    Parameters
    ----------
    x, axis, temperature, where
        As for :func:`softmax`.
    weights : array_like of real numbers, optional
        The w, finite. They and ``x`` broadcast against each other, and meet in NumPy's common type. A class of
        weight 0 is left out, whatever its logit. Where the weighted sum is negative the result is NaN.
    keepdims : bool
        Keep the reduced axes with length 1.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray or scalar, shape of ``x`` (broadcast with ``weights``) without ``axis``
        In [-inf, inf]. Largest error: float16 and bfloat16 0.51 ULP, float32 0.8 ULP, both 0.5 without weights under
        :func:`set_rounding`; float64 1 ULP; a float64 result close to 0 that comes of cancellation between the largest
        logit and the logarithm has an absolute error of 2^-56 of the largest logit. A row with +inf is inf, with NaN is
        NaN, a row that is empty or masked throughout is -inf.

    Raises
    ------
    TypeError, ValueError, AxisError
        As for :func:`softmax`.

    References
    ----------
    Blanchard, P., Higham, D. J., Higham, N. J. (2021). Accurately computing the log-sum-exp and softmax
    functions. doi:10.1093/imanum/draa038.

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.logsumexp([0.0, -40.0]))
    4.248354255291589e-18
    >>> print(sigmax.logsumexp([1000.0, 1000.0], weights=[1.0, 3.0]))
    1001.3862943611199
    """
    if weights is None:
        if where is None and keepdims is False:
            result = _direct(_LOGSUMEXP, axis, x, temperature, out)
            if result is not None:
                return result
        return per_row(
            _core.logsumexp, x, axis, temperature, where=where, keepdims=keepdims, out=out
        )
    x, operands = weighted(x, weights, where)
    return per_row(
        _core.logsumexp_weighted,
        x,
        axis,
        temperature,
        where=where,
        keepdims=keepdims,
        out=out,
        operands=operands,
    )


def inverse_softmax(
    p: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    where: ArrayLike | None = None,
    out: np.ndarray | None = None,
    dtype: DTypeLike | None = None,
) -> Any:
    r"""Logits of zero mean whose softmax is ``p``: the partner of :func:`logit` for many classes.

    .. math:: x_i = \log p_i - \frac{1}{C} \sum_j \log p_j

    Parameters
    ----------
    p : array_like of real numbers, shape (..., C, ...)
        Probabilities in [0, 1]; they need not sum to 1, and what rounding has put above 1 counts as 1. A class of
        probability 0 has the logit -inf and is left out of the mean.
    axis, where, out, dtype
        As for :func:`softmax`.

    Returns
    -------
    ndarray, shape of ``p``
        In [-inf, inf]. Largest error: float16, bfloat16 and float32 0.51 ULP, float64 2 ULP where the
        logarithm and the mean do not cancel. A row with NaN or a number outside [0, 1] is NaN.

    Raises
    ------
    TypeError, ValueError, AxisError
        As for :func:`softmax`.

    References
    ----------
    Aitchison, J. (1982). The statistical analysis of compositional data (the centred log-ratio).
    doi:10.1111/j.2517-6161.1982.tb01195.x.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.inverse_softmax([0.25, 0.25, 0.25, 0.25])
    array([0., 0., 0., 0.])
    >>> sigmax.softmax(sigmax.inverse_softmax([0.7, 0.2, 0.1])).round(12)
    array([0.7, 0.2, 0.1])
    """
    return per_class(
        _core.inverse_softmax,
        p,
        axis,
        where=where,
        out=out,
        dtype=dtype,
        of_probabilities=True,
        name="p",
    )


def entropy(
    x: ArrayLike,
    /,
    axis: Axis = -1,
    *,
    from_logits: bool = True,
    temperature: ArrayLike = 1.0,
    where: ArrayLike | None = None,
    keepdims: bool = False,
    out: np.ndarray | None = None,
) -> Any:
    r"""Entropy of a distribution along an axis, in nats, from its logits or its probabilities.

    .. math:: H = -\sum_i p_i \log p_i, \quad p = \operatorname{softmax}(x / T)

    Parameters
    ----------
    x : array_like of real numbers, shape (..., C, ...)
        Logits, or probabilities with ``from_logits=False``; those are taken as given, not normalised, but what
        rounding has put above 1 counts as 1.
    from_logits : bool
        What ``x`` is; nothing is guessed from its values.
    temperature
        As for :func:`softmax`; only with logits.
    axis, where
        As for :func:`softmax`.
    keepdims, out
        As for :func:`logsumexp`.

    Returns
    -------
    ndarray or scalar, shape of ``x`` without ``axis``
        In [0, log C]. Largest error: float16, bfloat16 and float32 0.51 ULP, float64 2 ULP. 0·log 0 is 0. A
        row with NaN, or with a number outside [0, 1] for probabilities, is NaN.

    Raises
    ------
    TypeError, ValueError, AxisError
        As for :func:`softmax`; also a temperature for probabilities.

    References
    ----------
    Shannon, C. E. (1948). A mathematical theory of communication. doi:10.1002/j.1538-7305.1948.tb01338.x.

    Examples
    --------
    >>> import sigmax
    >>> print(sigmax.entropy([0.0, 0.0, float("-inf")]))
    0.6931471805599453
    >>> print(sigmax.entropy([0.5, 0.25, 0.25], from_logits=False))
    1.0397207708399179
    """
    if _arguments.flag(from_logits, "from_logits"):
        if where is None and keepdims is False:
            result = _direct(_ENTROPY, axis, x, temperature, out)
            if result is not None:
                return result
        return per_row(_core.entropy, x, axis, temperature, where=where, keepdims=keepdims, out=out)
    _arguments.no_temperature(temperature)
    return per_row(
        _core.entropy_of_probabilities,
        x,
        axis,
        where=where,
        keepdims=keepdims,
        out=out,
        of_probabilities=True,
    )
