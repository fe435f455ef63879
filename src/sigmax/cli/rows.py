"""Rows of arrays of any size: selected and scaled block by block, in a temporary file or on the workers of Dask."""

from typing import Any

import numpy as np

from .files import row_blocks, spill


def is_dask(array: Any) -> bool:
    return hasattr(array, "dask")


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
    with np.errstate(invalid="ignore"):
        y = np.where(x == -np.inf, -np.inf, x * scale + bias)
    return y.astype(x.dtype) if x.dtype.kind == "f" else y
