"""Arrays by name in .safetensors and .pt files, mapped where they lie. Nothing in a file is run."""

import math
import pickle
import shutil
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from sigmax.linear import _safetensors

from .errors import DataError

BFLOAT16 = np.dtype("V2")  # NumPy does not know it
_OF_SAFETENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "V2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_OF_TORCH = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": "V2", "LongStorage": "i8",
    "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
_BROKEN = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, struct.error, ValueError,
    KeyError, OverflowError, TypeError, UnicodeError, RecursionError, MemoryError, AttributeError, IndexError,
    ImportError, pickle.UnpicklingError,
)  # fmt: skip
_MOST = 1_000_000  # parts of a .pt file, which may refer to one another again and again


def mapped(file: Any, dtype: Any, offset: int, shape: tuple[int, ...]) -> Any:
    """Map numbers of a file into memory."""
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", offset=offset, shape=shape)


# ---------------------------------------------------------------- .safetensors


def safetensors_names(path: Path) -> list[str]:
    return list(_header(path)[1])


def safetensors_array(path: Path, name: str) -> Any:
    start, header = _header(path)
    entry = header[name]
    of_type, (begin, end) = entry["dtype"], entry["data_offsets"]
    if of_type not in _OF_SAFETENSORS:
        raise DataError(
            f"{path}: {name!r} has the type {of_type}; legal are {', '.join(_OF_SAFETENSORS)}"
        )
    dtype, shape = np.dtype(_OF_SAFETENSORS[of_type]), tuple(entry["shape"])
    if end - begin != dtype.itemsize * math.prod(shape):
        raise DataError(
            f"{path}: {name!r} has {end - begin} bytes, which {shape} of {of_type} does not take"
        )
    try:
        return mapped(path, dtype, start + begin, shape)
    except _BROKEN as error:
        raise DataError(f"{path}: {name!r} cannot be read: {error}") from error


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    try:
        start, header = _safetensors(path)
        if not all(type(n) is int for entry in header.values() for n in entry["shape"]):
            raise ValueError(f"{path}: is no safetensors file: a shape is not of whole numbers")
    except _BROKEN as error:
        message = str(error)
        raise DataError(message if str(path) in message else f"{path}: {message}") from error
    if not header:
        raise DataError(f"{path}: has no arrays")
    return start, header


# ---------------------------------------------------------------- .pt
# A zip archive: data.pkl says which tensors there are, data/0, data/1, … are their numbers. The pickle is read with
# stand-ins for the few functions that rebuild tensors; whatever else it asks for is refused, so nothing of it runs.


def torch_names(path: Path) -> list[str]:
    return list(_tensors(path))


def torch_array(path: Path, name: str) -> Any:
    tensor = _tensors(path)[name]
    try:
        return tensor.array(path)
    except _BROKEN as error:
        raise DataError(f"{path}: {name!r} cannot be read: {error}") from error


class _Storage:
    """Where numbers are in the archive, or a type of these."""

    __slots__ = ("count", "key", "of_type")

    def __init__(self, of_type: str, key: str, count: int) -> None:
        self.of_type, self.key, self.count = of_type, key, count


