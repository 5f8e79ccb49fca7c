"""Reading pickled model files without executing anything from them.

FLAME's model, its landmark embedding and the VGGFace2 network are published as pickles, and a pickle can run
code. Here only these are allowed: numpy arrays, the tensors in FLAME's embedding, plain containers, and
scipy's sparse matrices and chumpy's arrays, which are replaced by classes that only hold their numbers. Any
other name is an error.
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
    """Replaces ``chumpy.ch.Ch`` and related classes; the attribute ``x`` holds the numbers."""

    x: np.ndarray


class SparseMatrix:
    """Replaces scipy's compressed sparse matrices, by column (``csc``) or by row (``csr``)."""

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
        np.add.at(dense, where, self.data)  # repeated entries are added
        return dense


class RowSparseMatrix(SparseMatrix):
    """A sparse matrix compressed by row."""

    by_column = False


def load_restricted(path: Path) -> Any:
    """Read a pickle (Python 2 or 3), or an ``.npy`` that holds pickled objects.

    Raises:
        UsageError: The file is missing or damaged, or it contains a name that is not allowed.
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
    except Exception as error:  # a damaged pickle can raise almost any exception
        raise UsageError(
            f"{path} is not an intact pickle ({type(error).__name__}): download the file again"
        ) from error


def as_array(value: Any, name: str, path: Path) -> np.ndarray:
    """A numpy array from an array or a replacement object; ``name`` and ``path`` are for the error message.

    Raises:
        UsageError: The value holds no numbers.
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
    """An unpickler for the names in ``_allowed`` only."""

    def __init__(self, file: BinaryIO | io.BufferedReader, path: Path) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote array bytes as text
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        """The replacement, or the harmless original, for a name in the file."""
        found = _allowed(module, name)
        if found is None:
            message = f"{self._path} asks for {module}.{name}, which no model file needs"
            raise UsageError(f"{message}: it was not loaded, download it from its publisher")
        return found


def _allowed(module: str, name: str) -> Any:
    if module == "chumpy" or module.startswith("chumpy."):
        return ChumpyArray
    if module.startswith("scipy.sparse"):
        return {"csc_matrix": SparseMatrix, "csr_matrix": RowSparseMatrix}.get(name)
    module = module.replace("numpy._core", "numpy.core")  # numpy 2 renamed it
    module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)  # Python 2's names
    return _names().get(f"{module}.{name}")


def _names() -> dict[str, Any]:
    """Harmless names; numpy's come from its public functions, so that numpy 1 and 2 both work."""
    return {
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
        "numpy.core.multiarray._reconstruct": np.empty(0).__reduce__()[0],
        "numpy.core.multiarray.scalar": np.float64(0).__reduce__()[0],
        "numpy.core.numeric._frombuffer": _from_buffer,
        "collections.OrderedDict": OrderedDict,
        "_codecs.encode": _encode,
        "copyreg._reconstructor": _reconstruct_object,
        "builtins.object": object,
        "builtins.set": set,
        "builtins.bytes": _empty_bytes,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch.storage._load_from_bytes": _load_storage,
    }


def _read_npy(file: io.BufferedReader, path: Path) -> Any:
    """Read an object array of shape () with the restricted unpickler, and other arrays with numpy."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    dtype = read(file)[2]
    if not dtype.hasobject:
        file.seek(0)
        return np.load(file, allow_pickle=False)
    value = _Unpickler(file, path).load()
    return value[()] if isinstance(value, np.ndarray) and value.shape == () else value


def _empty_bytes() -> bytes:
    """In old protocols, Python 3 writes empty bytes as this call."""
    return b""


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """In old protocols, Python 3 writes bytes as this call; other encodings are not allowed."""
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
    """The numbers of a torch storage, which is another pickle; torch reads it with ``weights_only``."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # typed storages are deprecated, but old files have them
        storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        return torch.tensor(storage.tolist(), dtype=storage.dtype).numpy()


def _rebuild_tensor(storage: np.ndarray, offset: int, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """A torch tensor as an array; torch checks the strides against the storage."""
    import torch

    return torch.as_strided(torch.from_numpy(storage), tuple(size), tuple(stride), offset).numpy().copy()
