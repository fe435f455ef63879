"""Rows of arrays of any size: block by block, in a temporary file or on the workers of Dask."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from sigmax._arguments import is_dask
from sigmax.calibration import _scaled

_BLOCK = 2**20  # numbers that are read at once


def row_blocks(array: Any, numbers: int | None = None) -> Iterator[slice]:
    """Yield slices of the rows, of about so many numbers each, a million unless given."""
    rows = len(array)
    step = max(1, (numbers or _BLOCK) // max(1, array.size // max(1, rows)))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def blocks_of(array: Any) -> Iterator[Any]:
    """Yield the rows in blocks."""
    return (np.asarray(array[rows]) for rows in row_blocks(array))


def each_block(function: Callable[..., Any], array: Any, *beside: Any) -> list[Any]:
    """Return a function of each block of rows, and of the same rows of the arrays beside it."""
    if not is_dask(array):
        return [
            function(np.asarray(array[rows]), *(b[rows] for b in beside))
            for rows in row_blocks(array)
        ]
    import dask

    bounds = np.cumsum([0, *array.chunks[0]]).tolist()
    delayed = dask.delayed(function)
    return list(
        dask.compute(
            *(
                delayed(block, *(b[start:stop] for b in beside))
                for block, start, stop in zip(
                    array.to_delayed().ravel(), bounds, bounds[1:], strict=False
                )
            )
        )
    )


def spill(blocks: Iterable[Any]) -> Any:
    """Write blocks of rows to a temporary file without a name, and map it into memory."""
    rows, block = 0, np.empty(0)
    with tempfile.TemporaryFile() as file:
        for block in blocks:
            file.write(np.ascontiguousarray(block).data)
            rows += len(block)
        file.flush()
        shape = (rows, *block.shape[1:])
        return (
            np.memmap(file, block.dtype, "r", shape=shape) if rows else np.empty(shape, block.dtype)
        )


def select(array: Any, kept: Any) -> Any:
    """Return the rows that are kept."""
    if kept.all():
        return array
    if is_dask(array):
        return _select_blocks(array, kept)
    return spill(array[rows][kept[rows]] for rows in row_blocks(array))


def _select_blocks(array: Any, kept: Any) -> Any:
    import dask
    import dask.array as da

    bounds = np.cumsum([0, *array.chunks[0]])
    take = dask.delayed(np.compress, pure=True)
    parts = []
    for block, start, stop in zip(array.to_delayed().ravel(), bounds, bounds[1:], strict=False):
        mask = kept[start:stop]
        if mask.any():
            shape = (int(np.count_nonzero(mask)), *array.shape[1:])
            parts.append(da.from_delayed(take(mask, block, axis=0), shape, array.dtype))
    return da.concatenate(parts)


def scaled(logits: Any, scale: Any, bias: Any) -> Any:
    """Return logits of vector scaling: scale · z + bias, where a masked class stays masked."""
    if is_dask(logits):
        dtype = logits.dtype if logits.dtype.kind == "f" else np.float64
        return logits.map_blocks(scaled_block, scale, bias, dtype=dtype)
    return spill(scaled_block(logits[rows], scale, bias) for rows in row_blocks(logits))


def scaled_block(x: Any, scale: Any, bias: Any) -> Any:
    y = _scaled(x, scale, bias)
    return y.astype(x.dtype) if x.dtype.kind == "f" else y
