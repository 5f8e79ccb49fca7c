"""Reading pickled model files without executing anything from them.

FLAME's model, its landmark embedding and the VGGFace2 network are published as pickles, and a pickle can run
code. Here only these are allowed: plain containers, and numpy arrays, scipy's sparse matrices, chumpy's
arrays and the tensors in FLAME's embedding, which are rebuilt from plain parts (``pickled_numbers``). Any
other name is an error. The unpickler is the standard library's one that is written in Python: its operations
can be replaced, and it does not allocate memory for sizes that a damaged file gives.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from deca_model.files.pickled_numbers import (
    ColumnMatrix,
    CoordinateMatrix,
    Expression,
    NumberType,
    Pickled,
    PlainArray,
    Refused,
    RowMatrix,
    checked_shape,
    numbers,
    raw_bytes,
)
from manifests.errors import UsageError
from manifests.files import read_file


def load_restricted(path: Path) -> Any:
    """Read a pickle (Python 2 or 3), or an ``.npy`` that holds pickled objects.

    Returns:
        The content. It and the values of its dictionary are arrays where the file has arrays of numbers;
        sparse matrices and chumpy expressions are for ``as_array``.

    Raises:
        UsageError: The file is missing or damaged, or it contains something that is not allowed.
    """
    try:
        data = read_file(path)
    except OSError as error:
        reason = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        )
        raise UsageError(f"{path} {reason}: check the path") from None
    try:
        content = _plain(_read_npy(data) if data.startswith(b"\x93NUMPY") else _Unpickler(data).load())
        if isinstance(content, dict):
            return {key: _plain(value) for key, value in content.items()}
        return content
    except Refused as error:
        raise UsageError(
            f"{path} asks for {error}, which no model file needs: it was not loaded, "
            "download it from its publisher"
        ) from None
    except Exception as error:  # a damaged pickle can raise almost any exception
        raise UsageError(
            f"{path} is not an intact pickle ({type(error).__name__}): download the file again"
        ) from error


def as_array(value: Any, name: str, path: Path) -> np.ndarray:
    """A numpy array from a value of ``load_restricted``; ``name`` and ``path`` are for the error message.

    Raises:
        UsageError: The value holds no numbers.
    """
    try:
        return numbers(value)
    except Exception as error:  # a damaged expression can raise almost any exception
        reason = f"it asks for {error}" if isinstance(error, Refused) else type(error).__name__
        raise UsageError(
            f"'{name}' in {path} is no array of numbers ({reason}): use the file as it was published"
        ) from None


_PythonUnpickler: Any = vars(pickle)["_Unpickler"]


class _Unpickler(_PythonUnpickler):
    """An unpickler for the names in ``_allowed`` only, which sets the state of ``Pickled`` objects only."""

    dispatch: ClassVar[dict[int, Any]] = dict(_PythonUnpickler.dispatch)
    for _code in (pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX,
                  pickle.FROZENSET, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER):  # fmt: skip
        del dispatch[_code[0]]  # no model file needs these

    def __init__(self, data: bytes | io.BytesIO) -> None:
        # Python 2 wrote array bytes as text.
        super().__init__(io.BytesIO(data) if isinstance(data, bytes) else data, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """The replacement, or the harmless original, for a name in the file."""
        found = _allowed(module, name)
        if found is None:
            raise Refused(repr(f"{module}.{name}"[:80])[1:-1])  # a damaged name may have line ends
        return found

    def persistent_load(self, pid: Any) -> Any:
        """The description of a torch storage, see ``_load_storage``."""
        return pid

    def load_build(self) -> None:
        """Set the state of an object."""
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, Pickled):
            target.__setstate__(state)
        elif not isinstance(
            target, OrderedDict
        ):  # torch adds a note to its dictionaries, which is not needed
            raise ValueError("unexpected state")

    dispatch[pickle.BUILD[0]] = load_build

    def load_bytearray8(self) -> None:
        """Read as many bytes as there are, whatever the file says."""
        (count,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(count)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def load_dict(self) -> None:
        """A dictionary from keys and values in turn."""
        items = self.pop_mark()
        self.append(_with_entries({}, items))

    dispatch[pickle.DICT[0]] = load_dict

    def load_setitem(self) -> None:
        """One entry of a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        _with_entries(self.stack[-1], [key, value])

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        """Several entries of a dictionary."""
        items = self.pop_mark()
        _with_entries(self.stack[-1], items)

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def load_additems(self) -> None:
        """Entries of a set."""
        items = self.pop_mark()
        self.stack[-1].update(_set(items))

    dispatch[pickle.ADDITEMS[0]] = load_additems


