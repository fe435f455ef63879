"""Standard input, as - in place of a file: kept in a temporary file, named by what its first bytes are."""

import atexit
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from .errors import DataError

_BEGINNINGS = {
    b"\x93NUMPY": ".npy",
    b"PK\x03\x04": ".npz",
    b"PAR1": ".parquet",
    b"ARROW1": ".arrow",
    b"{": ".jsonl",
}
_kept: dict[str, str] = {}  # the temporary files, and what messages call them


def from_standard_input_of(*paths: Path | None) -> list[Any]:
    """Return these files, with standard input in place of -."""
    if sum(str(path) == "-" for path in paths) > 1:
        raise DataError("standard input is read once: give - for one file only")
    return [_from_standard_input(path) for path in paths]


def _from_standard_input(path: Path | None) -> Path | None:
    if path is None or str(path) != "-":
        return path
    begin = sys.stdin.buffer.read(9)
    suffix = next((s for b, s in _BEGINNINGS.items() if begin.startswith(b)), ".csv")
    suffix = ".safetensors" if suffix == ".csv" and begin[8:] == b"{" else suffix
    suffix += ".gz" if begin.startswith(b"\x1f\x8b") else ""
    directory = Path(tempfile.mkdtemp(prefix="sigmax-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    kept = directory / f"standard-input{suffix}"
    with kept.open("wb") as file:
        file.write(begin)
        shutil.copyfileobj(sys.stdin.buffer, file, 2**20)
    if suffix == ".npz" and _is_torch(kept):
        kept = kept.rename(kept.with_suffix(".pt"))
    _kept[str(kept)] = "standard input"
    return kept


def _is_torch(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def spoken(message: str) -> str:
    """Return a message with the name of the temporary file as a user knows it."""
    for path, name in _kept.items():
        message = message.replace(path, name)
    return message
