"""Rows in chunks: logits, labels, weights and masks of any size, checked as they are read.

A function of a chunk returns a tuple of sums; `Rows.sum` adds those of all chunks up. So nothing larger than a chunk is
in memory, and where the arrays are Dask's, rows stay on its workers: only sums travel.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from . import _arguments, _core
from ._arguments import ONE, classes_last, exact_arithmetic, in_exact_arithmetic, is_dask, tolerance
from ._config import get_num_threads

_CHUNK = 2**20  # logits: 4 MiB of float32, which a cache holds
# For a kernel with threads of its own: more rows of a group are together; a cache holds what there is of each row.
_KERNEL_CHUNK, _KERNEL_ROWS = 2**22, 2**15
_FAN = 16  # partial sums that are merged at a time


@dataclass
class Chunk:
    """Rows that count, one batch dimension, classes last."""

    weight: Any  # float64
    temperature: Any  # a number, or one per row
    first: int  # the number of rows that count before these
    places: Any  # where the rows are among all that were given
    batch: tuple[int, ...]
    groups: Any = None
    logits: Any = None  # float32 or float64, -inf for a masked class
    probabilities: Any = None  # what was given with from_logits=False
    index: Any = None  # class indices, or
    soft: Any = None  # distributions

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def numbers(self) -> Any:
        """The numbers of the rows among those that count."""
        return self.first + np.arange(len(self))

    def position(self, row: int) -> tuple[int, ...]:
        """Return the index of a row in the arrays that were given."""
        return tuple(int(i) for i in np.unravel_index(self.places[row], self.batch))

    def require_classes(self, legal: Any, message: str, values: Any) -> None:
        """As `require`, of one value per class."""
        rows = legal.all(axis=-1)
        if not rows.all():
            row = int(np.argmin(rows))
            k = int(np.argmin(legal[row]))
            at = f" at index {self.position(row)}" if self.batch else ""
            raise ValueError(f"{message}, got {values[row, k]} for class {k}{at}")

    def require(self, legal: Any, message: str, values: Any) -> None:
        """Raise an error about the first row that is not legal."""
        if not legal.all():
            row = int(np.argmin(legal))
            at = f" at index {self.position(row)}" if self.batch else ""
            raise ValueError(f"{message}, got {values[row]}{at}")


class _Begun(NamedTuple):
    """A chunk without logits, which of its rows count, and the labels of all its rows."""

    chunk: Chunk
    kept: Any
    labels: Any
    part: tuple[slice, ...]


@dataclass
class Rows:
    """All rows, classes last. What is None was not given."""

    logits: Any
    labels: Any
    hard: bool
    from_logits: bool
    weight: Any
    temperature: Any
    mask: Any
    groups: Any
    ignore_index: int | None
    start: int = 0  # of a part of all rows: where it begins in `batch`
    first: int = 0  # and how many rows that count are before it
    batch: tuple[int, ...] = ()  # the batch dimensions of all rows
    power: int = 0  # weights are divided by 2^power
    padded: bool = False  # whether the smallest number of the logits' type is a mask
    binary: bool = False  # whether logits are of class 1 against class 0, and have one column
    every: int = 1  # which chunks are read: one of so many
    for_kernel: bool = False  # whether chunks are for a kernel that has threads of its own

    @property
    def classes(self) -> int:
        return 2 if self.binary else int(self.logits.shape[-1])

    def chunks(self) -> Iterator[Chunk]:
        """Yield all rows that count, checked."""
        return map(self.finished, self.begun())

    def begun(self) -> Iterator[_Begun]:
        """Yield the chunks without their logits, which threads may then read."""
        first = self.first
        for part, start in self._slices():
            begun = self._start_of_chunk(part, start, first)
            first += len(begun.chunk)
            yield begun

    def in_threads(self, function: Callable[[Chunk], Any]) -> Iterator[Any]:
        """Yield a function of each chunk in order."""
        return in_threads(lambda begun: function(self.finished(begun)), self.begun())

    def count(self) -> tuple[int, Any]:
        """Return the number of rows that count and the distinct groups, without a look at the logits."""
        count, groups = 0, []
        for part, start in self._slices():
            chunk = self._start_of_chunk(part, start, 0).chunk
            count += len(chunk)
            groups.append(np.unique(np.array([]) if chunk.groups is None else chunk.groups))
        return count, np.unique(np.concatenate(groups))

    def with_largest_weight_1(self) -> "Rows":
        """Return these rows with weights whose squares do not overflow: the largest that counts is in [1, 2)."""
        if self.weight is None:
            return self
        (counts,) = self.parts().map(_exponents).sum()
        exponents = np.flatnonzero(counts)
        return replace(self, power=int(exponents[-1]) - _LEAST) if exponents.size else self

    def _slices(self) -> Iterator[tuple[tuple[slice, ...], int]]:
        """Yield which rows are in a chunk, as slices of the batch dimensions, and how many are before."""
        batch, start = self.logits.shape[:-1], self.start
        for k, part in enumerate(_parts(batch, self._rows_of_chunk())):
            if k % self.every == 0:
                yield part, start
            start += math.prod(s.stop - s.start for s in part) * math.prod(batch[len(part) :])

    def _rows_of_chunk(self) -> int:
        if self.for_kernel:
            return max(1, min(_KERNEL_CHUNK // self.classes, _KERNEL_ROWS))
        return max(1, _CHUNK // self.classes)

    def sample(self, rows: int) -> "Rows | None":
        """Return about so many of the rows, whole chunks of them; None where that would be most of all."""
        chunks = max(4, math.ceil(rows / self._rows_of_chunk()))
        every = math.prod(self.batch) // (self._rows_of_chunk() * chunks)
        return replace(self, every=every) if every >= 4 else None

    def sum(self, function: Callable[..., tuple[Any, ...]], *options: Any) -> tuple[Any, ...]:
        """Return the sums of what a function returns for the chunks."""
        return self.parts().map(_sum_of_chunks, function, *options).sum()

    def collect(self, function: Callable[..., tuple[Any, ...]], *options: Any) -> tuple[Any, ...]:
        """Return the arrays, one number for each row, that a function returns for the chunks: joined."""
        lists = self.parts().map(_arrays_of_chunks, function, *options).gather()
        chunks = [arrays for of_part in lists for arrays in of_part]
        return tuple(np.concatenate(columns) for columns in zip(*chunks, strict=True))

    def kept(self, function: Callable[..., tuple[Any, ...]], *options: Any) -> "Parts":
        """As `collect`, of each part, on the worker where it is; a column may be None."""
        return self.parts().map(_joined_arrays, function, *options).persist()

    def parts(self) -> "Parts":
        """Return these rows in one part; of Dask arrays one part for each of their blocks of rows."""
        arrays = {name: x for name, x in vars(self).items() if np.ndim(x) and hasattr(x, "dtype")}
        blocks = next((x.chunks[0] for x in arrays.values() if is_dask(x)), None)
        if blocks is None or not self.batch:
            return Parts([self])
        import dask
        import dask.array as da

        delayed = {}
        for name, x in arrays.items():
            whole = dict.fromkeys(range(1, x.ndim), -1)
            delayed[name] = da.asarray(x).rechunk({0: blocks, **whole}).to_delayed().ravel()
        starts = np.cumsum([0, *blocks[:-1]]) * math.prod(self.batch[1:])
        fields = vars(self)
        return Parts(
            [
                dask.delayed(Rows)(
                    **{**fields, **{name: x[k] for name, x in delayed.items()}, "start": int(start)}
                )
                for k, start in enumerate(starts)
            ]
        )

    def _start_of_chunk(self, part: tuple[slice, ...], start: int, first: int) -> _Begun:
        labels = np.ascontiguousarray(self.labels[part])  # sums have one order, whatever the layout
        single = self.hard or self.binary
        labels = labels.reshape(-1) if single else labels.reshape(-1, self.classes)
        weight = np.ones(len(labels)) if self.weight is None else _flat(self.weight, part)
        chunk = Chunk(
            weight=weight,
            temperature=self.temperature,
            first=first,
            places=start + np.arange(len(labels)),
            batch=self.batch,
        )
        legal = (weight >= 0) & (weight < np.inf)
        chunk.require(legal, "sample_weight must be finite and not negative", weight)
        weight = np.ldexp(weight, -self.power)
        kept = weight > 0
        if self.ignore_index is not None:
            kept &= labels != self.ignore_index if single else labels[:, self.ignore_index] != 1
        if self.binary and self.mask is not None:
            kept &= np.asarray(self.mask[part]).reshape(-1)
        if np.ndim(self.temperature):
            chunk.temperature = _flat(self.temperature, part)[kept]
        if self.groups is not None:
            chunk.groups = np.asarray(self.groups[part]).reshape(-1)[kept]
        chunk.weight, chunk.places = weight[kept], chunk.places[kept]
        return _Begun(chunk, kept, labels, part)

    def finished(self, begun: _Begun) -> Chunk:
        chunk, kept, labels, part = begun
        columns = 1 if self.binary else self.logits.shape[-1]
        x = np.ascontiguousarray(self.logits[part]).reshape(len(labels), columns)
        of_classes = self.mask is not None and not self.binary
        mask = np.asarray(self.mask[part]).reshape(x.shape) if of_classes else None
        if not kept.all():
            x, labels, mask = x[kept], labels[kept], None if mask is None else mask[kept]
        self._put_logits(chunk, x, mask)
        self._put_labels(chunk, labels, x.dtype)
        return chunk

    def _put_logits(self, chunk: Chunk, x: Any, mask: Any) -> None:
        if self.padded and self.from_logits:
            x = without_padding(x)
        dtype, x = x.dtype, _computable(x)
        if self.binary:
            x = _two_columns(chunk, x[:, 0], "logits") if not self.from_logits else against_0(x)
        if not self.from_logits:
            x = x if mask is None else np.where(mask, x, x.dtype.type(0))
            x = _distributions(chunk, x, "logits", dtype)
            chunk.probabilities = x
            x = np.log(x, dtype=np.float64)
        elif mask is not None:
            x = np.where(mask, x, x.dtype.type(-np.inf))
        chunk.logits = x

    def _put_labels(self, chunk: Chunk, labels: Any, dtype: Any) -> None:
        if self.hard:
            legal = (labels >= 0) & (labels < self.classes)
            chunk.require(legal, f"labels must be in [0, {self.classes})", labels)
            chunk.index = labels.astype(np.int64, copy=False)
        else:
            given = labels.dtype
            if self.binary:
                labels = _two_columns(chunk, _computable(labels), "labels")
            labels = _distributions(chunk, labels, "labels", given, dtype)
            chunk.soft = labels.astype(np.float64, copy=False)


@dataclass
class Parts:
    """One value for each part of the rows: here, or delayed, to be computed on Dask's workers."""

    values: list[Any]

    @property
    def delayed(self) -> bool:
        return hasattr(self.values[0], "dask")

    def map(self, function: Callable[..., Any], *options: Any, each: Any = ()) -> "Parts":
        """Return a function of each value; `each` are lists of further arguments, one for each value."""
        if self.delayed:
            import dask

            function = dask.delayed(function)
        columns = (self.values, *each)
        return Parts([function(*values, *options) for values in zip(*columns, strict=True)])

    def persist(self) -> "Parts":
        """Compute the values once, and leave them where they are."""
        if not self.delayed:
            return self
        import dask

        return Parts(list(dask.persist(*self.values)))

    def gather(self) -> list[Any]:
        if not self.delayed:
            return self.values
        import dask

        return list(dask.compute(*self.values))

    def sum(self) -> tuple[Any, ...]:
        """Return the sums of values that are tuples of sums; in a tree, so that no worker receives all of them."""
        parts = self
        while len(parts.values) > 1:
            pairs = [parts.values[k : k + _FAN] for k in range(0, len(parts.values), _FAN)]
            parts = Parts(parts._merged(pairs))
        return tuple(parts.gather()[0])

    def _merged(self, lists: list[list[Any]]) -> list[Any]:
        if not self.delayed:
            return [merged(values) for values in lists]
        import dask

        return [dask.delayed(merged)(values) for values in lists]


