"""Rows in chunks: logits, labels, weights and masks of any size, checked as they are read.

A function of a chunk returns a tuple of sums; `Rows.sum` adds those of all chunks up. So nothing larger than a chunk is
in memory, and where the arrays are Dask's, rows stay on its workers: only sums travel.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from ._config import get_num_threads
from .labels import _ONE, _class_axis, _epsilon, _integer, _is_hard, _number
from .normalization import _broadcasts, _positive, _refuse_masked

_CHUNK = 2**20  # logits: 4 MiB of float32, which a cache holds
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

    @property
    def classes(self) -> int:
        return int(self.logits.shape[-1])

    def chunks(self) -> Iterator[Chunk]:
        """Yield all rows that count, checked."""
        first = self.first
        for part, start in self._slices():
            chunk = self._chunk(part, start, first)
            first += len(chunk)
            yield chunk

    def count(self) -> tuple[int, Any]:
        """Return the number of rows that count and the distinct groups, without a look at the logits."""
        count, groups = 0, []
        for part, start in self._slices():
            chunk, kept, _ = self._start_of_chunk(part, start, 0)
            count += int(np.count_nonzero(kept))
            groups.append(np.unique(np.array([]) if chunk.groups is None else chunk.groups))
        return count, np.unique(np.concatenate(groups))

    def _slices(self) -> Iterator[tuple[tuple[slice, ...], int]]:
        """Yield which rows are in a chunk, as slices of the batch dimensions, and how many are before."""
        batch, start = self.logits.shape[:-1], self.start
        for part in _parts(batch, max(1, _CHUNK // self.classes)):
            yield part, start
            start += math.prod(s.stop - s.start for s in part) * math.prod(batch[len(part) :])

    def sum(self, function: Callable[..., tuple[Any, ...]], *options: Any) -> tuple[Any, ...]:
        """Return the sums of what a function returns for the chunks."""
        return self.parts().map(_sum_of_chunks, function, *options).sum()

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

    def _start_of_chunk(
        self, part: tuple[slice, ...], start: int, first: int
    ) -> tuple[Chunk, Any, Any]:
        """Return a chunk without logits, which of its rows count, and the labels of all its rows."""
        labels = np.asarray(self.labels[part])
        labels = labels.reshape(-1) if self.hard else labels.reshape(-1, self.classes)
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
        kept = weight > 0
        if self.ignore_index is not None:
            kept &= labels != self.ignore_index if self.hard else labels[:, self.ignore_index] != 1
        if np.ndim(self.temperature):
            chunk.temperature = _flat(self.temperature, part)[kept]
        if self.groups is not None:
            chunk.groups = np.asarray(self.groups[part]).reshape(-1)[kept]
        chunk.weight, chunk.places = weight[kept], chunk.places[kept]
        return chunk, kept, labels

    def _chunk(self, part: tuple[slice, ...], start: int, first: int) -> Chunk:
        chunk, kept, labels = self._start_of_chunk(part, start, first)
        x = np.asarray(self.logits[part]).reshape(-1, self.classes)
        mask = None if self.mask is None else np.asarray(self.mask[part]).reshape(x.shape)
        if not kept.all():
            x, labels, mask = x[kept], labels[kept], None if mask is None else mask[kept]
        self._put_logits(chunk, x, mask)
        self._put_labels(chunk, labels, x.dtype)
        return chunk

    def _put_logits(self, chunk: Chunk, x: Any, mask: Any) -> None:
        dtype, x = x.dtype, _computable(x)
        if not self.from_logits:
            x = x if mask is None else np.where(mask, x, x.dtype.type(0))
            _check_distributions(chunk, x, "logits", dtype)
            chunk.probabilities = x
            with np.errstate(divide="ignore"):
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
            _check_distributions(chunk, labels, "labels", labels.dtype, dtype)
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
) -> Rows:
    """Return the rows of these arguments: shapes and types are checked here, values in the chunks."""
    x, labels = _numbers(logits, "logits"), _numbers(labels, "labels")
    if any(math.isnan(n) for n in x.shape):
        raise ValueError("logits must have blocks of known size: call compute_chunk_sizes() first")
    axis = _class_axis(axis, x)
    hard = _is_hard(labels, x, axis)
    if hard and labels.dtype.kind not in "iu":
        raise TypeError(
            f"labels must be integers, as class indices of the shape {tuple(labels.shape)}, "
            f"got dtype {labels.dtype}"
        )
    classes = x.shape[axis]
    if classes == 0:
        raise ValueError(f"logits must have at least one class, got shape {tuple(x.shape)}")
    if ignore_index is not None:
        ignore_index = _integer(ignore_index, "ignore_index")
        if not hard and not 0 <= ignore_index < classes:
            raise ValueError(
                f"ignore_index must be a class in [0, {classes}) where labels are distributions, "
                f"got {ignore_index}"
            )
    batch = x.shape[:axis] + x.shape[axis + 1 :]
    return Rows(
        logits=np.moveaxis(x, axis, -1),
        labels=labels if hard else np.moveaxis(labels, axis, -1),
        hard=hard,
        from_logits=from_logits,
        weight=_per_row(sample_weight, "sample_weight", batch),
        temperature=_temperatures(temperature, batch),
        mask=None if where is None else np.moveaxis(_mask(where, x.shape), axis, -1),
        groups=_groups(groups, batch),
        ignore_index=ignore_index,
        batch=batch,
    )


def _sum_of_chunks(rows: Rows, function: Any, *options: Any) -> tuple[Any, ...]:
    return merged(in_threads(lambda chunk: function(chunk, *options), rows.chunks()))


def in_threads(function: Callable[[Any], Any], items: Iterator[Any]) -> Iterator[Any]:
    """Yield a function of each item in order. Threads compute a few items ahead, whose number changes no result."""
    threads = get_num_threads()
    if threads == 1:
        yield from map(function, items)
        return
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


# ---------------------------------------------------------------- arguments


def confidence_level(value: Any) -> float:
    number = _number(value, "confidence", 0.0, 1.0)
    if number == 1.0:
        raise ValueError("confidence must be in [0, 1), got 1")
    return number


def is_dask(x: Any) -> bool:
    return hasattr(x, "to_delayed")


def _numbers(x: Any, name: str) -> Any:
    _refuse_masked(x, name)
    if not isinstance(getattr(x, "dtype", None), np.dtype) or isinstance(x, np.generic):
        x = np.asarray(x)
    if x.dtype.kind not in "biufV" or (x.dtype.kind == "f" and x.dtype.itemsize > 8):
        raise TypeError(f"{name} must be real numbers, got dtype {x.dtype}")
    return x


def _per_row(values: Any, name: str, batch: tuple[int, ...]) -> Any:
    if values is None:
        return None
    values = _numbers(values, name)
    if not _broadcasts(values.shape, batch):
        raise ValueError(
            f"{name} must broadcast to the shape {batch}, got shape {tuple(values.shape)}"
        )
    return np.broadcast_to(values, batch)


def _temperatures(temperature: Any, batch: tuple[int, ...]) -> Any:
    temperature = _positive(temperature)
    return temperature if np.ndim(temperature) == 0 else _per_row(temperature, "temperature", batch)


def _mask(where: Any, shape: tuple[int, ...]) -> Any:
    where = _numbers(where, "where")
    if where.dtype != np.bool_:
        raise TypeError(f"where must be boolean, got dtype {where.dtype}")
    if not _broadcasts(where.shape, shape):
        raise ValueError(
            f"where must broadcast to the shape {tuple(shape)}, got shape {tuple(where.shape)}"
        )
    return np.broadcast_to(where, shape)


def _groups(groups: Any, batch: tuple[int, ...]) -> Any:
    if groups is None:
        return None
    _refuse_masked(groups, "groups")
    groups = groups if hasattr(groups, "dtype") else np.asarray(groups)
    if groups.shape != batch:
        raise ValueError(f"groups must have the shape {batch}, got shape {tuple(groups.shape)}")
    return groups


def _flat(values: Any, part: tuple[slice, ...]) -> Any:
    return np.asarray(values[part]).astype(np.float64).reshape(-1)


def _computable(x: Any) -> Any:
    """Return x as float32 or float64 in native byte order, without rounding."""
    if x.dtype.kind in "biu" or x.dtype.itemsize == 8:
        return x.astype(np.float64, copy=False)
    return x.astype(np.float32, copy=False)


def _check_distributions(chunk: Chunk, rows: Any, name: str, *dtypes: Any) -> None:
    rows = _computable(rows)
    chunk.require_classes((rows >= 0) & (rows <= 1), f"{name} must be in [0, 1]", rows)
    sums = _core.mass(rows, _ONE)
    tolerance = max(_epsilon(dtype) for dtype in dtypes) ** 0.5
    message = f"{name} must sum to 1 within {tolerance:.2g} along the class axis"
    chunk.require(np.abs(sums - 1.0) <= tolerance, message, sums)
