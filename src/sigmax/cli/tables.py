"""Tables (.csv, .parquet), read in batches with PyArrow: columns of numbers, of lists of numbers, or of text."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .console import DataError, tracked
from .rows import spill


@dataclass(frozen=True)
class Opened:
    """What a file holds: numbers, or texts as their numbers in `texts`."""

    array: Any
    names: list[str] | None = None  # of the columns of a table
    texts: list[str] | None = None


def listed(names: list[str]) -> str:
    """Return names for a message: the first dozen."""
    shown = ", ".join(map(repr, names[:12]))
    return shown + (f", … ({len(names)} in all)" if len(names) > 12 else "")


class Table:
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


class Csv(Table):
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
            raise DataError(f"{path}: two columns have the same name: {listed(first)}")

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


class Parquet(Table):
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