_OPTIONS = (
    "from_logits", "sample_weight", "temperature", "ignore_index", "where", "groups", "multilabel"
)  # fmt: skip


def rows_of(given: dict[str, Any], **changed: Any) -> Rows:
    """Return the rows of what a public function is given: its `locals()`, with the options that it has."""
    options = {name: given[name] for name in _OPTIONS if name in given}
    return rows(given["logits"], given["labels"], given["axis"], **(options | changed))


def rows(
    logits: Any,
    labels: Any,
    axis: Any,
    *,
    from_logits: bool = True,
    sample_weight: Any = None,
    temperature: Any = 1.0,
    ignore_index: Any = None,
    where: Any = None,
    groups: Any = None,
    padded: bool = False,
    multilabel: bool = False,
) -> Rows:
    """Return the rows of these arguments: shapes and types are checked here, values in the chunks."""
    x, labels = _arguments.blocks(logits, "logits"), _label_blocks(labels)
    axis = _arguments.class_axis(axis, x.ndim)
    beside = {"sample_weight": sample_weight, "temperature": temperature, "groups": groups}
    if _arguments.flag(multilabel, "multilabel") or (x.ndim == 1 and labels.shape == x.shape):
        if multilabel:
            beside = _of_samples(beside, x.shape, axis)
        return _questions(x, labels, from_logits, ignore_index, where, padded, **beside)
    hard = _arguments.are_class_indices(labels, x, axis)
    classes = x.shape[axis]
    if classes == 0:
        raise ValueError(f"logits must have at least one class, got shape {tuple(x.shape)}")
    if ignore_index is not None:
        ignore_index = _arguments.ignored_class(ignore_index, classes, hard)
    batch = x.shape[:axis] + x.shape[axis + 1 :]
    if sample_weight is not None:
        sample_weight = _arguments.block_numbers(sample_weight, "sample_weight", batch)
    temperature = _arguments.temperatures(temperature, batch)
    if np.ndim(temperature):
        temperature = np.broadcast_to(temperature, batch)
    all_rows = Rows(
        logits=classes_last(x, axis),
        labels=labels if hard else classes_last(labels, axis),
        hard=hard,
        from_logits=_arguments.flag(from_logits, "from_logits"),
        weight=sample_weight,
        temperature=temperature,
        mask=None if where is None else classes_last(_arguments.mask(where, x.shape), axis),
        groups=None if groups is None else _arguments.group_names(groups, batch),
        ignore_index=ignore_index,
        batch=batch,
        padded=padded,
    )
    return all_rows.with_largest_weight_1()


