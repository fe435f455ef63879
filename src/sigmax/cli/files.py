"""Files of arrays (.npy, .npz) and tables (.csv, .parquet), opened without holding them in memory.

A .npy file is mapped into memory as it is. The others are written, block by block, to a temporary file that vanishes
with the process (in TMPDIR), and that is mapped.
"""

import shutil
import tempfile
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from .console import DataError
from .rows import row_blocks
from .tables import Csv, Opened, Parquet, listed

KINDS = (".npy", ".npz", ".csv", ".parquet")
_PART = 2**22  # numbers that a worker of a cluster reads at once


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
            raise DataError(f"{path}: name one of its arrays: {listed(arrays(path))}")
        return _encoded(path, _mapped_member(path, names[0]), text)
    table = Csv(path) if kind(path) == ".csv" else Parquet(path)
    names = table.names if names is None else names
    for name in names:
        if name not in table.names:
            raise DataError(f"{path}: no column {name!r}; its columns are {listed(table.names)}")
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
            return Csv(path).names
        case _:
            return Parquet(path).names


def kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise DataError(f"{path}: must be one of {', '.join(KINDS)}, got {suffix or 'no suffix'}")
    return suffix


def parts(path: Path) -> list[slice]:
    """Return the rows of a file in parts that can be read on their own: .npy and .parquet have these."""
    if kind(path) == ".parquet":
        file = Parquet(path).file
        sizes = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
        bounds = np.cumsum([0, *sizes]).tolist()
        slices = [slice(a, b) for a, b in pairwise(bounds) if a < b]
    elif kind(path) == ".npy":
        slices = list(row_blocks(_flat(_mapped(path)), _PART))
    else:
        raise DataError(
            f"{path}: parts of a {kind(path)} file cannot be read alone; --scheduler takes .npy and .parquet"
        )
    if not slices:
        raise DataError(f"{path}: has no rows")
    return slices


def part(path: Path, names: list[str] | None, rows: slice) -> Any:
    """Read one of the parts."""
    if kind(path) == ".npy":
        return _flat(_encoded(path, _mapped(path), False).array)[rows]
    return Parquet(path).part(names, rows)


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
            raise DataError(f"{path}: no array {name!r}; its arrays are {listed(arrays(path))}")
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