def _with_entries(target: Any, items: list[Any]) -> Any:
    """Add keys and values in turn. Entries with other keys than names and numbers are left out.

    Python's hash of a deeply nested tuple overflows the stack.
    """
    if not isinstance(target, dict):
        raise ValueError("entries of an object that is no dictionary")
    pairs = zip(items[::2], items[1::2], strict=True)
    target.update((key, value) for key, value in pairs if isinstance(key, str | bytes | int | float))
    return target


def _set(items: Any = ()) -> set[Any]:
    return {item for item in items if isinstance(item, str | bytes | int | float)}


def _allowed(module: str, name: str) -> Any:
    if module == "chumpy" or module.startswith("chumpy."):
        return type(name, (Expression,), {"__slots__": ()})
    if module.startswith("scipy.sparse"):
        kinds = {"csc": ColumnMatrix, "csr": RowMatrix, "coo": CoordinateMatrix}
        kind, _, rest = name.partition("_")
        return kinds.get(kind) if rest in ("matrix", "array") else None
    module = module.replace("numpy._core", "numpy.core")  # numpy 2 renamed it
    module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)  # Python 2's names
    return _NAMES.get(f"{module}.{name}")


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, PlainArray) else value


def _read_npy(data: bytes) -> Any:
    """Read an object array of shape () with the restricted unpickler, and other arrays with numpy."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    dtype = read(file)[2]
    if dtype.hasobject:
        return _Unpickler(file).load()
    file.seek(0)
    return np.load(file, allow_pickle=False)


def _reconstruct_array(kind: Any, *_: Any) -> PlainArray:
    if kind is not PlainArray:
        raise ValueError("unexpected kind of array")
    return PlainArray()


def _array_of_buffer(buffer: Any, kind: NumberType, shape: Any, order: str) -> PlainArray:
    return PlainArray(kind.read(buffer, checked_shape(shape), order))


def _scalar(kind: NumberType, data: Any) -> Any:
    (number,) = kind.read(data)
    return number


def _empty_bytes() -> bytes:
    """In old protocols, Python 3 writes empty bytes as this call."""
    return b""


def _encode(text: str, encoding: str = "latin1") -> bytes:
    """In old protocols, Python 3 writes bytes as this call; other encodings are not allowed."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"unexpected encoding {encoding}")
    return raw_bytes(text)


def _reconstruct_object(kind: type, base: type, state: Any) -> Any:
    if not (isinstance(kind, type) and issubclass(kind, Pickled)):
        raise ValueError("unexpected object")
    return kind()


def _ordered(items: Any = ()) -> OrderedDict[Any, Any]:
    return _with_entries(OrderedDict(), [part for pair in items for part in pair])


def _load_storage(data: bytes) -> np.ndarray:
    """The numbers of a torch storage: five pickles, the fourth describes the storage; count; raw numbers."""
    file = io.BytesIO(raw_bytes(data))
    _, _, system, storage, _ = (_Unpickler(file).load() for _ in range(5))
    kind = NumberType(storage[1])
    kind.order = "<" if system["little_endian"] else ">"
    (count,) = struct.unpack("<q", file.read(8))
    return kind.read(file.read(), checked_shape([count]))


def _rebuild_tensor(storage: np.ndarray, offset: int, size: Any, stride: Any, *_: Any) -> PlainArray:
    """A torch tensor as an array; numpy checks the indices."""
    sides = checked_shape(size)
    place = np.asarray(int(offset))
    if np.prod(sides) > storage.size:
        raise ValueError("the tensor is larger than its storage")
    for side, step in zip(sides, stride, strict=True):
        place = np.add.outer(place, np.arange(side) * int(step))
    return PlainArray(storage[place])


_NAMES = {
    "numpy.ndarray": PlainArray,
    "numpy.dtype": NumberType,
    "numpy.core.multiarray._reconstruct": _reconstruct_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _array_of_buffer,
    "collections.OrderedDict": _ordered,
    "_codecs.encode": _encode,
    "copyreg._reconstructor": _reconstruct_object,
    "builtins.object": object,
    "builtins.set": _set,
    "builtins.bytes": _empty_bytes,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch.storage._load_from_bytes": _load_storage,
    **{
        f"torch.{name}Storage": code
        for name, code in [("Float", "f4"), ("Double", "f8"), ("Half", "f2"), ("Long", "i8"), ("Int", "i4"),
                           ("Short", "i2"), ("Char", "i1"), ("Byte", "u1"), ("Bool", "b1")]
    },
}  # fmt: skip
"""What a file may name, and what is used in its place."""