def _questions(
    x: Any,
    labels: Any,
    from_logits: Any,
    ignore_index: Any,
    where: Any,
    padded: bool,
    *,
    sample_weight: Any,
    temperature: Any,
    groups: Any,
) -> Rows:
    """Return rows of two classes, of which the logit of the first is 0: one for each number of x."""
    if labels.shape != x.shape:
        raise ValueError(
            f"labels must have the shape {tuple(x.shape)} of the logits, one label in [0, 1] for each, "
            f"got shape {tuple(labels.shape)}"
        )
    hard = labels.dtype.kind in "biu"
    if ignore_index is not None:
        ignore_index = _arguments.ignored_class(ignore_index, 2, hard)
    if sample_weight is not None:
        sample_weight = _arguments.block_numbers(sample_weight, "sample_weight", x.shape)
    temperature = _arguments.temperatures(temperature, x.shape)
    if np.ndim(temperature):
        temperature = np.broadcast_to(temperature, x.shape)
    return Rows(
        logits=x[..., None],
        labels=labels,
        hard=hard,
        from_logits=_arguments.flag(from_logits, "from_logits"),
        weight=sample_weight,
        temperature=temperature,
        mask=None if where is None else _arguments.mask(where, x.shape),
        groups=None if groups is None else _arguments.group_names(groups, x.shape),
        ignore_index=ignore_index,
        batch=x.shape,
        padded=padded,
        binary=True,
    ).with_largest_weight_1()


