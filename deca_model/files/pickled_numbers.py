"""The arrays, sparse matrices and chumpy expressions of a pickle, rebuilt from their plain parts.

numpy's own ``__setstate__`` takes flags from the file, and with wrong flags it reads raw bytes as pointers
to objects. So the unpickler makes no object of numpy, scipy or chumpy, but objects of the classes below. They
keep what the file says, check it, and compute arrays of numbers from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
_ORDERS = ("<", ">", "|", "=")
_LARGEST = 2**27  # numbers in an array; the largest published array has 2**24


class Refused(ValueError):
    """The message says what a file holds that no model file needs."""


class Pickled:
    """Replaces an object of a pickle; ``__setstate__`` gets the object's state from the file."""

    __slots__ = ("_found", "_state")

    def __setstate__(self, state: Any) -> None:
        """Keep the state; it is checked when the numbers are computed."""
        self._state = state

    def numbers(self) -> np.ndarray:
        """The numbers; each object is computed once, however often a file refers to it.

        Raises:
            Exception: any, if the state is damaged.
        """
        if not hasattr(self, "_found"):
            self._found = self._compute(self._state)
        return self._found

    def _compute(self, state: Any) -> np.ndarray:
        raise Refused(f"an object {type(self).__name__}")


class NumberType(Pickled):
    """Replaces ``numpy.dtype``: a type of plain numbers, or the type of objects."""

    __slots__ = ("code", "order")

    def __init__(self, code: str, *_: Any) -> None:
        self.code, self.order = code, "="
        if code not in ("O8", "O4", "O") and not _NUMBERS.fullmatch(code):
            raise Refused(f"an array of type {code[:20]!r}")

    def __setstate__(self, state: Any) -> None:
        """Take the byte order; all else must have the value that plain numbers have."""
        _, self.order, *rest = state
        flags = 63 if self.is_object else 0  # the value that numpy writes; it is not used
        if self.order not in _ORDERS or rest[:6] != [None, None, None, -1, -1, flags] or any(rest[6:]):
            raise Refused(f"an array type {self.code!r} with changed flags or fields")

    @property
    def is_object(self) -> bool:
        """Whether it is the type of Python objects."""
        return self.code.startswith("O")

    def read(self, data: Any, shape: Any = (-1,), order: Any = "C") -> np.ndarray:
        """An array of raw bytes, in the machine's byte order; the shape must fit the bytes."""
        if self.is_object:
            raise Refused("an array of objects")
        plain = np.frombuffer(raw_bytes(data), self.code if self.order in "|=" else self.order + self.code)
        return plain.reshape(shape, order=order).astype(plain.dtype.newbyteorder("="))


class PlainArray(Pickled):
    """Replaces ``numpy.ndarray``. An array of objects may only hold one object, as ``numpy.save`` writes."""

    __slots__ = ("value",)

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __setstate__(self, state: Any) -> None:
        """Rebuild the array from version, shape, type, order and bytes."""
        _, shape, kind, by_column, data = state
        if not kind.is_object:
            self.value = kind.read(data, checked_shape(shape), "F" if by_column else "C")
        elif shape == () and isinstance(data, list):
            (self.value,) = data
        else:
            raise Refused("an array of objects")

    def numbers(self) -> np.ndarray:
        """The numbers."""
        return numbers(self.value)


