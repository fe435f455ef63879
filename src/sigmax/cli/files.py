"""Files of arrays (.npy, .npz) and tables (.csv, .parquet), opened without holding them in memory.

A .npy file is mapped into memory as it is. The others are written, block by block, to a temporary file that vanishes
with the process (in TMPDIR), and that is mapped.
"""

import csv
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .console import DataError, tracked

KINDS = (".npy", ".npz", ".csv", ".parquet")
_BLOCK = 2**20  # numbers that are read at once
_PART = 2**22  # and by a worker of a cluster


@dataclass(frozen=True)
class Opened:
    """What a file holds: numbers, or texts as their numbers in `texts`."""

    array: Any
    names: list[str] | None = None  # of the columns of a table
    texts: list[str] | None = None


def open_file(path: Path, names: list[str] | None, *, text: bool = False) -> Opened:
    """Open an array of a file: the only one, or the one of that name, or the columns of these names.

    With `text`, a column may be text; without, it must be numbers.
    """
    if kind(path) == ".npy":
        if names is not None:
            raise DataError(f"{path}: a .npy file is one array, without names such as {names[0]!r}")
        return _encoded(path, _mapped(path), text)
    if kind(path) == ".npz":
        if names is None or len(names) != 1:
            raise DataError(f"{path}: name one of its arrays: {_listed(arrays(path))}")
        return _encoded(path, _mapped_member(path, names[0]), text)
    table = _Csv(path) if kind(path) == ".csv" else _Parquet(path)
    names = table.names if names is None else names
    for name in names:
        if name not in table.names:
            raise DataError(f"{path}: no column {name!r}; its columns are {_listed(table.names)}")
    return table.text(names[0]) if text and len(names) == 1 else table.numbers(names)


def arrays(path: Path) -> list[str]:
    """Return the names of what a file holds: arrays of a .npz, columns of a table; none of a .npy."""
    match kind(path):
        case ".npy":
            return []
        case ".npz":
            with _archive(path) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist()]
        case ".csv":
            return _Csv(path).names
        case _:
            return _Parquet(path).names


def kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise DataError(f"{path}: must be one of {', '.join(KINDS)}, got {suffix or 'no suffix'}")
    return suffix


def row_blocks(array: Any, numbers: int | None = None) -> Iterator[slice]:
    """Yield slices of the rows, of about so many numbers each, a million unless given."""
    rows = len(array)
    step = max(1, (numbers or _BLOCK) // max(1, array.size // max(1, rows)))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def parts(path: Path) -> list[slice]:
    """Return the rows of a file in parts that can be read on their own: .npy and .parquet have these."""
    if kind(path) == ".parquet":
        file = _Parquet(path).file
        sizes = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
        bounds = np.cumsum([0, *sizes]).tolist()
        return [slice(a, b) for a, b in pairwise(bounds) if a < b]
    if kind(path) == ".npy":
        return list(row_blocks(_flat(_mapped(path)), _PART))
    raise DataError(
        f"{path}: parts of a {kind(path)} file cannot be read alone; --scheduler takes .npy and .parquet"
    )


def part(path: Path, names: list[str] | None, rows: slice) -> Any:
    """Read one of the parts."""
    if kind(path) == ".npy":
        return _flat(_encoded(path, _mapped(path), False).array)[rows]
    return _Parquet(path).part(names, rows)


def _flat(array: Any) -> Any:
    return array if array.ndim < 3 else array.reshape(-1, array.shape[-1])


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


def text_codes(values: Any) -> tuple[Any, list[str]]:
    texts, codes = np.unique(np.asarray(values).astype(str), return_inverse=True)
    return codes.reshape(np.shape(values)), [str(text) for text in texts]


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:12]))
    return shown + (f", … ({len(names)} in all)" if len(names) > 12 else "")


# ---------------------------------------------------------------- .npy and .npz


def _encoded(path: Path, array: Any, text: bool) -> Opened:
    if array.dtype.kind in "US" and text:
        codes, texts = text_codes(array)
        return Opened(codes, texts=texts)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        legal = "numbers of at most 64 bits" + (" or text" if text else "")
        raise DataError(f"{path}: must hold {legal}, got dtype {array.dtype}")
    return Opened(array)