class _Type:
    """The stand-in for a type of storage."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Tensor:
    __slots__ = ("offset", "shape", "storage", "strides")

    def __init__(self, storage: _Storage, offset: int, shape: Any, strides: Any) -> None:
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError("a tensor is described by whole numbers that are not negative")
        if len(shape) != len(strides):
            raise ValueError("a tensor has a stride for each of its dimensions")
        self.storage, self.offset = storage, offset
        self.shape, self.strides = tuple(shape), tuple(strides)

    def array(self, path: Path) -> Any:
        """Map the tensor, in whatever order its numbers are."""
        dtype = np.dtype(_OF_TORCH[self.storage.of_type])
        with zipfile.ZipFile(path) as archive:
            root = _root(archive)
            order = f"{root}/byteorder"
            if order in archive.namelist() and archive.read(order)[:10] == b"big":
                dtype = dtype.newbyteorder(">")
            member = archive.getinfo(f"{root}/data/{self.storage.key}")
            count = member.file_size // dtype.itemsize
            size = math.prod(self.shape)
            if size == 0:
                return np.empty(self.shape, dtype)
            last = self.offset + sum(
                (n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)
            )
            if last >= count or size > count:
                raise ValueError(f"its {size:,} numbers are more than the {count:,} that are there")
            flat = _member(path, archive, member, dtype, count)
        steps = [step * dtype.itemsize for step in self.strides]
        return np.lib.stride_tricks.as_strided(
            flat[self.offset :], self.shape, steps, writeable=False
        )


def _member(path: Path, archive: Any, member: Any, dtype: Any, count: int) -> Any:
    """Map the numbers of a member: in the archive, or unpacked to a temporary file without a name."""
    if member.compress_type != zipfile.ZIP_STORED:
        with tempfile.TemporaryFile() as file, archive.open(member) as packed:
            shutil.copyfileobj(packed, file, 2**20)
            file.flush()
            return mapped(file, dtype, 0, (count,))
    with path.open("rb") as file:
        file.seek(member.header_offset)
        head = file.read(30)
        if head[:4] != b"PK\x03\x04":
            raise ValueError("the archive is broken")
        name, extra = struct.unpack("<HH", head[26:30])
        return mapped(path, dtype, member.header_offset + 30 + name + extra, (count,))


class _Call:
    """The stand-in for a function; it has no attributes that a file could set."""

    __slots__ = ("_function",)
    _function: Any

    def __init__(self, function: Any) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f"sets {name!r}")


class _Dictionary(dict[Any, Any]):
    """The stand-in for an ordered dictionary: what is set on it is forgotten."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        pass


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


_CALLS = {
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Call(lambda tensor, *_: tensor),
    ("torch._utils", "_rebuild_parameter_with_state"): _Call(lambda tensor, *_: tensor),
    ("torch", "Size"): _Call(lambda numbers=(): tuple(numbers)),
    ("collections", "OrderedDict"): _Call(lambda items=(): _Dictionary(items)),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in _OF_TORCH:
            return _Type(name)
        if (module, name) in _CALLS:
            return _CALLS[module, name]
        raise pickle.UnpicklingError(
            f"it holds {module}.{name}, which is not read as it could run code: save tensors alone, as "
            "torch.save({'logits': logits, 'labels': labels}, path)"
        )

    def persistent_load(self, identifier: Any) -> Any:
        what, of_type, key, _, count = identifier
        if what != "storage" or not isinstance(of_type, _Type) or type(count) is not int:
            raise pickle.UnpicklingError("a storage is not described as it should be")
        return _Storage(of_type.name, str(key), count)


def _root(archive: Any) -> str:
    """Return the folder that all members are in."""
    found = [
        name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    if len(found) != 1:
        raise ValueError("it has no data.pkl")
    return str(found[0].split("/")[0])


def _tensors(path: Path) -> dict[str, _Tensor]:
    with path.open("rb") as file:
        begin = file.read(4)
    if not begin.startswith(b"PK"):
        raise DataError(
            f"{path}: not a .pt file as torch.save writes them since PyTorch 1.6: load it, and save it again"
        )
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{_root(archive)}/data.pkl") as file:
            value = _Unpickler(file).load()
        found = _collect(value)
    except _BROKEN as error:
        raise DataError(f"{path}: not to be read as a .pt file: {error}") from error
    if not found:
        raise DataError(f"{path}: has no tensors")
    return found


def _collect(value: Any) -> dict[str, _Tensor]:
    """Return the tensors of dictionaries and lists, by the names and numbers that lead to them."""
    found: dict[str, _Tensor] = {}
    waiting = [(value, "")]
    for _ in range(_MOST):
        if not waiting:
            return found
        value, name = waiting.pop()
        if isinstance(value, _Tensor):
            found[name or "tensor"] = value
        elif isinstance(value, dict | list | tuple):
            items = list(value.items() if isinstance(value, dict) else enumerate(value))
            waiting += [(item, f"{name}.{key}" if name else str(key)) for key, item in items[::-1]]
    raise ValueError(f"it has more than {_MOST:,} parts")
