"""The same numbers laid out in other ways, and whether two results are the same in every byte."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def same(a: Any, b: Any) -> bool:
    """Equal in type, shape and bytes."""
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def strided(a: Array) -> Array:
    view = np.empty([3 * n for n in a.shape], a.dtype)[(slice(1, None, 3),) * a.ndim]
    view[...] = a
    return view


def reverse(a: Array) -> Array:
    flip = (slice(None, None, -1),) * a.ndim
    return a[flip].copy()[flip]


def unaligned(a: Array) -> Array:
    view = np.frombuffer(bytearray(a.nbytes + 1), a.dtype, offset=1).reshape(a.shape)
    view[...] = a
    return view


def unaligned_and_strided(a: Array) -> Array:
    record = np.empty(a.shape, [("before", np.int8), ("number", a.dtype)])
    record["number"] = a
    return record["number"]


def class_axis_first(a: Array) -> Array:
    return a.copy(order="F")


def class_axis_in_the_middle(a: Array) -> Array:
    """Rows are no longer evenly apart: two in every block of classes."""
    padded = np.concatenate([a, a[-1:]]) if len(a) % 2 else a
    blocks = padded.reshape(len(padded) // 2, 2, *a.shape[1:])
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(blocks, 1, -1)), -1, 1)


WRITABLE = [strided, reverse, unaligned, unaligned_and_strided, class_axis_first]


def read_only(a: Array) -> Array:
    a = a.copy()
    a.setflags(write=False)
    return a