def _mapped(path: Path) -> Any:
    with path.open("rb") as file:
        return _mapped_file(file, str(path))


def _mapped_member(path: Path, name: str) -> Any:
    """Unpack an array of a .npz file to a temporary file, and map that."""
    with _archive(path) as archive:
        if f"{name}.npy" not in archive.namelist():
            raise DataError(f"{path}: no array {name!r}; its arrays are {_listed(arrays(path))}")
        with archive.open(f"{name}.npy") as member, tempfile.TemporaryFile() as file:
            shutil.copyfileobj(member, file, 2**20)
            file.seek(0)
            return _mapped_file(file, f"{path}: {name}")


def _mapped_file(file: Any, name: str) -> Any:
    """Map the array of an open .npy file. np.load does this only for files that have a name."""
    try:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, fortran, dtype = read_header[version](file)
    except (ValueError, KeyError) as error:
        raise DataError(f"{name}: not a .npy file: {error}") from error
    if dtype.hasobject:
        raise DataError(
            f"{name}: holds Python objects, which are not read; save numbers, or text as dtype 'U'"
        )
    if 0 in shape:
        return np.empty(shape, dtype)
    try:
        return np.memmap(
            file, dtype, "r", offset=file.tell(), shape=shape, order="F" if fortran else "C"
        )
    except ValueError as error:
        raise DataError(f"{name}: is cut short: {error}") from error


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path}: not a .npz file: {error}") from error


# ---------------------------------------------------------------- tables