class SparseMatrix(Pickled):
    """Replaces scipy's sparse matrices and arrays; a subclass for each format."""

    __slots__ = ()

    def _compute(self, state: Any) -> np.ndarray:
        shape = checked_shape(state["_shape"])
        rows, columns = self._places(state, shape)
        data = numbers(state["data"])
        if len(shape) != 2 or not data.shape == rows.shape == columns.shape:
            raise ValueError("the parts of a sparse matrix have different lengths")
        dense = np.zeros(shape, data.dtype)
        np.add.at(dense, (rows, columns), data)  # repeated entries are added; numpy checks the indices
        return dense

    def _places(self, state: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the entries."""
        raise NotImplementedError


class CoordinateMatrix(SparseMatrix):
    """A list of entries with row and column (``coo``); new scipy has both in one tuple."""

    __slots__ = ()

    def _places(self, state: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = state["coords"] if "coords" in state else (state["row"], state["col"])
        return numbers(rows), numbers(columns)


class RowMatrix(SparseMatrix):
    """Compressed by row (``csr``)."""

    __slots__ = ()

    def _places(self, state: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        return _outer(state, shape[0]), numbers(state["indices"])


class ColumnMatrix(SparseMatrix):
    """Compressed by column (``csc``)."""

    __slots__ = ()

    def _places(self, state: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        return numbers(state["indices"]), _outer(state, shape[1])


class Expression(Pickled):
    """Replaces a chumpy object. A subclass has the name of the chumpy class; it selects the computation."""

    __slots__ = ()

    def _compute(self, state: Any) -> np.ndarray:
        name = type(self).__name__
        if name not in _EXPRESSIONS:
            raise Refused(f"the chumpy expression {name[:80]!r}")
        return _EXPRESSIONS[name](state)


def numbers(value: Any) -> np.ndarray:
    """The numbers of a replaced object, an array, a list or a number.

    Raises:
        Exception: any, if the value holds no numbers or too many.
    """
    array = value.numbers() if isinstance(value, Pickled) else np.asarray(value)
    if array.dtype.kind not in "biuf" or array.size > _LARGEST:
        raise Refused("no numbers")
    return array


def checked_shape(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple of numbers from 0 up, and not too many numbers in all."""
    sides = tuple(int(side) for side in shape)
    if min(sides, default=0) < 0 or math.prod(sides) > _LARGEST:
        raise ValueError(f"an array cannot have the shape {sides}")
    return sides


def raw_bytes(data: Any) -> bytes:
    """Bytes; Python 2 wrote them as text, which the unpickler reads as latin1."""
    return data.encode("latin1") if isinstance(data, str) else bytes(data)


def _outer(state: Any, count: int) -> np.ndarray:
    """The row, or column, of each entry of a compressed matrix."""
    ends = numbers(state["indptr"])
    entries = len(numbers(state["data"]))
    if ends.shape != (count + 1,) or ends[0] != 0 or ends[-1] != entries or (np.diff(ends) < 0).any():
        raise ValueError("the parts of a sparse matrix do not fit")
    return np.repeat(np.arange(count), np.diff(ends))


def _select(state: Any) -> np.ndarray:
    """Entries by their number in the flat array."""
    chosen = numbers(state["a"]).ravel()[numbers(state["idxs"])]
    return chosen.reshape(state["preferred_shape"]) if "preferred_shape" in state else chosen


def _concatenate(state: Any) -> np.ndarray:
    parts = [numbers(state[name]) for name in state["dterms"]]
    if sum(part.size for part in parts) > _LARGEST:
        raise ValueError("too many numbers")
    return np.concatenate(parts, axis=state["axis"])


def _atleast(state: Any) -> np.ndarray:
    return {1: np.atleast_1d, 2: np.atleast_2d, 3: np.atleast_3d}[state["ndims"]](numbers(state["x"]))


_EXPRESSIONS: dict[str, Callable[[Any], np.ndarray]] = {
    "Ch": lambda state: numbers(state["x"]),
    "Select": _select,
    "Concatenate": _concatenate,
    "Reshape": lambda state: numbers(state["a"]).reshape(state["newshape"]),
    "AtleastNd": _atleast,
    "transpose": lambda state: numbers(state["a"]).transpose(state.get("axes")),
    "swapaxes": lambda state: numbers(state["a"]).swapaxes(state["axis1"], state["axis2"]),
}
"""The computations: indexing, concatenation, reshaping and transposition; others are refused."""
