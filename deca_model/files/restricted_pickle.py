"""Reading pickled model files without executing anything from them.

FLAME's model, its landmark embedding and the VGGFace2 network come as pickles, and a pickle is a program.
Here only these are let in: numpy arrays, the tensors that sit in FLAME's embedding, plain containers, and
stand-ins for scipy's sparse matrices and chumpy's arrays, of which only the numbers are wanted. Any other
name stops the reading.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from manifests.errors import UsageError


class ChumpyArray:
    """Stands in for ``chumpy.ch.Ch`` and its kin; the numbers are its attribute ``x``."""

    x: np.ndarray


class SparseMatrix:
    """Stands in for scipy's compressed sparse matrices, by column (``csc``) or by row (``csr``)."""

    by_column = True
    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    _shape: tuple[int, int]

    def to_dense(self) -> np.ndarray:
        """The matrix as an array."""
        dense = np.zeros(self._shape, dtype=np.asarray(self.data).dtype)
        outer = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        where = (self.indices, outer) if self.by_column else (outer, self.indices)
        np.add.at(dense, where, self.data)  # entries given twice count twice
        return dense


class RowSparseMatrix(SparseMatrix):
    """A sparse matrix compressed by row."""

    by_column = False


def load_restricted(path: Path) -> Any:
    """Reads a pickle (Python 2 or 3), or an ``.npy`` that holds pickled objects.

    Raises:
        UsageError: The file is missing, damaged, or asks for anything but numbers.
    """
    try:
        with open(path, "rb") as file:
            if file.peek(6).startswith(b"\x93NUMPY"):
                return _read_npy(file, path)
            return _Unpickler(file, path).load()
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist: check the path") from None
    except UsageError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise UsageError(
            f"{path} is not an intact pickle ({type(error).__name__}): get the file anew"
        ) from error


def as_array(value: Any, name: str, path: Path) -> np.ndarray:
    """The numbers of an array in any of the forms that model files use.

    Args:
        value: A numpy array, or a stand-in.
        name: What it is called in the file, for the message.
        path: The file, for the message.

    Raises:
        UsageError: It holds no numbers.
    """
    if isinstance(value, SparseMatrix):
        value = value.to_dense()
    elif isinstance(value, ChumpyArray):
        value = getattr(value, "x", None)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise UsageError(f"'{name}' in {path} is no array of numbers: use the file as it was published")
    return array


class _Unpickler(pickle.Unpickler):
    """Lets in only the names listed in ``_allowed``."""

    def __init__(self, file: BinaryIO | io.BufferedReader, path: Path) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote array bytes as text
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in or harmless original for a name in the file."""
        found = _allowed(module, name)
        if found is None:
            message = f"{self._path} asks for {module}.{name}, which no model file needs"
            raise UsageError(f"{message}: it was not loaded, get the file from its publisher")
        return found


def _allowed(module: str, name: str) -> Any:
    if module == "chumpy" or module.startswith("chumpy."):
        return ChumpyArray
    if module.startswith("scipy.sparse"):
        return {"csc_matrix": SparseMatrix, "csr_matrix": RowSparseMatrix}.get(name)
    module = module.replace("numpy._core", "numpy.core")  # numpy 2 renamed it
    return _names().get(f"{module}.{name}")


def _names() -> dict[str, Any]:
    """Harmless names, found through numpy's public functions so that numpy 1 and 2 both serve."""
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    return {
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
        "numpy.core.multiarray._reconstruct": reconstruct,
        "numpy.core.multiarray.scalar": scalar,
        "numpy.core.numeric._frombuffer": _from_buffer,
        "collections.OrderedDict": OrderedDict,
        "_codecs.encode": _encode,
        "copy_reg._reconstructor": _reconstruct_object,
        "copyreg._reconstructor": _reconstruct_object,
        "__builtin__.object": object,
        "__builtin__.set": set,
        "__builtin__.bytes": _empty_bytes,
        "builtins.object": object,
        "builtins.set": set,
        "builtins.bytes": _empty_bytes,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch.storage._load_from_bytes": _load_storage,
    }


def _read_npy(file: io.BufferedReader, path: Path) -> Any:
    """An object array of shape (), read through the restricted unpickler; other arrays as they are."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    dtype = read(file)[2]
    if not dtype.hasobject:
        file.seek(0)
        return np.load(file, allow_pickle=False)
    value = _Unpickler(file, path).load()
    return value[()] if isinstance(value, np.ndarray) and value.shape == () else value


def _empty_bytes() -> bytes:
    """Python 3 writes empty bytes as a call in old protocols."""
    return b""


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """Python 3 writes bytes this way in old protocols; other codecs have no business here."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"unexpected encoding {encoding}")
    return text.encode("latin1")


def _reconstruct_object(kind: type, base: type, state: Any) -> Any:
    if not (isinstance(kind, type) and issubclass(kind, ChumpyArray | SparseMatrix)):
        raise ValueError("unexpected object")
    return kind()


def _from_buffer(buffer: bytes, dtype: Any, shape: Any, order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)  # type: ignore[call-overload]


def _load_storage(data: bytes) -> np.ndarray:
    """The numbers of a torch storage, which is again a pickle: torch reads it in its own restricted way."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # storages with a type are deprecated, but old files have them
        storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return torch.tensor(storage.tolist(), dtype=storage.dtype).numpy()


def _rebuild_tensor(storage: np.ndarray, offset: int, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """A torch tensor as an array; the strides are checked by torch against the storage."""
    import torch

    return torch.as_strided(torch.from_numpy(storage), tuple(size), tuple(stride), offset).numpy().copy()
