"""Files of arrays (.npy, .npz, .safetensors, .pt) and tables (.csv, .tsv, .jsonl, .parquet, .arrow), opened without
holding them in memory.

.npy, .safetensors and .pt files are mapped into memory as they are. The others are written, block by block, to a
temporary file that vanishes with the process (in TMPDIR), and that is mapped.
"""

import gzip
import shutil
import stat
import struct
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .blocks import row_blocks, spill
from .errors import DataError
from .jsonl import Jsonl
from .tables import HOW, Csv, How, Ipc, Opened, Parquet, Table, listed
from .tensors import (
    BFLOAT16,
    safetensors_array,
    safetensors_names,
    torch_array,
    torch_names,
)

KINDS = (".npy", ".npz", ".safetensors", ".pt", ".csv", ".tsv", ".jsonl", ".parquet", ".arrow")
NAMED = (".npz", ".safetensors", ".pt")  # arrays with names
ARRAYS = (".npy", *NAMED)
TEXT = (".csv", ".jsonl")  # numbers in decimals
_ALIKE = {".tsv": ".csv", ".ndjson": ".jsonl", ".feather": ".arrow", ".pth": ".pt"}
_PACKED = (".npy", ".csv", ".tsv", ".jsonl")  # these may end in .gz too
_PART = 2**22  # numbers that a worker of a cluster reads at once
_BROKEN = (  # what the readers of archives raise on bytes that are none
    zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, struct.error,
    tokenize.TokenError, ValueError, KeyError, OverflowError, SyntaxError, TypeError, UnicodeError, RecursionError,
    MemoryError,
)  # fmt: skip


def open_file(path: Path, names: list[str] | None, *, text: bool = False, how: How = HOW) -> Opened:
    """Open an array of a file: the only one, or the one of that name, or the columns of these names.

    With `text`, a column may be text; without, it must be numbers.
    """
    if kind(path) == ".npy":
        if names is not None:
            raise DataError(f"{path}: a .npy file is one array, without names such as {names[0]!r}")
        return _encoded(path, _mapped(path), text)
    if kind(path) in NAMED:
        if names is None or len(names) != 1:
            raise DataError(f"{path}: name one of its arrays: {listed(arrays(path))}")
        return _encoded(path, _array(path, names[0]), text)
    table = table_of(path, how)
    names = table.names if names is None else names
    known = set(table.names)
    for name in names:
        if name not in known:
            raise DataError(f"{path}: no column {name!r}; its columns are {listed(table.names)}")
    opened = table.text(names[0]) if text and len(names) == 1 else table.numbers(names)
    return Opened(opened.array, opened.names, opened.texts, table.remarks())


def table_of(path: Path, how: How = HOW) -> Table:
    match kind(path):
        case ".parquet":
            return Parquet(path)
        case ".arrow":
            return Ipc(path)
        case ".jsonl":
            return Jsonl(path, how)
        case _:
            return Csv(path, how.header)


def arrays(path: Path, how: How = HOW) -> list[str]:
    """Return the names of what a file holds: arrays, columns of a table, fields of objects; none of a .npy."""
    match kind(path):
        case ".npy":
            return []
        case ".npz":
            return _members(path)
        case ".safetensors":
            return safetensors_names(path)
        case ".pt":
            return torch_names(path)
        case _:
            return table_of(path, how).names


def _array(path: Path, name: str) -> Any:
    """Return an array with a name."""
    if name not in arrays(path):
        raise DataError(f"{path}: no array {name!r}; its arrays are {listed(arrays(path))}")
    of = {".npz": _mapped_member, ".safetensors": safetensors_array, ".pt": torch_array}
    return of[kind(path)](path, name)


def kind(path: Path) -> str:
    suffix = path.suffix.lower()
    packed = suffix == ".gz"
    suffix = Path(path.stem).suffix.lower() if packed else suffix
    legal = _PACKED if packed else (*KINDS, *_ALIKE)
    if suffix not in legal:
        raise DataError(
            f"{path}: must be one of {', '.join(KINDS)}, or {', '.join(f'{k}.gz' for k in _PACKED)}, "
            f"got {path.suffix or 'no suffix'}"
        )
    _require_file(path)
    return _ALIKE.get(suffix, suffix)


def _require_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise DataError(
            f"{path}: is not a file; what comes through a pipe is read with - as the name"
        )


def parts(path: Path, names: list[str] | None) -> list[slice]:
    """Return the rows of a file in parts that can be read on their own."""
    of_kind = kind(path)
    if of_kind in (".parquet", ".arrow"):
        sizes = (Parquet if of_kind == ".parquet" else Ipc)(path).sizes()
        bounds = np.cumsum([0, *sizes]).tolist()
        slices = [slice(a, b) for a, b in pairwise(bounds) if a < b]
    elif path.suffix.lower() == ".npy":
        slices = list(row_blocks(_flat(_mapped(path)), _PART))
    elif of_kind in (".safetensors", ".pt"):
        slices = list(row_blocks(_flat(_array(path, (names or [""])[0])), _PART))
    else:
        raise DataError(
            f"{path}: parts of a {path.suffix} file cannot be read alone; --scheduler takes .npy, .safetensors, .pt, "
            ".parquet and .arrow"
        )
    if not slices:
        raise DataError(f"{path}: has no rows")
    return slices


