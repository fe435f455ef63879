"""A row's bytes depend on its numbers, type, class count and options: not on the batch, the layout or the threads."""

from collections.abc import Iterator

import numpy as np
import pytest
from kernel_inputs import AXIS, CLASSES, KERNELS, TYPES, Array, operands

import sigmax


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = sigmax.get_num_threads()
    yield
    sigmax.set_num_threads(before)


# ---------------------------------------------------------------- layouts of the same numbers


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


def same_bytes(result: Array, expected: Array) -> bool:
    return result.dtype == expected.dtype and result.tobytes() == expected.tobytes()


def cases(name: str, dtype: str) -> Iterator[tuple[list[Array], Array]]:
    for classes in CLASSES if name in AXIS else CLASSES[::3]:
        rows = slice(None, None, 1 if classes < 10_000 else 3)
        arrays = [a[rows] for a in operands(name, dtype, classes)]
        yield arrays, KERNELS[name](*arrays)


every_kernel = pytest.mark.parametrize("name", KERNELS)
every_type = pytest.mark.parametrize("dtype", TYPES)
# Those whose result has the shape of their operands.
SHAPED = [name for name in KERNELS if not (KERNELS[name].signature or "").endswith("()")]


# ---------------------------------------------------------------- the batch


@every_type
@every_kernel
def test_a_row_alone(name: str, dtype: str) -> None:
    for arrays, expected in cases(name, dtype):
        for i in range(len(expected)):
            alone = np.asarray(KERNELS[name](*(a[i] for a in arrays)))
            assert same_bytes(alone, expected[i]), f"row {i} of {arrays[0].shape}"


@every_type
@every_kernel
def test_batches_and_threads(name: str, dtype: str) -> None:
    """More rows than a tile has, in another order, enough of them to be shared out."""
    for arrays, expected in cases(name, dtype):
        rows, classes = arrays[0].shape
        order = np.random.default_rng(classes).integers(0, rows, max(rows, 100_000 // classes))
        batch = [a[order] for a in arrays]
        for count in (1, 2, 3, 8):
            sigmax.set_num_threads(count)
            result = KERNELS[name](*batch)
            assert same_bytes(result, expected[order]), f"{classes} classes, {count} threads"


# ---------------------------------------------------------------- the layout


@every_type
@every_kernel
def test_layouts_of_the_operands(name: str, dtype: str) -> None:
    for arrays, expected in cases(name, dtype):
        first, *others = arrays
        for layout in (*WRITABLE, read_only):
            what = f"{layout.__name__}, {first.shape}"
            assert same_bytes(KERNELS[name](*map(layout, arrays)), expected), what
            assert same_bytes(KERNELS[name](layout(first), *others), expected), f"only x {what}"


@every_type
@every_kernel
def test_class_axis_in_the_middle(name: str, dtype: str) -> None:
    for arrays, expected in cases(name, dtype):
        result = KERNELS[name](*map(class_axis_in_the_middle, arrays))
        rows = result.reshape(-1, *expected.shape[1:])[: len(expected)]
        assert same_bytes(rows, expected), arrays[0].shape


@every_type
@every_kernel
def test_layouts_of_the_result(name: str, dtype: str) -> None:
    for arrays, expected in cases(name, dtype):
        for layout in WRITABLE:
            out = layout(np.zeros_like(expected))
            assert KERNELS[name](*arrays, out=out) is out
            assert same_bytes(out, expected), f"{layout.__name__}, {arrays[0].shape}"


@every_type
@pytest.mark.parametrize("name", SHAPED)
def test_in_place(name: str, dtype: str) -> None:
    for arrays, expected in cases(name, dtype):
        for layout in WRITABLE:
            same = [(a.shape, a.dtype) == (expected.shape, expected.dtype) for a in arrays]
            for k in np.flatnonzero(same):
                mine = [layout(a) for a in arrays]
                KERNELS[name](*mine, out=mine[k])
                what = f"over operand {k}, {layout.__name__}, {arrays[0].shape}"
                assert same_bytes(mine[k], expected), what


@every_type
@pytest.mark.parametrize("name", SHAPED)
def test_overlapping_result(name: str, dtype: str) -> None:
    for arrays, expected in cases(name, dtype):
        if expected.dtype != arrays[0].dtype:  # the losses of a narrow type
            continue
        memory = np.concatenate([arrays[0], arrays[0][:1]])
        KERNELS[name](memory[:-1], *arrays[1:], out=memory[1:])
        assert same_bytes(memory[1:], expected), arrays[0].shape


@every_type
@every_kernel
def test_one_row_many_times(name: str, dtype: str) -> None:
    """A row stride of 0."""
    for arrays, expected in cases(name, dtype):
        result = KERNELS[name](*(np.broadcast_to(a[-1], a.shape) for a in arrays))
        assert all(same_bytes(row, expected[-1]) for row in result), arrays[0].shape


@every_type
@pytest.mark.parametrize("name", AXIS)
def test_one_class_many_times(name: str, dtype: str) -> None:
    """A class stride of 0."""
    for arrays, _ in cases(name, dtype):
        shape = arrays[0].shape
        repeated = [np.broadcast_to(a[:, :1], shape) if a.ndim == 2 else a for a in arrays]
        expected = KERNELS[name](*(a.copy() for a in repeated))
        assert same_bytes(KERNELS[name](*repeated), expected), shape