class _Table:
    """A table that is read in batches of PyArrow."""

    path: Path
    names: list[str]

    def batches(self, names: list[str]) -> Iterator[Any]:
        """Yield record batches of these columns."""
        raise NotImplementedError

    def where(self, row: int) -> str:
        return f"row {row}"

    def numbers(self, names: list[str]) -> Opened:
        """Return columns of numbers side by side, or one column of lists."""
        array = spill(self._number_blocks(names))
        is_list = array.ndim == 2 and len(names) == 1
        return Opened(array, names=None if is_list else names)

    def _number_blocks(self, names: list[str]) -> Iterator[Any]:
        first, shape = 0, None
        for batch in tracked(self.batches(names), f"Reading {self.path.name}"):
            block = self._block(batch, names, first)
            if shape not in (None, block.shape[1:]):
                raise DataError(
                    f"{self.path}, {self.where(first)}: lists must have {shape} numbers as before, "
                    f"got {block.shape[1:]}"
                )
            yield block
            first, shape = first + len(block), block.shape[1:]

    def _block(self, batch: Any, names: list[str], first: int) -> Any:
        """Return the numbers of a batch that begins with row `first`."""
        columns = [self._numbers(x, name, first) for x, name in zip(batch, names, strict=True)]
        return columns[0] if len(columns) == 1 else np.column_stack(columns)

    def _numbers(self, column: Any, name: str, first: int) -> Any:
        import pyarrow as pa

        self._refuse_missing(column, name, first)
        is_list = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        read = self._lists if any(is_it(column.type) for is_it in is_list) else self._cast
        return read(column, name, first)

    def _cast(self, column: Any, name: str, first: int) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            return column.to_numpy(zero_copy_only=False)
        try:
            if pa.types.is_string(column.type):
                column = pc.utf8_trim_whitespace(column)
            return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            row = next((i for i, value in enumerate(column) if not _is_number(value.as_py())), 0)
            raise DataError(
                f"{self.path}, {self.where(first + row)}, column {name!r}: must be a number, "
                f"got {column[row].as_py()!r}"
            ) from None
        except pa.ArrowNotImplementedError:
            raise DataError(
                f"{self.path}, column {name!r}: must be numbers, got {column.type}"
            ) from None

    def _lists(self, column: Any, name: str, first: int) -> Any:
        import pyarrow.compute as pc

        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        width = lengths[0] if len(lengths) else 0
        if not (lengths == width).all():
            row = int(np.argmax(lengths != width))
            raise DataError(
                f"{self.path}, {self.where(first + row)}, column {name!r}: lists must have one length, "
                f"got {lengths[row]} numbers after {width}"
            )
        values = column.flatten()
        if values.null_count:
            row = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False))) // width
            raise DataError(
                f"{self.path}, {self.where(first + row)}, column {name!r}: a number is missing"
            )
        return self._cast(values, name, first).reshape(-1, width)

    def _refuse_missing(self, column: Any, name: str, first: int) -> None:
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise DataError(
                f"{self.path}, {self.where(first + row)}, column {name!r}: the value is missing"
            )

    def text(self, name: str) -> Opened:
        """Return a column that may be text."""
        raise NotImplementedError

    def _codes(self, name: str) -> tuple[Any, list[str]]:
        """Return a column of texts as their numbers in a list, in the order in which they come."""
        known: dict[str, int] = {}

        def blocks() -> Iterator[Any]:
            first = 0
            for batch in tracked(self.batches([name]), f"Reading {self.path.name}"):
                column = batch.column(0)
                self._refuse_missing(column, name, first)
                encoded = column if hasattr(column, "dictionary") else column.dictionary_encode()
                of_batch = [known.setdefault(t, len(known)) for t in encoded.dictionary.to_pylist()]
                yield np.array(of_batch, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
                first += len(column)

        return spill(blocks()), list(known)


class _Csv(_Table):
    """Comma-separated values, with or without a line of names: without, columns are named 0, 1, …"""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                first = next(csv.reader(file), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: not a .csv file: {error}") from error
        self.headed = not all(map(_is_number, first))
        self.names = first if self.headed else [str(k) for k in range(len(first))]
        if not first:
            raise DataError(f"{path}: is empty")
        if len(set(first)) < len(first) and self.headed:
            raise DataError(f"{path}: two columns have the same name: {_listed(first)}")

    def where(self, row: int) -> str:
        return f"row {row} (line {row + 1 + self.headed})"

    def batches(self, names: list[str]) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.csv

        read = pa.csv.ReadOptions(
            column_names=self.names, skip_rows=int(self.headed), use_threads=False
        )
        convert = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(self.names, pa.string()), include_columns=names
        )
        try:
            yield from pa.csv.open_csv(self.path, read_options=read, convert_options=convert)
        except pa.ArrowInvalid as error:
            raise DataError(f"{self.path}: {error}") from error

    def text(self, name: str) -> Opened:
        codes, texts = self._codes(name)
        for number in (int, float):
            try:
                values = np.array([number(text) for text in texts])
            except ValueError:
                continue
            return Opened(values[codes], names=[name])
        return Opened(codes, names=[name], texts=texts)


class _Parquet(_Table):
    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        self.path = path
        try:
            self.file = pa.parquet.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: not a .parquet file: {error}") from error
        self.names = self.file.schema_arrow.names

    def batches(self, names: list[str]) -> Iterator[Any]:
        for batch in self.file.iter_batches(batch_size=self._step(names), columns=names):
            yield batch.select(names)

    def part(self, names: list[str] | None, rows: slice) -> Any:
        """Read a row group, the one that begins with the first of the rows."""
        names = self.names if names is None else names
        sizes = [self.file.metadata.row_group(k).num_rows for k in range(self.file.num_row_groups)]
        group = int(np.searchsorted(np.cumsum(sizes), rows.start, "right"))
        table = self.file.read_row_group(group, columns=names).select(names).combine_chunks()
        return self._block([column.combine_chunks() for column in table.columns], names, rows.start)

    def _step(self, names: list[str]) -> int:
        return max(1, 2**16 // len(names))

    def text(self, name: str) -> Opened:
        import pyarrow as pa

        of_type = self.file.schema_arrow.field(name).type
        is_text = (pa.types.is_dictionary, pa.types.is_string, pa.types.is_large_string)
        if any(is_it(of_type) for is_it in is_text):
            codes, texts = self._codes(name)
            return Opened(codes, names=[name], texts=texts)
        return self.numbers([name])


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True
