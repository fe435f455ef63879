"""Tables (.csv, .tsv, .parquet, .arrow), read in batches: columns of numbers, of lists of numbers, or of text."""

import csv
import gzip
import io
import itertools
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .blocks import spill
from .errors import DataError
from .progress import tracked

_CELLS = 2**18  # cells of a table that are read at once
_SNIFFED = 50  # lines by which a .csv file is recognised
_DELIMITERS = (",", ";", "\t", "|")
_BOOLEANS = {"true": 1.0, "false": 0.0}
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Opened:
    """What a file holds: numbers, or texts as their numbers in `texts`."""

    array: Any
    names: list[str] | None = None  # of the columns of a table
    texts: list[str] | None = None
    remarks: tuple[str, ...] = ()  # what was guessed on the way


@dataclass(frozen=True)
class Facts:
    """Range and counts of numbers."""

    rows: int = 0
    low: float = math.inf
    high: float = -math.inf
    nan: int = 0
    infinite: int = 0
    shape: tuple[int, ...] = ()  # of a row

    def and_of(self, x: Any) -> "Facts":
        """Return the facts of these and more numbers."""
        finite = x[np.isfinite(x)]
        return Facts(
            self.rows + len(x),
            min(self.low, float(finite.min())) if finite.size else self.low,
            max(self.high, float(finite.max())) if finite.size else self.high,
            self.nan + int(np.count_nonzero(np.isnan(x))),
            self.infinite + int(np.count_nonzero(np.isinf(x))),
            x.shape[1:],
        )


@dataclass(frozen=True)
class How:
    """How a table of text is to be read."""

    header: bool | None = None  # of a .csv file; None: its lines tell
    only: str | None = None  # of a .jsonl file: the rows that count, as field=value
    classes: tuple[str, ...] = ()  # of a .jsonl file: the names of all classes, in order


HOW = How()


def listed(names: list[str]) -> str:
    """Return names for a message: the first dozen."""
    shown = ", ".join(
        repr(name) if len(name) < 60 else repr(name[:57] + "…") for name in names[:12]
    )
    return shown + (f", … ({len(names):,} in all)" if len(names) > 12 else "")


class Table:
    """A table that is read in batches."""

    path: Path
    names: list[str]

    def where(self, row: int) -> str:
        return f"row {row}"

    def number_blocks(self, names: list[str]) -> Iterator[Any]:
        """Yield blocks of rows of these columns, which are numbers, or of one column of lists."""
        raise NotImplementedError

    def text(self, name: str) -> Opened:
        """Return a column that may be text."""
        raise NotImplementedError

    def profile(self) -> list[tuple[str, str, "Facts | None"]]:
        """Return name, type and what is in each column (None for text), from one pass over the file."""
        raise NotImplementedError

    def numbers(self, names: list[str]) -> Opened:
        """Return columns of numbers side by side, or one column of lists."""
        array = spill(tracked(self.number_blocks(names), f"Reading {self.path.name}"))
        is_list = array.ndim == 2 and len(names) == 1
        return Opened(array, names=None if is_list else names)

    def remarks(self) -> tuple[str, ...]:
        return ()


def _refuse_column(table: Table, row: int, name: str, rule: str, got: str) -> None:
    shown = repr(got) if len(got) < 60 else f"{got[:57]!r}…"
    what = f"{rule}, got {shown}" if got.strip() else "the value is missing"
    raise DataError(f"{table.path}, {table.where(row)}, column {name!r}: {what}")


# ---------------------------------------------------------------- .csv