def _of_samples(beside: dict[str, Any], shape: tuple[int, ...], axis: int) -> dict[str, Any]:
    """Return what is given for each sample for each of its labels. They are drawn together unless groups are given."""
    samples = shape[:axis] + shape[axis + 1 :]
    if beside["groups"] is None:
        beside = {**beside, "groups": np.arange(math.prod(samples)).reshape(samples)}

    def spread(name: str, values: Any) -> Any:
        if values is None:
            return None
        values = _arguments.positions(values, name)
        own = is_dask(values) or isinstance(values, np.ndarray)
        if not own or not samples or values.shape != samples:
            return values
        return np.broadcast_to(np.expand_dims(values, axis), shape)

    return {name: spread(name, values) for name, values in beside.items()}


_LEAST = 1074  # of an exponent, but for its sign


def _exponents(rows: Rows) -> tuple[Any]:
    """Return how many weights of rows that count have each exponent, from the least on."""
    counts = np.zeros(2 * _LEAST, np.int64)
    for part, start in rows._slices():
        weight = rows._start_of_chunk(part, start, 0).chunk.weight
        counts += np.bincount(np.frexp(weight)[1] + (_LEAST - 1), minlength=2 * _LEAST)
    return (counts,)


def without_padding(x: Any) -> Any:
    """Return logits with -inf for those at the lower end of their type, as masks have it that are added to logits."""
    if x.dtype.kind in "biu":
        return x
    least = np.finfo(x.dtype).min if x.dtype.kind == "f" else np.finfo(np.float32).min
    if isinstance(x, np.ndarray) and x.size and x.min() > least / 2:
        return x
    padding = x <= least / 2
    return np.where(padding, x.dtype.type(-np.inf), x)


def _label_blocks(labels: Any) -> Any:
    return _arguments.blocks(
        labels if hasattr(labels, "dtype") else _arguments.labels(labels), "labels"
    )


def _sum_of_chunks(rows: Rows, function: Any, *options: Any) -> tuple[Any, ...]:
    with exact_arithmetic():
        return merged(rows.in_threads(lambda chunk: function(chunk, *options)))


