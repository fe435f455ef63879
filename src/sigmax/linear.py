"""A linear layer's probabilities, log-probabilities and best classes, whose logits are never all held."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _arguments
from .linear_cross_entropy import _Layer, linear_cross_entropy
from .normalization import log_softmax, logsumexp, softmax

__all__ = ["LinearHead", "TopK", "linear_log_softmax", "linear_softmax", "linear_top_k"]


@dataclass(frozen=True)
class TopK:
    """The most probable classes of each row, and what is left for the others.

    Attributes
    ----------
    indices : ndarray of int64, shape (..., k)
        The classes, the most probable first; of equal ones the lower index.
    log_probabilities : ndarray, shape (..., k)
        Theirs.
    tail : ndarray, shape (...)
        The logarithm of the probability of all others together; -inf where there are none.
    """

    indices: Any
    log_probabilities: Any
    tail: Any


def linear_softmax(
    features: ArrayLike,
    weight: ArrayLike,
    /,
    *,
    bias: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
    out: np.ndarray | None = None,
) -> Any:
    r"""Probabilities of a linear layer's classes, a few rows at a time.

    .. math:: \operatorname{softmax}((F W^\top + b) / T)

    Parameters
    ----------
    features : array_like of real numbers, shape (..., H)
        F, one row per sample. A memory map may be larger than memory.
    weight : array_like of real numbers, shape (C, H)
        W, one row per class.
    bias : array_like of real numbers, shape (C,), optional
        b.
    temperature : array_like
        T, positive: a number, or one per row.
    out : ndarray, optional
        Where the result goes, for instance a memory map: of the shape (..., C) and a real type.

    Returns
    -------
    ndarray, shape (..., C)
        In the type of ``features``, in [0, 1]. The scratch beside it is that of :func:`linear_cross_entropy`, 32 MiB.
        Largest error: that of :func:`softmax`, less than 1 ULP, for logits with the errors of NumPy's products. Bits
        depend on NumPy's BLAS.

    Raises
    ------
    TypeError, ValueError
        As for :func:`softmax`; also where the shapes of ``features``, ``weight`` and ``bias`` do not match.

    References
    ----------
    Bridle, J. S. (1990). Probabilistic interpretation of feedforward classification network outputs.
    doi:10.1007/978-3-642-76153-9_28.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.linear_softmax([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]]).round(3)
    array([[0.269, 0.731]])
    """
    rows = _Rows(features, weight, bias, temperature)
    shape = (*rows.layer.batch, rows.classes)
    dtype = rows.layer.features.dtype
    if out is None:
        out = np.empty(shape, dtype)
    _arguments.result_place(out, shape, dtype)
    layer = (rows.layer.features, rows.layer.weight, rows.layer.bias)
    is_apart = not any(x is not None and np.may_share_memory(out, x) for x in layer)
    flat = (out if is_apart else np.empty(shape, dtype)).reshape(rows.count, rows.classes)
    for part, logits, t in rows.chunks():
        flat[part] = softmax(logits, temperature=t, out=logits)
    if not np.may_share_memory(flat, out):
        out[...] = flat.reshape(shape)
    return out


def linear_log_softmax(
    features: ArrayLike,
    weight: ArrayLike,
    labels: ArrayLike,
    /,
    *,
    bias: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
) -> Any:
    r"""Log-probabilities that a linear layer gives to the classes that are asked for.

    .. math:: \log \operatorname{softmax}((F W^\top + b) / T)_y

    Parameters
    ----------
    features, weight, bias, temperature
        As for :func:`linear_softmax`.
    labels : array_like of integers, shape (...) or (..., k)
        y: one class index per row, or k of them.

    Returns
    -------
    ndarray, shape of ``labels``
        In the type of ``features``, at most 0, in natural units. Largest error: that of :func:`log_softmax`, less than
        1 ULP, for logits with the errors of NumPy's products.

    Raises
    ------
    TypeError, ValueError
        As for :func:`linear_softmax`; also where ``labels`` are not integers in [0, C) or have another shape.

    References
    ----------
    Wijmans, E. et al. (2024). Cut your losses in large-vocabulary language models. https://arxiv.org/abs/2411.09009.

    Examples
    --------
    >>> import sigmax
    >>> sigmax.linear_log_softmax([[40.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], [0])
    array([-4.24835426e-18])
    """
    rows = _Rows(features, weight, bias, temperature)
    index = _class_indices(labels, rows)
    result = np.empty((rows.count, index.shape[1]), rows.layer.features.dtype)
    for part, logits, t in rows.chunks():
        log_p = log_softmax(logits, temperature=t, out=logits)
        result[part] = np.take_along_axis(log_p, index[part], axis=1)
    return result.reshape(np.shape(labels))[()]


def linear_top_k(
    features: ArrayLike,
    weight: ArrayLike,
    k: int,
    /,
    *,
    bias: ArrayLike | None = None,
    temperature: ArrayLike = 1.0,
) -> TopK:
    r"""The k most probable classes of each row of a linear layer, with their log-probabilities and the rest.

    .. math:: \log p_{(1)} \ge \ldots \ge \log p_{(k)}, \quad \log \sum_{j > k} p_{(j)}, \quad
        p = \operatorname{softmax}((F W^\top + b) / T)

    Parameters
    ----------
    features, weight, bias, temperature
        As for :func:`linear_softmax`.
    k : int
        In [1, C].

    Returns
    -------
    TopK
        Log-probabilities in the type of ``features``. Largest error: that of :func:`log_softmax` and
        :func:`logsumexp`, less than 1 ULP, for logits with the errors of NumPy's products. A row with NaN has the first
        classes, and NaN.

    Raises
    ------
    TypeError, ValueError
        As for :func:`linear_softmax`; also where ``k`` is not an integer in [1, C].

    References
    ----------
    Hoare, C. A. R. (1961). Algorithm 65: find. doi:10.1145/366622.366647.

    Examples
    --------
    >>> import sigmax
    >>> top = sigmax.linear_top_k([[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], 2)
    >>> top.indices
    array([[2, 1]])
    >>> top.log_probabilities.round(3), top.tail.round(3)
    (array([[-0.408, -1.408]]), array([-2.408]))
    """
    rows = _Rows(features, weight, bias, temperature)
    count = _arguments.integer(k, "k")
    if not 1 <= count <= rows.classes:
        raise ValueError(f"k must be in [1, {rows.classes}], got {count}")
    parts = [
        top_k(log_softmax(logits, temperature=t, out=logits), count)
        for _, logits, t in rows.chunks()
    ]
    dtype, batch = rows.layer.features.dtype, rows.layer.batch
    if not parts:
        parts = [top_k(np.zeros((0, rows.classes), rows.layer.kind), count)]
    return TopK(
        np.concatenate([part.indices for part in parts]).reshape(*batch, count),
        np.concatenate([part.log_probabilities for part in parts], dtype=dtype).reshape(
            *batch, count
        ),
        np.concatenate([part.tail for part in parts], dtype=dtype).reshape(batch),
    )


def top_k(log_p: Any, k: int) -> TopK:
    """Return the k largest log-probabilities of each row of a matrix; of equal ones those of the lower index."""
    classes = log_p.shape[1]
    comparable = np.where(np.isnan(log_p), -np.inf, log_p)
    least = np.partition(comparable, classes - k, axis=1)[:, classes - k, None]
    chosen = comparable > least
    equal = comparable == least
    missing = k - chosen.sum(axis=1, keepdims=True)
    chosen |= equal & (np.cumsum(equal, axis=1) <= missing)
    indices = np.nonzero(chosen)[1].reshape(len(log_p), k)
    values = np.take_along_axis(log_p, indices, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    tail = (
        logsumexp(log_p, where=~chosen)
        if k < classes
        else np.where(np.isnan(log_p).any(axis=1), np.nan, -np.inf).astype(log_p.dtype)
    )
    return TopK(
        np.take_along_axis(indices, order, axis=1),
        np.take_along_axis(values, order, axis=1),
        np.minimum(tail, 0),
    )


class _Rows:
    """The rows of a linear layer, in the chunks of `linear_cross_entropy`."""

    def __init__(self, features: Any, weight: Any, bias: Any, temperature: Any) -> None:
        self.layer = _Layer.checked(features, weight, bias)
        self.classes = len(self.layer.weight)
        self.count = self.layer.count
        t = np.asarray(_arguments.temperatures(temperature, self.layer.batch))
        self.temperature = np.broadcast_to(t, self.layer.batch).reshape(-1) if t.ndim else t

    def chunks(self) -> Iterator[tuple[slice, Any, Any]]:
        """Yield slices of the rows, their logits, in memory that is used again, and their temperatures."""
        t = self.temperature
        for part, _, logits in self.layer.chunks():
            yield part, logits, t[part] if t.ndim else t


def _class_indices(labels: Any, rows: _Rows) -> Any:
    """Return labels as a matrix of int64, one row for each of the layer's."""
    index, batch = _arguments.numpy_labels(labels), rows.layer.batch
    if index.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got dtype {index.dtype}")
    if index.shape != batch and index.shape[:-1] != batch:
        raise ValueError(
            f"labels must have the shape {batch} or (*{batch}, k), got shape {index.shape}"
        )
    legal = (index >= 0) & (index < rows.classes)
    if not legal.all():
        at = tuple(int(i) for i in np.argwhere(~legal)[0])
        raise ValueError(f"labels must be in [0, {rows.classes}), got {index[at]} at index {at}")
    return index.reshape(rows.count, index.size // rows.count if rows.count else 1).astype(np.int64)


# ---------------------------------------------------------------- a head from a file


@dataclass(frozen=True)
class LinearHead:
    """The last layer of a classifier: weight, bias and temperature, for features of any number.

    Attributes
    ----------
    weight : ndarray, shape (C, H)
        One row per class.
    bias : ndarray, shape (C,), or None
        One number per class.
    temperature : float
        What logits are divided by.
    """

    weight: Any
    bias: Any = None
    temperature: float = 1.0

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        weight: str | None = None,
        bias: str | None = None,
        temperature: float = 1.0,
    ) -> "LinearHead":
        """Read a head from a .npz or .safetensors file.

        ``weight`` and ``bias`` name its arrays. Unless given, they are the only matrix and the vector of its length,
        or those called (…)weight and (…)bias; where that leaves a choice it is refused. Half precision stays as it is;
        bfloat16 is widened to float32.
        """
        arrays = _Arrays(Path(path))
        name = weight if weight is not None else arrays.only(2, "weight")
        matrix = arrays.read(name)
        if matrix.ndim != 2:
            raise ValueError(
                f"{path}: {name!r} must be a matrix of classes × features, got shape {matrix.shape}"
            )
        if bias is None:
            sister = name.removesuffix("weight") + "bias" if name.endswith("weight") else None
            fitting = [n for n, shape in arrays.shapes.items() if shape == matrix.shape[:1]]
            if sister in fitting:
                bias = sister
            elif len(fitting) > 1:
                raise ValueError(f"{path}: name the bias, one of {', '.join(sorted(fitting))}")
            else:
                bias = fitting[0] if fitting else None
        return cls(matrix, None if bias is None else arrays.read(bias), temperature)

    def softmax(self, features: ArrayLike, /, *, out: np.ndarray | None = None) -> Any:
        """Return the probabilities: :func:`linear_softmax`."""
        t = self.temperature
        return linear_softmax(features, self.weight, bias=self.bias, temperature=t, out=out)

    def log_softmax(self, features: ArrayLike, labels: ArrayLike, /) -> Any:
        """Return the log-probabilities of labels: :func:`linear_log_softmax`."""
        t = self.temperature
        return linear_log_softmax(features, self.weight, labels, bias=self.bias, temperature=t)

    def top_k(self, features: ArrayLike, k: int, /) -> TopK:
        """Return the most probable classes: :func:`linear_top_k`."""
        return linear_top_k(features, self.weight, k, bias=self.bias, temperature=self.temperature)

    def predict(self, features: ArrayLike, /) -> Any:
        """Return the most probable class of each row."""
        return self.top_k(features, 1).indices[..., 0]

    def cross_entropy(self, features: ArrayLike, labels: ArrayLike, /, **options: Any) -> Any:
        """Return the loss: :func:`linear_cross_entropy`, whose options it takes."""
        options = {"temperature": self.temperature, **options}
        return linear_cross_entropy(features, self.weight, labels, bias=self.bias, **options)


class _Arrays:
    """The arrays of a .npz or .safetensors file, by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrays: dict[str, Any] | None = None
        if path.suffix == ".npz":
            with np.load(path) as file:
                self.arrays = {name: file[name] for name in file.files}
            self.shapes = {name: a.shape for name, a in self.arrays.items()}
        elif path.suffix == ".safetensors":
            self.start, self.header = _safetensors(path)
            self.shapes = {name: tuple(entry["shape"]) for name, entry in self.header.items()}
        else:
            raise ValueError(
                f"{path}: must be .npz or .safetensors, got {path.suffix or 'no suffix'}"
            )

    def only(self, ndim: int, word: str) -> str:
        """Return the name of the only array of so many dimensions, or of the only one whose name ends so."""
        found: list[str] = [name for name, shape in self.shapes.items() if len(shape) == ndim]
        if len(found) > 1:
            found = [name for name in found if name.split(".")[-1] == word] or found
        if len(found) != 1:
            raise ValueError(
                f"{self.path}: name the {word}, one of {', '.join(sorted(found)) or 'none: there is no matrix'}"
            )
        return found[0]

    def read(self, name: str) -> Any:
        if name not in self.shapes:
            raise ValueError(
                f"{self.path}: no array {name!r}; it has {', '.join(sorted(self.shapes))}"
            )
        if self.arrays is not None:
            return self.arrays[name]
        entry = self.header[name]
        kind, (begin, end) = entry["dtype"], entry["data_offsets"]
        if kind not in _SAFETENSORS:
            raise ValueError(
                f"{self.path}: {name!r} has the type {kind}, legal are {', '.join(_SAFETENSORS)}"
            )
        dtype, shape = np.dtype(_SAFETENSORS[kind]), self.shapes[name]
        if end - begin != dtype.itemsize * math.prod(shape):
            raise ValueError(
                f"{self.path}: {name!r} has {end - begin} bytes, which {shape} of {kind} does not take"
            )
        if not math.prod(shape):
            return np.empty(shape, dtype)
        data = np.memmap(self.path, dtype, "r", offset=self.start + begin, shape=shape)
        # bfloat16 is the upper half of float32.
        return (data.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else data


_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def _safetensors(path: Path) -> tuple[int, dict[str, Any]]:
    """Return where the data of a file begin, and what its header says of each array."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= size - 8:
            raise ValueError(
                f"{path}: is no safetensors file: its header would have {length} bytes"
            )
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            for entry in header.values():
                begin, end = entry["data_offsets"]
                legal = 0 <= begin <= end <= size - 8 - length and all(
                    n >= 0 for n in entry["shape"]
                )
                if not legal or not isinstance(entry["dtype"], str):
                    raise ValueError(entry)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path}: is no safetensors file: its header is broken") from error
    return 8 + length, header