@dataclass
class Csv(Table):
    """Values between commas, semicolons, tabs or bars; with or without a line of names: without, they are 0, 1, …"""

    path: Path
    header: bool | None = None  # None: recognised by the first lines
    delimiter: str = field(init=False)
    names: list[str] = field(init=False)
    headed: bool = field(init=False)
    decimal: str = field(init=False)
    why: str = field(init=False, default="")
    lines: dict[int, int] = field(init=False, default_factory=dict)  # where rows stand, of a few

    def __post_init__(self) -> None:
        head = self._head()
        self.delimiter = _delimiter(head)
        table = [
            row for _, row in itertools.islice(self._rows(io.StringIO("".join(head))), _SNIFFED)
        ]
        if not table:
            raise DataError(f"{self.path}: is empty")
        first = table[0]
        self.decimal = "," if self.delimiter != "," and _has_decimal_commas(table[1:]) else "."
        self.headed = self._is_headed(first, table[1:]) if self.header is None else self.header
        self.names = (
            [x.strip() for x in first] if self.headed else [str(k) for k in range(len(first))]
        )
        if self.headed and len(set(self.names)) < len(first):
            twice = next(name for k, name in enumerate(self.names) if name in self.names[:k])
            raise DataError(f"{self.path}: two columns have the same name: {twice!r}")

    def _is_headed(self, first: list[str], rest: list[list[str]]) -> bool:
        if not all(map(_is_number, first)):
            self.why = "its first line, which is not numbers,"
            return True
        if not rest or not all(x.strip().isdecimal() for x in first):
            return False
        if not all(any(not _is_whole(x) for x in row) for row in rest):
            return False
        if [int(x) for x in first] == list(range(len(first))):
            self.why = (
                f"its first line {first[0]}…{first[-1]}, as no other line is of whole numbers,"
            )
            return True
        if len(first) > 1 and len({int(x) for x in first}) == len(first):
            raise DataError(
                f"{self.path}: is the first line, {', '.join(first[:8])}, of names or of numbers? It has whole "
                "numbers where the others do not: say --header or --no-header"
            )
        return False

    def remarks(self) -> tuple[str, ...]:
        said = []
        if self.headed:
            said.append(
                f"{self.path.name}: columns are named by {self.why or 'its first line (--header)'}".rstrip(
                    ","
                )
            )
        if self.delimiter != ",":
            of = {"\t": "tabs", ";": "semicolons", "|": "bars", " ": "spaces"}[self.delimiter]
            said.append(f"{self.path.name}: values are separated by {of}")
        if self.decimal == ",":
            said.append(f"{self.path.name}: decimals are written with commas")
        return tuple(said)

    # ---- lines

    def _open(self) -> Any:
        if self.path.suffix.lower() == ".gz":
            return gzip.open(self.path, "rt", newline="", encoding="utf-8-sig")
        return self.path.open(newline="", encoding="utf-8-sig")

    def _head(self) -> list[str]:
        try:
            with self._open() as file:
                return list(itertools.islice(file, _SNIFFED))
        except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.path}: not a .csv file in UTF-8: {error}") from error

    def _rows(self, file: Any) -> Iterator[tuple[int, list[str]]]:
        """Yield the line on which a row begins, and its cells; lines without any are passed over."""
        reader = csv.reader(file, delimiter=self.delimiter, strict=True)
        line = 1
        try:
            for row in reader:
                if row and (len(row) > 1 or row[0].strip()):
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{self.path}, line {line}: not a .csv file: {error}") from error

    def rows(self) -> Iterator[tuple[int, list[list[str]]]]:
        """Yield rows of cells in blocks, with the number of the first."""
        most, first = max(1, _CELLS // len(self.names)), 0
        try:
            with self._open() as file:
                rows = self._rows(file)
                if self.headed:
                    next(rows, None)
                while block := list(itertools.islice(rows, most)):
                    self.lines = {first + k: line for k, (line, _) in enumerate(block)}
                    self._check_lengths(block)
                    yield first, [row for _, row in block]
                    first += len(block)
        except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{self.path}: not a .csv file in UTF-8: {error}") from error

    def _check_lengths(self, block: list[tuple[int, list[str]]]) -> None:
        for line, row in block:
            if len(row) != len(self.names):
                raise DataError(
                    f"{self.path}, line {line}: Expected {len(self.names):,} columns, got {len(row):,}"
                )

    def where(self, row: int) -> str:
        return f"row {row} (line {self.lines[row]})"

    # ---- columns

    def number_blocks(self, names: list[str]) -> Iterator[Any]:
        places = {name: k for k, name in enumerate(self.names)}
        chosen = [places[name] for name in names]
        all_of_them = chosen == list(range(len(self.names)))
        for first, rows in self.rows():
            picked = rows if all_of_them else [[row[k] for k in chosen] for row in rows]
            block = self._numbers(picked, names, first).reshape(len(rows), len(names))
            yield block[:, 0] if len(names) == 1 else block

    def _numbers(self, rows: list[list[str]], names: list[str], first: int) -> Any:
        cells: Iterator[str] = itertools.chain.from_iterable(rows)
        if self.decimal == ",":
            cells = (cell.replace(",", ".") for cell in cells)
        try:
            values = np.fromiter(map(float, cells), np.float64, len(rows) * len(names))
        except ValueError:
            values = None
        if values is None or any("_" in cell for row in rows for cell in row):  # float takes 1_000
            return self._numbers_one_by_one(rows, names, first)
        return values

    def _numbers_one_by_one(self, rows: list[list[str]], names: list[str], first: int) -> Any:
        values = np.empty((len(rows), len(names)))
        for i, row in enumerate(rows):
            for k, cell in enumerate(row):
                x = _number(cell.replace(",", ".") if self.decimal == "," else cell)
                if x is None:
                    _refuse_column(self, first + i, names[k], "must be a number", cell)
                values[i, k] = x
        return values

    def text(self, name: str) -> Opened:
        k = self.names.index(name)
        known: dict[str, int] = {}
        blocks = [np.zeros(0, np.int64)]
        for first, rows in tracked(self.rows(), f"Reading {self.path.name}"):
            of_block = []
            for i, row in enumerate(rows):
                if not row[k].strip():
                    _refuse_column(self, first + i, name, "", "")
                of_block.append(known.setdefault(row[k], len(known)))
            blocks.append(np.array(of_block, np.int64))
        codes, texts = np.concatenate(blocks), list(known)
        values = _numbers_of_texts(texts, self.decimal)
        if values is None:
            return Opened(codes, names=[name], texts=texts)
        return Opened(values[codes], names=[name])

    def profile(self) -> list[tuple[str, str, "Facts | None"]]:
        facts: list[Facts | None] = [Facts() for _ in self.names]
        for first, rows in tracked(self.rows(), f"Reading {self.path.name}"):
            for k, column in enumerate(zip(*rows, strict=True)):
                try:
                    values = self._numbers([[x] for x in column], [self.names[k]], first)
                    so_far = facts[k]
                    facts[k] = so_far and so_far.and_of(values.ravel())
                except DataError:
                    facts[k] = None
        return [
            (name, "text" if of is None else "float64", of)
            for name, of in zip(self.names, facts, strict=True)
        ]


def _delimiter(lines: list[str]) -> str:
    """Return what stands between the values: what most of the lines have the same number of times, at least once."""
    some = [line for line in lines if line.strip()][:_SNIFFED]
    best, most = ",", 0
    for mark in _DELIMITERS:
        counts = [line.count(mark) for line in some]
        # Semicolons and tabs go before commas, which are decimals beside them.
        if min(counts, default=0) > 0 and (len(set(counts)) == 1, mark != ",", min(counts)) > (
            most and len({line.count(best) for line in some}) == 1,
            most and best != ",",
            most,
        ):
            best, most = mark, min(counts)
    if not most and some and all(map(_is_spaced, some[:1])):
        return " "
    return best


def _is_spaced(line: str) -> bool:
    """Whether a line is of numbers with one space between them, as numpy.savetxt writes."""
    cells = line.strip().split(" ")
    return len(cells) > 1 and all(map(_is_number, cells))


def _has_decimal_commas(rows: list[list[str]]) -> bool:
    cells = [cell.strip() for row in rows for cell in row]
    return any(re.fullmatch(r"[+-]?\d+,\d+([eE][+-]?\d+)?", cell) for cell in cells)


def _number(text: str) -> float | None:
    """Return the number that a cell is, booleans too, or None."""
    word = text.strip().lower()
    if word in _BOOLEANS:
        return _BOOLEANS[word]
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _is_number(text: str) -> bool:
    return text.strip().lower() not in _BOOLEANS and _number(text.replace(",", ".")) is not None


def _is_whole(text: str) -> bool:
    x = _number(text)
    return x is not None and (not math.isfinite(x) or x == math.floor(x)) and "." not in text


def _numbers_of_texts(texts: list[str], decimal: str) -> Any:
    """Return texts as integers, else as floats, else None."""
    words = [text.strip().lower() for text in texts]
    if all(re.fullmatch(r"[+-]?\d{1,15}", word) or word in _BOOLEANS for word in words):
        return np.array([_number(word) for word in words], np.int64)
    values = [_number(word.replace(",", ".") if decimal == "," else word) for word in words]
    return None if None in values else np.array(values, np.float64)


# ---------------------------------------------------------------- .parquet and .arrow


class Arrow(Table):
    """A table in Arrow's memory, whatever the file is."""

    schema: Any

    def _named(self) -> None:
        try:
            self.names = self.schema.names
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}: names must be UTF-8: {error}") from error
        if len(set(self.names)) < len(self.names):
            raise DataError(f"{self.path}: two columns have the same name: {listed(self.names)}")

    def batches(self, names: list[str]) -> Iterator[Any]:
        """Yield record batches of these columns."""
        import pyarrow as pa

        try:
            for batch in self._batches(names, max(1, 2**18 // max(1, len(names)))):
                yield batch.select(names)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{self.path}: cannot be read: {_one_line(error)}") from error

    def _batches(self, names: list[str], rows: int) -> Iterator[Any]:
        raise NotImplementedError

    def sizes(self) -> list[int]:
        """Return how many rows each part has that can be read on its own."""
        raise NotImplementedError

    def _part(self, number: int, names: list[str]) -> Any:
        raise NotImplementedError

    def number_blocks(self, names: list[str]) -> Iterator[Any]:
        first, shape = 0, None
        for batch in self.batches(names):
            block = self._block(batch.columns, names, first)
            if shape not in (None, block.shape[1:]):
                raise DataError(
                    f"{self.path}, {self.where(first)}: lists must have {shape} numbers as before, "
                    f"got {block.shape[1:]}"
                )
            yield block
            first, shape = first + len(block), block.shape[1:]

    def part(self, names: list[str] | None, rows: slice) -> Any:
        """Read a part, the one that begins with the first of the rows."""
        names = self.names if names is None else names
        number = int(np.searchsorted(np.cumsum(self.sizes()), rows.start, "right"))
        return self._block(self._part(number, names), names, rows.start)

    def _block(self, columns: list[Any], names: list[str], first: int) -> Any:
        """Return the numbers of columns that begin with row `first`."""
        read = [self._numbers(x, name, first) for x, name in zip(columns, names, strict=True)]
        if len(read) > 1 and any(x.ndim > 1 for x in read):
            name = next(n for n, x in zip(names, read, strict=True) if x.ndim > 1)
            raise DataError(
                f"{self.path}: column {name!r} is of lists, which are read alone: name it with --logits-key"
            )
        return read[0] if len(read) == 1 else np.column_stack(read)

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
            if pa.types.is_string_view(column.type):  # for which Arrow has no such functions yet
                column = column.cast(pa.string())
            if pa.types.is_string(column.type):
                column = pc.utf8_trim_whitespace(column)
            return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            values = self._texts(column, name)
            row = next((i for i, value in enumerate(values) if _number(value) is None), None)
            if row is None:
                return np.array([_number(value) for value in values], np.float64)
            _refuse_column(self, first + row, name, "must be a number", values[row])
        except pa.ArrowNotImplementedError:
            raise DataError(
                f"{self.path}, column {name!r}: must be numbers, got {column.type}"
            ) from None

    def _texts(self, column: Any, name: str) -> list[str]:
        try:
            return list(map(str, column.to_pylist()))
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}, column {name!r}: text must be UTF-8: {error}") from error

    def _lists(self, column: Any, name: str, first: int) -> Any:
        import pyarrow.compute as pc

        lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
        width = lengths[0] if len(lengths) else 0
        if len(lengths) and not width:
            _refuse_column(self, first, name, "must be a list of numbers", "[]")
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
            _refuse_column(self, first + row, name, "", "")

    def _is_text(self, name: str) -> bool:
        import pyarrow as pa

        of_type = self.schema.field(name).type
        types = pa.types
        is_text = (
            types.is_dictionary,
            types.is_string,
            types.is_large_string,
            types.is_string_view,
        )
        return any(is_it(of_type) for is_it in is_text)

    def text(self, name: str) -> Opened:
        if not self._is_text(name):
            return self.numbers([name])
        known: dict[str, int] = {}
        codes, first = [np.zeros(0, np.int64)], 0
        for batch in tracked(self.batches([name]), f"Reading {self.path.name}"):
            column = batch.column(0)
            self._refuse_missing(column, name, first)
            encoded = column if hasattr(column, "dictionary") else column.dictionary_encode()
            texts = self._texts(encoded.dictionary, name)
            of_batch = [known.setdefault(text, len(known)) for text in texts]
            codes.append(
                np.array(of_batch, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
            )
            first += len(column)
        return Opened(np.concatenate(codes), names=[name], texts=list(known))

    def profile(self) -> list[tuple[str, str, "Facts | None"]]:
        return [(name, *self._profile_of(name)) for name in self.names]

    def _profile_of(self, name: str) -> tuple[str, "Facts | None"]:
        of_type = str(self.schema.field(name).type)
        if self._is_text(name):
            return "text", None
        facts = Facts()
        try:
            for block in self.number_blocks([name]):
                facts = facts.and_of(block)
        except DataError as error:
            return f"{of_type} ({error})", None
        return of_type, facts


class Parquet(Arrow):
    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        self.path = path
        try:
            self.file = pa.parquet.ParquetFile(path)
            self.schema = self.file.schema_arrow
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{path}: not a .parquet file: {_one_line(error)}") from error
        self._named()

    def _batches(self, names: list[str], rows: int) -> Iterator[Any]:
        yield from self.file.iter_batches(batch_size=rows, columns=names)

    def sizes(self) -> list[int]:
        return [self.file.metadata.row_group(k).num_rows for k in range(self.file.num_row_groups)]

    def _part(self, number: int, names: list[str]) -> Any:
        table = self.file.read_row_group(number, columns=names).select(names).combine_chunks()
        return [column.combine_chunks() for column in table.columns]


class Ipc(Arrow):
    """A file of Arrow's memory (.arrow, .feather) or a stream of it."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.path = path
        try:
            with path.open("rb") as file:
                begin = file.read(6)
            if begin.startswith(b"FEA1"):
                raise DataError(f"{path}: Feather of version 1 is not read: write version 2")
            self.source = pa.memory_map(str(path))
            self.stream = begin != b"ARROW1"
            opened = pa.ipc.open_stream if self.stream else pa.ipc.open_file
            self.file = opened(self.source)
            self.schema = self.file.schema
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(f"{path}: not a file of Arrow: {_one_line(error)}") from error
        self._named()

    def _batches(self, names: list[str], rows: int) -> Iterator[Any]:  # noqa: ARG002
        import pyarrow as pa

        if self.stream:
            self.source.seek(0)
            batches = iter(pa.ipc.open_stream(self.source))
        else:
            batches = map(self.file.get_batch, range(self.file.num_record_batches))
        for batch in batches:
            batch.validate(full=True)
            for begin in range(0, batch.num_rows, rows):
                yield batch.slice(begin, rows)

    def sizes(self) -> list[int]:
        if self.stream:
            raise DataError(
                f"{self.path}: is a stream, whose parts cannot be read alone: write a file"
            )
        return [self.file.get_batch(k).num_rows for k in range(self.file.num_record_batches)]

    def _part(self, number: int, names: list[str]) -> Any:
        return self.file.get_batch(number).select(names).columns


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
