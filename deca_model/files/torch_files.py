"""Reading torch files of other programs without executing anything from them.

A checkpoint of PyTorch Lightning holds its callbacks and settings as objects of classes that are not
installed here, and a ``model.tar`` may hold numpy numbers; torch refuses such a file as a whole. Only the
tensors are needed, so here every name that is not a tensor's is replaced by ``Foreign``, which does nothing.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from manifests.errors import UsageError


class Foreign(dict):
    """Replaces the classes and functions that a file names, except those of tensors; it stays empty."""

    def __new__(cls, *_: Any, **__: Any) -> Foreign:
        """Ignore the arguments."""
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __call__(self, *_: Any, **__: Any) -> Foreign:
        """The result of a function that another function of the file gave."""
        return Foreign()

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an entry of a dictionary."""

    def __setstate__(self, state: Any) -> None:
        """Ignore the state of an object."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def append(self, value: Any) -> None:
        """Ignore an entry of a list."""

    def extend(self, values: Any) -> None:
        """Ignore entries of a list."""


def read_torch_file(path: Path, hint: str) -> Any:
    """The content of a torch file, with ``Foreign`` in place of all objects that are not plain or tensors.

    Args:
        path: what ``torch.save`` wrote.
        hint: what to do about another file, for the error message.

    Raises:
        UsageError: the file is missing or is no torch file.
    """
    if not path.is_file():
        raise UsageError(f"{path} does not exist: {hint}")
    try:
        if not zipfile.is_zipfile(path):  # torch before 1.6; such a file may hold tensors only
            return torch.load(path, map_location="cpu", weights_only=True)
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(root) as file:
                return _Unpickler(file, archive, root.removesuffix("data.pkl")).load()  # type: ignore[arg-type]
    except Exception as error:  # a damaged file can raise almost any exception
        raise UsageError(f"{path} is not an intact torch file ({type(error).__name__}): {hint}") from error


def why_unreadable(error: Exception) -> str:
    """What is wrong with a file that torch refused, in a few words.

    torch's own text advises to switch its protection off, which is never the answer here.
    """
    if isinstance(error, pickle.UnpicklingError):
        return "it is damaged, or holds more than tensors"
    return (str(error).splitlines() or [type(error).__name__])[0]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive, self._root = archive, root
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return _rebuild_parameter
        return _DTYPES.get(name, Foreign) if module == "torch" else Foreign

    def persistent_load(self, pid: Any) -> Tensor:
        """The flat tensor of a storage, which is a file of the archive."""
        _, dtype, key, _, count = pid
        if key not in self._storages:
            entry = self._archive.getinfo(f"{self._root}data/{key}")
            if entry.compress_type != zipfile.ZIP_STORED:  # torch does not compress; a small file stays small
                raise ValueError("compressed tensors")
            data = bytearray(self._archive.read(entry))
            flat = torch.empty(0, dtype=dtype)
            self._storages[key] = torch.frombuffer(data, dtype=dtype, count=count) if count else flat
        return self._storages[key]


_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def _rebuild_tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)  # torch checks that it fits


def _rebuild_parameter(data: Tensor, *_: Any) -> Tensor:
    return data