def part(path: Path, names: list[str] | None, rows: slice) -> Any:
    """Read one of the parts."""
    match kind(path):
        case ".npy":
            return _flat(_encoded(path, _mapped(path), False).array)[rows]
        case ".parquet":
            return Parquet(path).part(names, rows)
        case ".arrow":
            return Ipc(path).part(names, rows)
        case _:
            return _flat(open_file(path, names).array)[rows]


def _flat(array: Any) -> Any:
    return array if array.ndim < 3 else array.reshape(-1, array.shape[-1])


def text_codes(values: Any) -> tuple[Any, list[str]]:
    texts, codes = np.unique(np.asarray(values).astype(str), return_inverse=True)
    return codes.reshape(np.shape(values)), [str(text) for text in texts]


# ---------------------------------------------------------------- .npy and .npz


def _encoded(path: Path, array: Any, text: bool) -> Opened:
    if array.dtype.kind in "US" and text:
        codes, texts = text_codes(array)
        return Opened(codes, texts=texts)
    if array.dtype == BFLOAT16:
        remark = f"{path.name}: values of 2 bytes without a type are read as bfloat16"
        said = (remark,) if kind(path) in (".npy", ".npz") else ()
        return Opened(spill(_bfloat16_blocks(array)), remarks=said)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        legal = "numbers of at most 64 bits" + (" or text" if text else "")
        raise DataError(f"{path}: must hold {legal}, got dtype {array.dtype}")
    return Opened(array)


def _bfloat16_blocks(array: Any) -> Iterator[Any]:
    if array.ndim == 0:
        raise DataError("a single number has no rows")
    for rows in row_blocks(array):
        bits = np.ascontiguousarray(array[rows]).view(np.uint16).astype(np.uint32)
        yield (bits << np.uint32(16)).view(np.float32)
    if len(array) == 0:
        yield np.empty(array.shape, np.float32)


def _mapped(path: Path) -> Any:
    if path.suffix.lower() == ".gz":
        with tempfile.TemporaryFile() as file:
            try:
                with gzip.open(path) as packed:
                    shutil.copyfileobj(packed, file, 2**20)
            except _BROKEN as error:
                raise DataError(f"{path}: not a .gz file: {error}") from error
            file.seek(0)
            return _mapped_file(file, str(path))
    with path.open("rb") as file:
        return _mapped_file(file, str(path))


def _mapped_member(path: Path, name: str) -> Any:
    """Unpack an array of a .npz file to a temporary file, and map that."""
    with tempfile.TemporaryFile() as file:
        try:
            with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
                shutil.copyfileobj(member, file, 2**20)
        except _BROKEN as error:
            raise DataError(f"{path}: {name} cannot be unpacked: {error}") from error
        file.seek(0)
        return _mapped_file(file, f"{path}: {name}")


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _BROKEN as error:
        raise DataError(f"{path}: not a .npz file: {error}") from error
    arrays = [name.removesuffix(".npy") for name in names if name.endswith(".npy")]
    if not arrays:
        raise DataError(f"{path}: has no arrays")
    return arrays


def _mapped_file(file: Any, name: str) -> Any:
    """Map the array of an open .npy file. np.load does this only for files that have a name."""
    shape, fortran, dtype = _npy_header(file, name)
    if dtype.hasobject:
        raise DataError(
            f"{name}: holds Python objects, which are not read; save numbers, or text as dtype 'U'"
        )
    if dtype.kind not in "biufcUSV" or dtype.names is not None or dtype.itemsize == 0:
        raise DataError(f"{name}: must hold numbers or text, got dtype {dtype}")
    try:
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(
            file, dtype, "r", offset=file.tell(), shape=shape, order="F" if fortran else "C"
        )
    except (ValueError, OverflowError, MemoryError) as error:
        raise DataError(f"{name}: is cut short: {error}") from error


def _npy_header(file: Any, name: str) -> tuple[tuple[int, ...], bool, Any]:
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        with warnings.catch_warnings(action="ignore"):  # of headers as Python 2 wrote them
            shape, fortran, dtype = read[np.lib.format.read_magic(file)](file)
        if not all(isinstance(n, int) and n >= 0 for n in shape):
            raise ValueError(f"the shape is {shape}")
    except _BROKEN as error:
        raise DataError(f"{name}: not a .npy file: {error}") from error
    return shape, fortran, dtype
