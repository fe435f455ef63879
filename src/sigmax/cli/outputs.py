"""Files that are written whole or not at all: to a temporary name beside the target, which is renamed at the end."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .console import DataError

KINDS = (".npy", ".csv", ".parquet")


def check_place(path: Path, *suffixes: str) -> None:
    """Refuse a file that cannot be written, before any work is done."""
    if suffixes and path.suffix.lower() not in suffixes:
        raise DataError(
            f"{path}: must be {' or '.join(suffixes)}, got {path.suffix or 'no suffix'}"
        )
    if not path.parent.is_dir():
        raise DataError(f"{path}: the directory {path.parent} does not exist")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the temporary name of a file that replaces `path` when all went well, and vanishes when not."""
    check_place(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def check_shape(path: Path, shape: Sequence[int]) -> None:
    """Refuse an array that the file cannot hold, before any work is done."""
    check_place(path, *KINDS)
    if path.suffix.lower() != ".npy" and len(shape) != 2:
        raise DataError(
            f"{path}: a table has rows of classes, got shape {tuple(shape)}; write a .npy file"
        )


def write_rows(
    path: Path, blocks: Iterable[Any], shape: tuple[int, ...], dtype: Any, names: Sequence[str]
) -> None:
    """Write blocks of rows, one after the other, in the format of the suffix; `names` are those of columns."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        if path.suffix.lower() == ".npy":
            write_npy_header(file, shape, dtype)
            for block in blocks:
                file.write(np.ascontiguousarray(block).data)
        else:
            _write_table(file, path.suffix.lower(), blocks, dtype, names)


def write_npy_header(file: Any, shape: tuple[int, ...], dtype: Any) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _write_table(
    file: Any, suffix: str, blocks: Iterable[Any], dtype: Any, names: Sequence[str]
) -> None:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    schema = pa.schema([(name, pa.from_numpy_dtype(dtype)) for name in names])
    writer = pa.csv.CSVWriter if suffix == ".csv" else pa.parquet.ParquetWriter
    with writer(file, schema) as table:
        for block in blocks:
            columns = [pa.array(np.ascontiguousarray(column)) for column in np.transpose(block)]
            table.write_batch(pa.record_batch(columns, schema=schema))
