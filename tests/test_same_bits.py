"""A row's bytes depend on its numbers, type, class count and options: not on the batch, the layout or the threads."""

from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from kernel_inputs import AXIS, CLASSES, KERNELS, TYPES, Array, operands
from layouts import WRITABLE, class_axis_in_the_middle, read_only, same

import sigmax

CHUNKED = 65_536  # classes of the longest row that is added up in one piece
# Those whose result has the shape of their operands.
SHAPED = [name for name in KERNELS if not (KERNELS[name].signature or "").endswith("()")]


def every(names: Iterable[str]) -> pytest.MarkDecorator:
    """Each kernel, and again on rows in chunks, which take their time."""
    rows = [pytest.param(name, False, id=name) for name in names]
    chunks = [
        pytest.param(name, True, id=f"{name} in chunks", marks=pytest.mark.slow)
        for name in names
        if name in AXIS
    ]
    return pytest.mark.parametrize(("name", "chunks"), rows + chunks)


def cases(name: str, dtype: str, chunks: bool) -> Iterator[tuple[list[Array], Array]]:
    for classes in CLASSES if name in AXIS else CLASSES[::3]:
        if (classes > CHUNKED) == chunks:
            rows = slice(None, None, 3 if chunks else 1)
            arrays = [a[rows] for a in operands(name, dtype, classes)]
            yield arrays, KERNELS[name](*arrays)


every_kernel = every(KERNELS)
every_type = pytest.mark.parametrize("dtype", TYPES)


# ---------------------------------------------------------------- the batch


@every_type
@every_kernel
def test_a_row_alone(name: str, dtype: str, chunks: bool) -> None:
    for arrays, expected in cases(name, dtype, chunks):
        for i in range(len(expected)):
            alone = np.asarray(KERNELS[name](*(a[i] for a in arrays)))
            assert same(alone, expected[i]), f"row {i} of {arrays[0].shape}"


@every_type
@every_kernel
def test_batches_and_threads(name: str, dtype: str, chunks: bool) -> None:
    """More rows than a tile has, in another order, enough of them to be shared out."""
    for arrays, expected in cases(name, dtype, chunks):
        rows, classes = arrays[0].shape
        order = np.random.default_rng(classes).integers(0, rows, max(rows, 50_000 // classes))
        batch = [a[order] for a in arrays]
        for count in (1, 3, 8):
            sigmax.set_num_threads(count)
            result = KERNELS[name](*batch)
            assert same(result, expected[order]), f"{classes} classes, {count} threads"


# ---------------------------------------------------------------- the layout


@every_type
@every_kernel
def test_layouts_of_the_operands(name: str, dtype: str, chunks: bool) -> None:
    for arrays, expected in cases(name, dtype, chunks):
        first, *others = arrays
        for layout in (*WRITABLE, read_only):
            what = f"{layout.__name__}, {first.shape}"
            assert same(KERNELS[name](*map(layout, arrays)), expected), what
            assert same(KERNELS[name](layout(first), *others), expected), f"only x {what}"


@every_type
@every_kernel
def test_class_axis_in_the_middle(name: str, dtype: str, chunks: bool) -> None:
    for arrays, expected in cases(name, dtype, chunks):
        result = KERNELS[name](*map(class_axis_in_the_middle, arrays))
        rows = result.reshape(-1, *expected.shape[1:])[: len(expected)]
        assert same(rows, expected), arrays[0].shape


@every_type
@every_kernel
def test_layouts_of_the_result(name: str, dtype: str, chunks: bool) -> None:
    for arrays, expected in cases(name, dtype, chunks):
        for layout in WRITABLE:
            out = layout(np.zeros_like(expected))
            assert KERNELS[name](*arrays, out=out) is out
            assert same(out, expected), f"{layout.__name__}, {arrays[0].shape}"


@every_type
@every(SHAPED)
def test_in_place(name: str, dtype: str, chunks: bool) -> None:
    for arrays, expected in cases(name, dtype, chunks):
        for layout in WRITABLE:
            alike = [(a.shape, a.dtype) == (expected.shape, expected.dtype) for a in arrays]
            for k in np.flatnonzero(alike):
                mine = [layout(a) for a in arrays]
                KERNELS[name](*mine, out=mine[k])
                what = f"over operand {k}, {layout.__name__}, {arrays[0].shape}"
                assert same(mine[k], expected), what


@every_type
@every(SHAPED)
def test_overlapping_result(name: str, dtype: str, chunks: bool) -> None:
    for arrays, expected in cases(name, dtype, chunks):
        if expected.dtype != arrays[0].dtype:  # the losses of a narrow type
            continue
        memory = np.concatenate([arrays[0], arrays[0][:1]])
        KERNELS[name](memory[:-1], *arrays[1:], out=memory[1:])
        assert same(memory[1:], expected), arrays[0].shape


@every_type
@every_kernel
def test_one_row_many_times(name: str, dtype: str, chunks: bool) -> None:
    """A row stride of 0."""
    for arrays, expected in cases(name, dtype, chunks):
        result = KERNELS[name](*(np.broadcast_to(a[-1], a.shape) for a in arrays))
        assert all(same(row, expected[-1]) for row in result), arrays[0].shape


@every_type
@every(AXIS)
def test_one_class_many_times(name: str, dtype: str, chunks: bool) -> None:
    """A class stride of 0."""
    for arrays, _ in cases(name, dtype, chunks):
        shape = arrays[0].shape
        repeated = [np.broadcast_to(a[:, :1], shape) if a.ndim == 2 else a for a in arrays]
        expected = KERNELS[name](*(a.copy() for a in repeated))
        assert same(KERNELS[name](*repeated), expected), shape