def _arrays_of_chunks(rows: Rows, function: Any, *options: Any) -> list[tuple[Any, ...]]:
    with exact_arithmetic():
        return list(rows.in_threads(lambda chunk: function(chunk, *options)))


def _joined_arrays(rows: Rows, function: Any, *options: Any) -> tuple[Any, ...]:
    columns = zip(*_arrays_of_chunks(rows, function, *options), strict=True)
    return tuple(None if x[0] is None else np.concatenate(x) for x in columns)


def in_threads(function: Callable[[Any], Any], items: Iterator[Any]) -> Iterator[Any]:
    """Yield a function of each item in order. Threads compute a few items ahead, whose number changes no result."""
    threads = get_num_threads()
    first = list(itertools.islice(items, 2 if threads > 1 else 0))
    items = itertools.chain(first, items)
    if len(first) < 2:
        yield from map(function, items)
        return
    from concurrent.futures import Future, ThreadPoolExecutor  # which is slow to import

    function = in_exact_arithmetic(function)  # which is a thread's own
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Any]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def merged(partials: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the sums of tuples of numbers or arrays, each compensated by its rounding errors."""
    total: list[Any] = []
    error: list[Any] = []
    for partial in partials:
        if not total:
            total, error = [np.float64(0.0)] * len(partial), [np.float64(0.0)] * len(partial)
        for k, term in enumerate(partial):
            new = total[k] + term
            part = new - total[k]
            error[k] = error[k] + ((total[k] - (new - part)) + (term - part))
            total[k] = new
    return tuple(t + e for t, e in zip(total, error, strict=True))


def _parts(batch: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """Yield slices of the leading dimensions, in C order, of at most `most` rows where that is possible."""
    if not batch or 0 in batch:
        yield tuple(slice(0, n) for n in batch)
        return
    inner = math.prod(batch[1:])
    if inner <= most:
        step = max(1, most // max(1, inner))
        for begin in range(0, batch[0], step):
            yield (slice(begin, min(begin + step, batch[0])),)
    else:
        for k in range(batch[0]):
            for rest in _parts(batch[1:], most):
                yield (slice(k, k + 1), *rest)


def total(x: Any) -> float:
    """Return the compensated sum of float64 numbers."""
    return _core.total(np.ascontiguousarray(x, np.float64))


def _flat(values: Any, part: tuple[slice, ...]) -> Any:
    return np.asarray(values[part]).astype(np.float64).reshape(-1)


def _computable(x: Any) -> Any:
    """Return x as float32 or float64 in native byte order, without rounding."""
    return x.astype(np.float32 if is_float32(x.dtype) else np.float64, copy=False)


def is_float32(dtype: Any) -> bool:
    """Whether numbers of this type are computed as float32."""
    return dtype.kind not in "biu" and dtype.itemsize != 8


def against_0(x: Any) -> Any:
    """Return the logits of two classes, the second of which has these (in a last axis of 1)."""
    return np.concatenate([np.zeros_like(x), x], axis=-1)


def columns_of(x: Any, from_logits: bool) -> Any:
    """Return the logits of two classes for each logit, or probability, of the second."""
    x = _arguments.numpy_array(_arguments.real(x, "logits"), "logits")
    if _arguments.flag(from_logits, "from_logits"):
        return against_0(x[..., None])
    p = _arguments.probabilities(x, "logits")
    return np.log(np.stack([1 - p, p], axis=-1))


def _two_columns(chunk: Chunk, p: Any, name: str) -> Any:
    """Return distributions of two classes, the second of which has these probabilities."""
    p = _arguments.at_most_1(p)
    chunk.require((p >= 0) & (p <= 1), f"{name} must be in [0, 1]", p)
    return np.stack([1 - p, p], axis=-1)


def _distributions(chunk: Chunk, rows: Any, name: str, *dtypes: Any) -> Any:
    """Return rows that must be distributions; numbers that rounding has put above 1 are 1."""
    rows = _computable(rows)
    allowed = max(tolerance(dtype) for dtype in dtypes)
    above = (rows > 1) & (rows <= 1 + allowed)
    rows = np.where(above, rows.dtype.type(1), rows) if above.any() else rows
    chunk.require_classes((rows >= 0) & (rows <= 1), f"{name} must be in [0, 1]", rows)
    sums = _core.mass(rows, ONE)
    message = f"{name} must sum to 1 within {allowed:.2g} along the class axis"
    chunk.require(np.abs(sums - 1.0) <= allowed, message, sums)
    return rows
