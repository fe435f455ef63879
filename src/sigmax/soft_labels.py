"""Soft labels of a few classes: a teacher's best ones and the rest, in memory and in files."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import _arguments
from .elementwise import log1mexp
from .normalization import log_softmax, logsumexp, softmax

__all__ = ["SparseLabels", "read_soft_labels", "write_soft_labels"]

_TOLERANCE = 0.05  # how far the probabilities of a row, stored in half precision, may be from 1


@dataclass(frozen=True)
class SparseLabels:
    """Distributions of which a few classes are known, and how much is left for the others.

    :func:`cross_entropy`, :func:`kl_divergence` and :func:`distillation_loss` take them in the place of distributions.
    What is left is one class more, for student and teacher alike (one bucket): the divergence is that of coarser
    distributions, so it is at least 0 and at most that of the full ones. With ``weights`` the classes are a sample
    drawn from the teacher, and losses and gradients are unbiased: their mean over samples is that of the full ones.

    Attributes
    ----------
    indices : ndarray of integers, shape (..., k)
        Classes, each once in a row; -1 where a row has fewer.
    log_probabilities : ndarray, shape (..., k)
        Theirs, of the teacher, at ``temperature``.
    tail : ndarray, shape (...), or None
        The logarithm of the probability of all others; None: what the classes leave of 1.
    weights : ndarray, shape (..., k), or None
        Of a sample: the share of draws that each class got; the shares of a row sum to 1.
    temperature : float
        What the teacher's logits were divided by. A loss must have the same.
    """

    indices: Any
    log_probabilities: Any
    tail: Any = None
    weights: Any = None
    temperature: float = 1.0

    def __post_init__(self) -> None:
        index = np.asarray(_arguments.positions(self.indices, "indices"))
        log_q = _arguments.numpy_array(self.log_probabilities, "log_probabilities")
        if index.dtype.kind not in "iu":
            raise TypeError(f"indices must be integers, got dtype {index.dtype}")
        if index.ndim == 0 or index.shape != log_q.shape:
            raise ValueError(
                f"indices and log_probabilities must have one shape (..., k), "
                f"got {index.shape} and {log_q.shape}"
            )
        index = index.astype(np.int64)
        ordered = np.sort(index, axis=-1)
        twice = ((ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] >= 0)).any(axis=-1)
        _refuse(twice, "indices must be different in a row")
        _refuse((index < -1).any(axis=-1), "indices must be at least 0, or -1 for none")
        log_q = np.where(index < 0, -np.inf, log_q.astype(np.float64))
        _refuse(~(log_q <= 1e-2).all(axis=-1), "log_probabilities must be at most 0")
        tail = self.tail
        if tail is None:
            with np.errstate(all="ignore"):
                tail = log1mexp(np.minimum(logsumexp(log_q), 0.0))
        tail = _arguments.numpy_array(tail, "tail").astype(np.float64)
        if tail.shape != index.shape[:-1]:
            raise ValueError(f"tail must have the shape {index.shape[:-1]}, got {tail.shape}")
        weights = self.weights
        if weights is None:
            total = np.exp(log_q).sum(axis=-1) + np.exp(tail)
            _refuse(~(abs(total - 1) <= _TOLERANCE), "probabilities and tail must sum to 1")
        else:
            weights = _arguments.numpy_array(weights, "weights").astype(np.float64)
            if weights.shape != index.shape:
                raise ValueError(f"weights must have the shape {index.shape}, got {weights.shape}")
            weights = np.where(index < 0, 0.0, weights)
            _refuse(~(weights >= 0).all(axis=-1), "weights must be at least 0")
            _refuse(~(abs(weights.sum(axis=-1) - 1) <= _TOLERANCE), "weights must sum to 1")
        for name, value in (
            ("indices", index),
            ("log_probabilities", log_q),
            ("tail", tail),
            ("weights", weights),
            ("temperature", float(_arguments.temperatures(self.temperature))),
        ):
            object.__setattr__(self, name, value)

    @classmethod
    def from_logits(
        cls, logits: Any, k: int | None = None, /, *, temperature: float = 1.0
    ) -> "SparseLabels":
        """Return the k best classes of a teacher's logits, all unless given, and the rest."""
        from .linear import top_k

        x = _arguments.numpy_array(logits, "logits")
        rows = log_softmax(x.reshape(-1, x.shape[-1]), temperature=temperature, dtype=np.float64)
        classes = x.shape[-1]
        count = classes if k is None else _arguments.integer(k, "k")
        if not 1 <= count <= classes:
            raise ValueError(f"k must be in [1, {classes}], got {count}")
        best = top_k(rows, count)
        shape = (*x.shape[:-1], best.indices.shape[-1])
        return cls(
            best.indices.reshape(shape),
            best.log_probabilities.reshape(shape),
            best.tail.reshape(shape[:-1]),
            temperature=temperature,
        )

    @classmethod
    def from_megatron(
        cls, log_probabilities: Any, indices_low: Any, high_bit: Any, /
    ) -> "SparseLabels":
        """Return what Megatron-LM's ``LogitsSaverHooks`` saves of a microbatch.

        The log-probabilities (…, k), the lower 16 bits of the indices, and the 17th. Entries of -1e4 are none.
        """
        log_q = np.asarray(log_probabilities, np.float64)
        index = np.asarray(indices_low).astype(np.int64) | (
            np.asarray(high_bit).astype(np.int64) << 16
        )
        return cls(np.where(log_q <= -1e4, -1, index), np.minimum(log_q, 0.0))

    @classmethod
    def from_distillkit(
        cls, compressed_logprobs: Any, bytepacked_indices: Any, config: dict[str, Any], /
    ) -> "SparseLabels":
        """Return what a row of DistillKit's compressed teacher outputs holds, decoded.

        Both arguments are bytes (…, n) as uint8; ``config`` is the dictionary of its ``DistributionQuantizationConfig``
        that is saved beside the data.
        """
        log_q = _distillkit_log_probabilities(np.asarray(compressed_logprobs, np.uint8), config)
        bits = int(np.ceil(np.log2(np.float32(config["d"]))))
        packed = np.asarray(bytepacked_indices, np.uint8)
        return cls(_unpacked(packed, bits, log_q.shape[-1]), np.minimum(log_q, 0.0))

    def __getitem__(self, rows: Any) -> "SparseLabels":
        """Return some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        return SparseLabels(
            self.indices[rows],
            self.log_probabilities[rows],
            self.tail[rows],
            weights,
            self.temperature,
        )

    def __len__(self) -> int:
        return len(self.indices)

    def dense(self, num_classes: int, /) -> Any:
        """Return distributions over all classes, with the rest spread evenly over those that are not known."""
        self._check_classes(num_classes)
        known = self._known(num_classes)
        count = num_classes - known.sum(axis=-1, keepdims=True)
        rest = np.exp(self.tail)[..., None] / np.maximum(count, 1)
        q = np.where(known, 0.0, rest)
        values = np.exp(self.log_probabilities) if self.weights is None else self.weights
        q = np.where(known, 0.0, 0.0 if self.weights is not None else q)
        self._add(q, values)
        return q / q.sum(axis=-1, keepdims=True)

    def _known(self, classes: int) -> Any:
        """Return which classes are known."""
        known = np.zeros((*self.indices.shape[:-1], classes + 1), bool)
        np.put_along_axis(known, self.indices % (classes + 1), True, axis=-1)  # -1 is the last
        return known[..., :classes]

    def _add(self, to: Any, values: Any) -> None:
        """Write values to their classes."""
        legal = self.indices >= 0
        rows = np.nonzero(legal)[:-1]
        to[(*rows, self.indices[legal])] = np.broadcast_to(values, legal.shape)[legal]

    def _check_classes(self, classes: int) -> None:
        _refuse((self.indices >= classes).any(axis=-1), f"indices must be in [0, {classes})")

    def labels(self) -> Any:
        """Return distributions over the known classes and the bucket of the rest."""
        if self.weights is None:
            q = np.exp(np.concatenate([self.log_probabilities, self.tail[..., None]], axis=-1))
        else:
            q = np.concatenate([self.weights, np.zeros((*self.weights.shape[:-1], 1))], axis=-1)
        return q / q.sum(axis=-1, keepdims=True)


def _refuse(wrong: Any, what: str) -> None:
    """Raise an error about the first row that is wrong."""
    if np.any(wrong):
        row = tuple(int(i) for i in np.argwhere(np.asarray(wrong))[0])
        raise ValueError(what + (f", not so in the row at index {row}" if row else ""))


class SparseLoss:
    """A loss of sparse labels: that of logits in which the classes that are not known are one."""

    def __init__(
        self, name: str, logits: Any, labels: SparseLabels, options: dict[str, Any]
    ) -> None:
        from . import losses

        refused = {"class_weight", "label_smoothing", "smoothing_prior", "ignore_index", "where"}
        for option in refused & options.keys():
            if options[option] is not None and options[option] != 0.0:
                raise ValueError(
                    f"{option} is not for sparse labels, whose classes are not all known"
                )
        if not options.pop("from_logits", True) or options.pop("labels_from_logits", False):
            raise ValueError(
                "sparse labels need logits: from_logits=True, labels_from_logits=False"
            )
        self.given = _arguments.numpy_array(logits, "logits")
        self.axis = _arguments.class_axis(options.pop("axis", -1), self.given.ndim)
        self.x = np.moveaxis(self.given, self.axis, -1).astype(np.float64)
        if self.x.shape[:-1] != labels.indices.shape[:-1]:
            raise ValueError(
                f"labels must have the rows {self.x.shape[:-1]} of logits, got {labels.indices.shape[:-1]}"
            )
        t = options.get("temperature", 1.0)
        if np.ndim(t) or float(t) != labels.temperature:
            raise ValueError(
                f"temperature must be that of the labels, {labels.temperature}, got {t!r}"
            )
        labels._check_classes(self.x.shape[-1])
        self.labels, self.temperature = labels, labels.temperature
        self.others = ~labels._known(self.x.shape[-1])
        chosen = np.take_along_axis(self.x, np.maximum(labels.indices, 0), axis=-1)
        chosen = np.where(labels.indices < 0, -np.inf, chosen)
        tail = self.temperature * logsumexp(self.x, temperature=self.temperature, where=self.others)
        self.folded = np.concatenate([chosen, np.asarray(tail)[..., None]], axis=-1)
        self.soft = labels.labels()
        self.options = {k: v for k, v in options.items() if k not in refused}
        self.function = losses.cross_entropy if name == "cross_entropy" else losses.kl_divergence
        self.constant: Any = None
        if name == "kl_divergence" and labels.weights is not None:
            self.function = losses.cross_entropy
            log_q = np.where(labels.weights > 0, labels.log_probabilities, 0.0)
            self.constant = (labels.weights * log_q).sum(axis=-1)

    def value(self) -> Any:
        return self._finished(self.function(self.folded, self.soft, **self.options))

    def _finished(self, value: Any) -> Any:
        """Return the loss with Σ w·log q, which the teacher alone decides, in the type of the logits."""
        if self.constant is not None:
            s = self.options.get("sample_weight")
            rows = self.constant if s is None else self.constant * s
            reduction = self.options.get("reduction", "mean")
            if reduction == "none":
                value = value + rows
            else:
                count = np.broadcast_to(1.0 if s is None else s, self.constant.shape).sum()
                over = self.options.get("normalizer") or count
                value = value + np.sum(rows) / (over if reduction == "mean" else 1.0)
        return _arguments.cast(np.asarray(value), self.given.dtype)[()]

    def value_and_gradient(self, out: Any) -> tuple[Any, Any]:
        """Return both: a class of the rest has its share of the gradient of all of them."""
        from . import gradients

        if out is not None:
            _arguments.gradient_place(out, self.given)
        both = gradients.value_and_grad(self.function)
        value, slopes = both(self.folded, self.soft, **self.options)
        gradient = softmax(self.x, temperature=self.temperature, where=self.others)
        gradient *= slopes[..., -1:]
        self.labels._add(gradient, slopes[..., :-1])
        gradient = _arguments.cast(np.moveaxis(gradient, -1, self.axis), self.given.dtype)
        if out is not None:
            np.copyto(out, gradient)
            gradient = out
        return self._finished(value), np.ascontiguousarray(gradient) if out is None else gradient


class SparseDistillation:
    """α·T² times the divergence from a sparse teacher, and 1 − α times the cross-entropy of the labels."""

    def __init__(
        self,
        student: Any,
        teacher: SparseLabels,
        labels: Any,
        alpha: float,
        options: dict[str, Any],
    ) -> None:
        both: dict[str, Any] = {
            k: options[k]
            for k in ("axis", "sample_weight", "reduction", "normalizer")
            if k in options
        }
        self.share, self.square = alpha, teacher.temperature**2
        if labels is None and alpha < 1.0:
            raise ValueError(f"labels are needed for alpha < 1, got alpha={alpha!r} and no labels")
        if options.get("where") is not None or options.get("ignore_index") is not None:
            raise ValueError("where and ignore_index are not for a sparse teacher")
        self.soft = SparseLoss(
            "kl_divergence",
            student,
            teacher,
            {**both, "temperature": options.get("temperature", 1.0)},
        )
        skipped = ("temperature", "where", "ignore_index")
        self.hard = {k: v for k, v in options.items() if k not in skipped}
        self.student, self.labels = self.soft.given, labels

    def value(self) -> Any:
        return self._mixed(
            self.soft.value(), lambda loss: loss(self.student, self.labels, **self.hard)
        )

    def _mixed(self, soft: Any, hard: Any) -> Any:
        from . import losses

        result = self.share * self.square * soft
        if self.share < 1.0:
            result = result + (1.0 - self.share) * hard(losses.cross_entropy)
        return _arguments.cast(np.asarray(result), self.student.dtype)[()]

    def value_and_gradient(self, out: Any) -> tuple[Any, Any]:
        from . import gradients, losses

        if out is not None:
            _arguments.gradient_place(out, self.student)
        value, slope = self.soft.value_and_gradient(None)
        gradient = self.share * self.square * slope.astype(np.float64)
        if self.share < 1.0:
            both = gradients.value_and_grad(losses.cross_entropy)
            hard, of_labels = both(self.student, self.labels, **self.hard)
            value = self._mixed(value, lambda _: hard)
            gradient = gradient + (1.0 - self.share) * of_labels
        else:
            value = self._mixed(value, None)
        gradient = _arguments.cast(gradient, self.student.dtype)
        if out is None:
            return value, gradient
        np.copyto(out, gradient)
        return value, out


# ---------------------------------------------------------------- layouts of others


def _unpacked(packed: Any, bits: int, count: int) -> Any:
    """Return numbers of so many bits each, the highest first, from bytes."""
    stream = np.unpackbits(packed, axis=-1)
    if stream.shape[-1] < bits * count:
        raise ValueError(
            f"{count} numbers of {bits} bits need {-(-bits * count // 8)} bytes, got {packed.shape[-1]}"
        )
    digits = stream[..., : bits * count].reshape(*packed.shape[:-1], count, bits).astype(np.int64)
    return digits @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))


def _distillkit_log_probabilities(packed: Any, config: dict[str, Any]) -> Any:
    """Decode exact values, then a polynomial in the rank and the residuals from it, in groups of one scale."""
    k, exact = config["k"], config.get("exact_k", 0)
    begin = 0

    def take(count: int, kind: str) -> Any:
        nonlocal begin
        dtype = np.dtype("uint16" if kind == "bfloat16" else kind)
        part = packed[..., begin : begin + count * dtype.itemsize]
        begin += count * dtype.itemsize
        if part.shape[-1] != count * dtype.itemsize:
            raise ValueError(
                f"compressed_logprobs must have {begin} bytes at least, got {packed.shape[-1]}"
            )
        values = np.ascontiguousarray(part).view(dtype)
        if kind == "bfloat16":  # the upper half of float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float64)

    first = take(exact, config.get("exact_dtype", "float32"))
    rest = np.zeros((*packed.shape[:-1], k - exact))
    terms = config.get("polynomial_terms") or []
    if terms:
        t = (
            np.linspace(0, 1, k - exact)
            if config.get("normalize_t")
            else np.arange(float(k - exact))
        )
        powers = [t**term if isinstance(term, int) else getattr(np, term)(t) for term in terms]
        rest += take(len(terms), config.get("term_dtype", "float32")) @ np.stack(powers)
    place = 0
    for group in config.get("residual_bins") or []:
        count, bits = group["num_elements"], group["element_bits"]
        scale = take(1, group.get("scale_dtype", "float32"))
        size = -(-count * bits // 8)
        levels = _unpacked(packed[..., begin : begin + size], bits, count)
        begin += size
        levels = levels * 2 - 1 if bits == 1 else levels - (1 << (bits - 1))
        rest[..., place : place + count] += levels * scale
        place += count
    result = np.concatenate([first, rest], axis=-1)
    return np.cumsum(result, axis=-1) if config.get("delta_encoding") else result


# ---------------------------------------------------------------- files

_SCHEMA = "sigmax soft labels 1"


def write_soft_labels(
    path: str | Path, labels: SparseLabels | Iterable[SparseLabels], num_classes: int, /
) -> int:
    """Write soft labels to a .parquet or .arrow file; return the number of rows.

    A row has ``indices`` (a list of int32), ``log_probabilities`` (a list of float32), ``tail`` (float32) and, of a
    sample, ``weights`` (a list of float32). The schema's metadata has ``sigmax``, a JSON object with ``schema``,
    ``num_classes`` and ``temperature``.

    Parameters
    ----------
    path : str or Path
        Ends in .parquet or .arrow.
    labels : SparseLabels or iterable of such
        Parts, one after the other, of one temperature.
    num_classes : int
        Of the teacher.

    Examples
    --------
    >>> import sigmax, tempfile, os
    >>> labels = sigmax.SparseLabels.from_logits([[4.0, 2.0, 1.0, -1.0]], 2, temperature=2.0)
    >>> path = os.path.join(tempfile.mkdtemp(), "teacher.parquet")
    >>> sigmax.write_soft_labels(path, labels, 4)
    1
    """
    import pyarrow as pa

    place, kind = Path(path), _kind(Path(path))
    parts = iter([labels] if isinstance(labels, SparseLabels) else labels)
    first = next(parts, None)
    if first is None:
        raise ValueError("labels must have one part at least")
    if not isinstance(first, SparseLabels):
        raise TypeError(
            f"labels must be SparseLabels, or parts of such, got {type(first).__name__}"
        )
    about = {"schema": _SCHEMA, "num_classes": num_classes, "temperature": first.temperature}
    fields = [("indices", pa.list_(pa.int32())), ("log_probabilities", pa.list_(pa.float32()))]
    fields += [("tail", pa.float32())]
    fields += [("weights", pa.list_(pa.float32()))] if first.weights is not None else []
    schema = pa.schema(fields, metadata={"sigmax": json.dumps(about)})
    rows = 0
    with _writer(kind, place, schema) as writer:
        for part in _chain(first, parts):
            part._check_classes(num_classes)
            if part.temperature != first.temperature:
                raise ValueError(
                    f"labels must have one temperature, got {first.temperature} and {part.temperature}"
                )
            batch = pa.record_batch([_column(part, field) for field in schema], schema=schema)
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _chain(first: SparseLabels, others: Iterator[SparseLabels]) -> Iterator[SparseLabels]:
    yield first
    yield from others


def _kind(path: Path) -> str:
    if path.suffix not in (".parquet", ".arrow"):
        raise ValueError(f"{path}: must be .parquet or .arrow, got {path.suffix or 'no suffix'}")
    return path.suffix


def _writer(kind: str, place: Path, schema: Any) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return (
        pq.ParquetWriter(place, schema)
        if kind == ".parquet"
        else pa.ipc.new_file(str(place), schema)
    )


def _column(labels: SparseLabels, field: Any) -> Any:
    """Return a column; lists have the classes that a row has."""
    import pyarrow as pa

    values = getattr(labels, field.name)
    if field.name == "tail":
        return pa.array(values.reshape(-1).astype(np.float32))
    legal = (labels.indices >= 0).reshape(-1, labels.indices.shape[-1])
    offsets = np.concatenate([[0], np.cumsum(legal.sum(axis=1))]).astype(np.int32)
    flat = values.reshape(legal.shape)[legal]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat, field.type.value_type))


def read_soft_labels(path: str | Path, /) -> tuple[SparseLabels, int]:
    """Read soft labels from a .parquet or .arrow file: the labels and the number of classes.

    Parameters
    ----------
    path : str or Path
        What :func:`write_soft_labels` wrote, or another program in its schema.

    Examples
    --------
    >>> import sigmax, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "teacher.arrow")
    >>> logits = [[4.0, 2.0, 1.0, -1.0], [0.0, 1.0, 0.0, 0.0]]
    >>> sigmax.write_soft_labels(path, sigmax.SparseLabels.from_logits(logits, 2, temperature=2.0), 4)
    2
    >>> labels, classes = sigmax.read_soft_labels(path)
    >>> print(sigmax.kl_divergence(logits, labels, temperature=2.0).round(6))
    0.0
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = Path(path)
    try:
        if _kind(place) == ".parquet":
            table = pq.read_table(place)
        else:
            with pa.memory_map(str(place)) as file:
                table = pa.ipc.open_file(file).read_all()
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    about = json.loads((table.schema.metadata or {}).get(b"sigmax", b"{}"))
    if about.get("schema") != _SCHEMA:
        raise ValueError(f"{path}: has no soft labels: its metadata says no {_SCHEMA!r}")
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    tail = columns["tail"].to_numpy(zero_copy_only=False)
    padded = {
        name: _padded(columns[name], fill)
        for name, fill in (("indices", -1), ("log_probabilities", -np.inf), ("weights", 0.0))
        if name in columns
    }
    labels = SparseLabels(tail=tail, temperature=float(about["temperature"]), **padded)
    labels._check_classes(int(about["num_classes"]))
    return labels, int(about["num_classes"])


def _padded(column: Any, fill: Any) -> Any:
    """Return a matrix of lists, filled up to the longest."""
    offsets = column.offsets.to_numpy()
    values = column.values.to_numpy(zero_copy_only=False)
    counts = np.diff(offsets)
    result = np.full((len(counts), max(counts.max(initial=0), 1)), fill, values.dtype)
    legal = np.arange(result.shape[1]) < counts[:, None]
    result[legal] = values[offsets[0] : offsets[-1]]
    return result
