"""Files that are written whole or not at all: to a temporary name beside the target, which is renamed at the end."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError

KINDS = (".npy", ".csv", ".parquet")


def check_place(path: Path, *suffixes: str, inputs: Iterable[Path | None] = ()) -> None:
    """Refuse a file that cannot be written, or that is one of the inputs, before any work is done."""
    if suffixes and path.suffix.lower() not in suffixes:
        raise DataError(
            f"{path}: must be {' or '.join(suffixes)}, got {path.suffix or 'no suffix'}"
        )
    if not path.parent.is_dir():
        raise DataError(f"{path}: the directory {path.parent} does not exist")
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: is not a file that could be replaced")
    for read in inputs:
        if read is not None and path.exists() and read.exists() and path.samefile(read):
            raise DataError(f"{path}: is read as {read}, and would be overwritten")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error


def check_text_place(
    path: Path,
    suffixes: tuple[str, ...],
    what: str,
    marks: tuple[str, ...],
    inputs: Iterable[Path | None],
) -> None:
    """As `check_place`, of a text that replaces only its like, which has one of these marks in it."""
    check_place(path, *suffixes, inputs=inputs)
    if not path.exists() or path.stat().st_size == 0:
        return
    text = path.read_bytes()
    if not any(mark.encode() in text for mark in marks):
        raise DataError(
            f"{path}: exists and is no {what}: it is not overwritten; choose another name with --output"
        )


PAGE = ('data-verdict="', 'data-sigmax="')
NUMBERS = ('"verdict"',)
CALIBRATION = ('"temperature"', '"scale"')


def check_report_place(page: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse a page, or numbers beside it, that cannot be written."""
    inputs = list(inputs)
    check_text_place(page, (".html", ".htm"), "page of sigmax", PAGE, inputs)
    check_text_place(page.with_suffix(".json"), (), "report's numbers", NUMBERS, inputs)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the temporary name of a file that replaces `path` when all went well, and vanishes when not."""
    check_place(path)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name[:200]}.", suffix=f".part{path.suffix}", dir=path.parent
    )
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
    write_text(path, as_json(value))


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def write_report(page: Path, html: str, numbers: Any) -> None:
    """Write a page and its numbers: both, or neither."""
    with replacing(page.with_suffix(".json")) as one, replacing(page) as other:
        one.write_text(as_json(numbers), "utf-8")
        other.write_text(html, "utf-8")


def check_shape(path: Path, shape: Sequence[int]) -> None:
    """Refuse an array that the file cannot hold, before any work is done."""
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
