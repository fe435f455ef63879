"""A row's bytes depend on its numbers, type, class count and options: not on the batch, the layout or the threads."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from kernel_inputs import AXIS, CLASSES, KERNELS, ROWS, TYPES, Array, operands

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


def named(value: object) -> str | None:
    return value.__name__ if isinstance(value, Callable) else None


def same_bytes(result: Array, expected: Array) -> bool:
    return result.dtype == expected.dtype and result.tobytes() == expected.tobytes()


every_kernel = [
    pytest.mark.parametrize("classes", CLASSES),
    pytest.mark.parametrize("dtype", TYPES),
    pytest.mark.parametrize("name", KERNELS),
]


def for_every_kernel(test: Callable[..., None]) -> Callable[..., None]:
    for mark in every_kernel:
        test = mark(test)
    return test


# ---------------------------------------------------------------- the batch


@for_every_kernel
def test_a_row_alone(name: str, dtype: str, classes: int) -> None:
    arrays = operands(name, dtype, classes)
    together = KERNELS[name](*arrays)
    for i in range(ROWS):
        alone = KERNELS[name](*(a[i] for a in arrays))
        assert same_bytes(np.asarray(alone), together[i]), f"row {i}"


@for_every_kernel
def test_batches_and_threads(name: str, dtype: str, classes: int) -> None:
    """More rows than a tile has, in another order, enough of them to be shared out."""
    arrays = operands(name, dtype, classes)
    expected = KERNELS[name](*arrays)
    count = max(2 * ROWS, 100_000 // classes)
    order = np.random.default_rng(count).integers(0, ROWS, count)
    batch = [a[order] for a in arrays]
    for number in (1, 2, 3, 8):
        sigmax.set_num_threads(number)
        assert same_bytes(KERNELS[name](*batch), expected[order]), f"{number} threads"


# ---------------------------------------------------------------- the layout


@for_every_kernel
def test_layouts_of_the_operands(name: str, dtype: str, classes: int) -> None:
    arrays = operands(name, dtype, classes)
    expected = KERNELS[name](*arrays)
    for layout in (*WRITABLE, read_only):
        assert same_bytes(KERNELS[name](*map(layout, arrays)), expected), layout.__name__
    first, *others = arrays
    for layout in WRITABLE:  # beside operands in another one
        assert same_bytes(KERNELS[name](layout(first), *others), expected), layout.__name__


@for_every_kernel
def test_class_axis_in_the_middle(name: str, dtype: str, classes: int) -> None:
    arrays = operands(name, dtype, classes)
    expected = KERNELS[name](*arrays)
    result = KERNELS[name](*map(class_axis_in_the_middle, arrays))
    assert same_bytes(result.reshape(-1, *expected.shape[1:])[:ROWS], expected)


@for_every_kernel
def test_layouts_of_the_result(name: str, dtype: str, classes: int) -> None:
    arrays = operands(name, dtype, classes)
    expected = KERNELS[name](*arrays)
    for layout in WRITABLE:
        out = layout(np.zeros_like(expected))
        assert KERNELS[name](*arrays, out=out) is out
        assert same_bytes(out, expected), layout.__name__


@for_every_kernel
def test_in_place(name: str, dtype: str, classes: int) -> None:
    arrays = operands(name, dtype, classes)
    expected = KERNELS[name](*arrays)
    if expected.shape != arrays[0].shape:
        pytest.skip("one result per row")
    for k in range(sum(a.shape == expected.shape for a in arrays)):
        for layout in WRITABLE:
            mine = [layout(a) for a in arrays]
            KERNELS[name](*mine, out=mine[k])
            assert same_bytes(mine[k], expected), f"over operand {k}, {layout.__name__}"


@for_every_kernel
def test_overlapping_result(name: str, dtype: str, classes: int) -> None:
    arrays = operands(name, dtype, classes)
    expected = KERNELS[name](*arrays)
    if expected.shape != arrays[0].shape:
        pytest.skip("one result per row")
    memory = np.concatenate([arrays[0], arrays[0][:1]])
    memory[:-1] = arrays[0]
    out = memory[1:]
    KERNELS[name](memory[:-1], *arrays[1:], out=out)
    assert same_bytes(out, expected)


@for_every_kernel
def test_one_row_many_times(name: str, dtype: str, classes: int) -> None:
    arrays = operands(name, dtype, classes)
    expected = KERNELS[name](*arrays)
    for i in (0, ROWS - 1):
        repeated = [np.broadcast_to(a[i], a.shape) for a in arrays]
        result = KERNELS[name](*repeated)
        assert all(same_bytes(row, expected[i]) for row in result)


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", AXIS)
def test_one_class_many_times(name: str, dtype: str, classes: int) -> None:
    """A class stride of 0."""
    arrays = [a[:, :1] if a.ndim == 2 else a for a in operands(name, dtype, classes)]
    repeated = [np.broadcast_to(a, (ROWS, classes)) if a.ndim == 2 else a for a in arrays]
    assert same_bytes(KERNELS[name](*repeated), KERNELS[name](*(a.copy() for a in repeated)))
