"""Labels: class indices and distributions, checked, converted and smoothed."""

import functools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import _core
from .normalization import _axes, _cast, _check_legal, _mask, _real, _refuse_masked

__all__ = ["one_hot", "smooth_labels"]


def one_hot(
    labels: ArrayLike, num_classes: int, /, axis: int = -1, *, dtype: DTypeLike = np.float64
) -> Any:
    r"""Turn class indices into distributions that are sure of them.

    .. math:: q_k = 1 \text{ for } k = y, \text{ else } 0

    Parameters
    ----------
    labels : array_like of integers, shape (...)
        Class indices in [0, num_classes).
    num_classes : int
        The number of classes.
    axis : int
        Where the class axis goes in the result.
    dtype : dtype
        Of the result: any real type, bool included.

    Returns
    -------
    ndarray, shape of ``labels`` with the class axis inserted
        One 1 along the class axis, 0 elsewhere. Largest error: 0 ULP.

    Raises
    ------
    TypeError
        If ``labels`` or ``num_classes`` are not integers, or ``dtype`` is not real.
    ValueError
        If a label is outside [0, num_classes).

    References
    ----------
    Bishop, C. M. (2006). Pattern Recognition and Machine Learning, section 4.1.3 (1-of-K coding).

    Examples
    --------
    >>> import sigmax
    >>> sigmax.one_hot([0, 2], 3)
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    _refuse_masked(labels, "labels")
    labels = np.asarray(labels)
    classes = _integer(num_classes, "num_classes")
    if classes < 0:
        raise ValueError(f"num_classes must not be negative, got {classes}")
    kind: np.dtype[Any] = np.dtype(dtype)
    if kind.kind not in "biuf" and kind.name != "bfloat16":
        raise TypeError(f"dtype must be a real type, got {kind}")
    index, _ = _class_indices(labels, classes, None)
    result = np.zeros((*labels.shape, classes), kind)
    np.put_along_axis(result, index[..., None], kind.type(1), axis=-1)
    return np.moveaxis(result, -1, _axes(axis, result.ndim)[0])


def smooth_labels(
    labels: ArrayLike,
    smoothing: float,
    /,
    axis: int = -1,
    *,
    prior: ArrayLike | None = None,
    where: ArrayLike | None = None,
) -> Any:
    r"""Mix distributions with a prior: what the losses do for ``label_smoothing``.

    .. math:: q = (1 - \varepsilon) \, q^0 + \varepsilon \, \pi

    Parameters
    ----------
    labels : array_like of real numbers, shape (..., C, ...)
        Distributions along ``axis``; bool and integers (one-hot rows) become float64.
    smoothing : float
        ε in [0, 1].
    axis : int
        The class axis.
    prior : array_like, shape (C,), optional
        π: not negative, with sum 1. Uniform unless given.
    where : array_like of bool, broadcastable to ``labels``, optional
        Masked classes get nothing of the prior, which is shared among the others in its proportions.

    Returns
    -------
    ndarray, shape of ``labels``
        Largest error: float16 and bfloat16 0.51 ULP, float32 0.51 ULP, float64 2 ULP.

    Raises
    ------
    TypeError
        If an argument is not real.
    ValueError
        If ``smoothing`` is outside [0, 1], ``labels`` are not distributions, or ``prior`` is none.

    References
    ----------
    Szegedy, C. et al. (2016). Rethinking the Inception architecture. doi:10.1109/CVPR.2016.308.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.smooth_labels([0.0, 1.0, 0.0, 0.0], 0.1)
    array([0.025, 0.925, 0.025, 0.025])
    """
    q = _real(labels, "labels")
    axis = _class_axis(axis, q, "labels")
    rows = np.moveaxis(q, axis, -1)
    share = _number(smoothing, "smoothing", 0.0, 1.0)
    _check_rows(rows, "labels", None)
    classes = rows.shape[-1]
    weights = np.ones(classes) if prior is None else _prior(prior, "prior", classes)
    if where is not None:
        weights = np.where(np.moveaxis(_mask(where, q.shape), axis, -1), weights, 0.0)
    if where is not None or prior is None:
        total = weights.sum(axis=-1, keepdims=True)
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    mixed = (1.0 - share) * rows.astype(np.float64) + share * weights
    return np.moveaxis(_cast(mixed, q.dtype), -1, axis)


# ---------------------------------------------------------------- arguments


def _class_axis(axis: Any, x: Any, name: str = "logits") -> int:
    """Return the class axis, counted from the front."""
    if type(axis) is int and -x.ndim <= axis < x.ndim:
        return axis % int(x.ndim)
    if isinstance(axis, tuple | list) or axis is None:
        raise TypeError(f"axis must be an int, got {axis!r}")
    if x.ndim == 0:
        raise ValueError(f"{name} must have at least one dimension, the class axis")
    return _axes(axis, x.ndim)[0]


def _is_hard(labels: Any, x: Any, axis: int) -> bool:
    """Whether labels are class indices, by their shape; other shapes are refused."""
    batch = x.shape[:axis] + x.shape[axis + 1 :]
    if labels.shape == batch:
        return True
    if labels.shape == x.shape:
        return False
    raise ValueError(
        f"labels must have the shape {batch} of class indices or {tuple(x.shape)} of distributions, "
        f"got shape {tuple(labels.shape)}"
    )


def _integer(value: Any, name: str) -> int:
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    return int(value.__index__())


def _number(value: Any, name: str, least: float, most: float) -> float:
    """Check an option that is one real number."""
    if type(value) is float and least <= value <= most:
        return value
    number = np.asarray(value)
    if number.ndim != 0 or number.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be a real number, got {value!r}")
    if not least <= number <= most:
        legal = f"[{least:g}, {most:g}]" if np.isfinite(most) else f"[{least:g}, inf)"
        raise ValueError(f"{name} must be in {legal}, got {value!r}")
    return float(number)


_LARGEST = float(np.finfo(np.float64).max)


def _per_class_weights(weights: Any, name: str, classes: int) -> Any:
    """Return weights of the classes, checked, as float64."""
    w = _real(weights, name, np.float64)
    if w.shape != (classes,):
        raise ValueError(f"{name} must have the shape ({classes},), got {tuple(w.shape)}")
    _check_legal((w >= 0) & (w <= _LARGEST), w, name, "finite and not negative")
    return w


def _prior(prior: Any, name: str, classes: int) -> Any:
    prior = _per_class_weights(prior, name, classes)
    _check_rows(prior, name, None)
    return prior


def _class_indices(labels: Any, classes: int, ignore_index: Any) -> tuple[Any, Any]:
    """Return labels as int64, -1 for the rows that are left out, and which are not (None: all)."""
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"labels must be integers, as class indices of the shape {tuple(labels.shape)}, "
            f"got dtype {labels.dtype}"
        )
    if ignore_index is None:
        indices = _core.class_indices(labels, classes)
        if indices is not None:
            return indices, None
    kept = None
    if ignore_index is not None:
        kept = labels != _integer(ignore_index, "ignore_index")
        kept = None if kept.all() else kept
    legal = (labels >= 0) & (labels < classes)
    if kept is not None:
        legal |= ~kept
    _check_legal(legal, labels, "labels", f"in [0, {classes})")
    indices = labels.astype(np.int64, copy=False)
    return (indices if kept is None else np.where(kept, indices, np.int64(-1))), kept


def _distributions(labels: Any, classes: int, ignore_index: Any) -> tuple[Any, Any]:
    """As `_class_indices`, of distributions: -1 for those that are sure of the ignored class, else 0, or None."""
    if ignore_index is None:
        return None, None
    k = _integer(ignore_index, "ignore_index")
    if not 0 <= k < classes:
        raise ValueError(
            f"ignore_index must be a class in [0, {classes}) where labels are distributions, got {k}"
        )
    kept = labels[..., k] != 1
    if kept.all():
        return None, None
    return np.where(kept, np.int64(0), np.int64(-1)), kept


def _check_rows(rows: Any, name: str, kept: Any, *dtypes: Any) -> Any:
    """Check that rows, classes last, are distributions, as exact as `dtypes` are; return their sums as float64."""
    sums = _core.mass(rows, _ONE)
    tolerance = max(_epsilon(dtype) for dtype in dtypes or (rows.dtype,)) ** 0.5
    deviation = abs(sums - 1.0)
    if kept is not None:
        deviation = np.where(kept, deviation, 0.0)
    if sums.size == 0 or deviation.max() <= tolerance:  # NaN is not
        return sums
    bad = ~(deviation <= tolerance)
    row = tuple(int(i) for i in np.argwhere(np.asarray(bad))[0])
    values = np.asarray(rows[row]).astype(np.float64)
    wrong = ~((values >= 0) & (values <= 1))
    at = f" in the row at index {row}" if row else ""
    if wrong.any():
        k = int(wrong.argmax())
        raise ValueError(f"{name} must be in [0, 1], got {values[k]} for class {k}{at}")
    raise ValueError(
        f"{name} must sum to 1 within {tolerance:.2g} along the class axis, got {sums[row]}{at}"
    )


@functools.cache
def _epsilon(dtype: Any) -> float:
    if dtype.kind in "biu":
        return 2.0**-52
    return 2.0**-7 if dtype.name == "bfloat16" else float(np.finfo(dtype).eps)


_ONE = np.ones(1)
