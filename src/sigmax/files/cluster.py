"""A Dask cluster: workers open the files by their paths, and only sums come back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError
from .opening import part, parts
from .outputs import replacing, write_npy_header
from .progress import progress

Prepare = Callable[[Any, int], Any]


@contextmanager
def cluster(address: str | None) -> Iterator[None]:
    """Let Dask compute on the cluster of this scheduler; without an address, do nothing."""
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise DataError("--scheduler needs Dask: pip install 'sigmax[dask]'") from None
    try:
        client = Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (ValueError, OSError) as error:
        raise DataError(f"--scheduler must be tcp://host:port, got {address!r}: {error}") from error
    with client:
        yield


def remote_looks(path: Path, names: list[str] | None, look: Callable[[Any], Any]) -> list[Any]:
    """Return what a function says of each part of a file, asked where the parts are read."""
    import dask

    path = path.resolve()
    return list(
        dask.compute(
            *(dask.delayed(_looked)(path, names, rows, look) for rows in parts(path, names))
        )
    )


def _looked(path: Path, names: list[str] | None, rows: slice, look: Callable[[Any], Any]) -> Any:
    return look(part(path, names, rows))


def remote_rows(path: Path, names: list[str] | None, prepare: Prepare) -> Any:
    """Return the rows of a file as a Dask array whose blocks are read and prepared where they are needed."""
    import dask
    import dask.array as da

    path = path.resolve()
    slices = parts(path, names)
    first = prepare(part(path, names, slices[0])[:1], 0)
    blocks = [
        da.from_delayed(
            dask.delayed(_prepared)(path, names, rows, prepare),
            (rows.stop - rows.start, *first.shape[1:]),
            first.dtype,
        )
        for rows in slices
    ]
    return da.concatenate(blocks)


def _prepared(path: Path, names: list[str] | None, rows: slice, prepare: Prepare) -> Any:
    return prepare(part(path, names, rows), rows.start)


def write_remotely(
    path: Path, rows: Any, function: Callable[[Any], Any], shape: tuple[int, ...], dtype: Any
) -> None:
    """Write a function of the rows as a .npy file: every worker writes its blocks to their places."""
    import dask

    if path.suffix.lower() != ".npy":
        raise DataError(f"{path}: workers write .npy files, got {path.suffix}")
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            write_npy_header(file, shape, dtype)
            begin = file.tell()
            width = rows.shape[1] * np.dtype(dtype).itemsize
            file.truncate(begin + len(rows) * width)
        starts = np.cumsum([0, *rows.chunks[0]])
        write = dask.delayed(_write_block)
        with progress("Writing"):
            dask.compute(
                *(
                    write(temporary.resolve(), begin + int(start) * width, function, block)
                    for start, block in zip(starts, rows.to_delayed().ravel(), strict=False)
                )
            )


def _write_block(path: Path, offset: int, function: Callable[[Any], Any], block: Any) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(np.ascontiguousarray(function(block)).data)
