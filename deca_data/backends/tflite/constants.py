"""Constant arrays of a `.tflite` file: plain, in half precision, and sparse."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import tflite

ELEMENTS = 1 << 24
"""Most elements of one tensor."""

ARRAY_TYPES: dict[int, type[np.generic]] = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}

_INDEX_TYPES: dict[int, tuple[Any, type[np.generic]]] = {
    tflite.SparseIndexVector.Int32Vector: (tflite.Int32Vector, np.int32),
    tflite.SparseIndexVector.Uint16Vector: (tflite.Uint16Vector, np.uint16),
    tflite.SparseIndexVector.Uint8Vector: (tflite.Uint8Vector, np.uint8),
}


class Damaged(Exception):
    """What is wrong with a file: the part of a sentence that follows its name."""


def constant(model: Any, tensor: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """The values of a tensor, a copy; flat for a sparse one, and None where they are computed.

    Raises:
        Damaged: the tensor has no buffer, or one of another size.
    """
    number = tensor.Buffer()
    if not 0 <= number < model.BuffersLength():
        raise Damaged("a tensor names a buffer that is not listed")
    buffer = model.Buffers(number)
    raw = buffer.DataAsNumpy() if buffer is not None else 0
    if not isinstance(raw, np.ndarray) or not len(raw):
        return None
    kind = np.dtype(ARRAY_TYPES[tensor.Type()]).newbyteorder("<")
    expected = prod(shape) * kind.itemsize
    if tensor.Sparsity() is not None:
        if len(raw) > expected or len(raw) % kind.itemsize:
            raise Damaged(f"a sparse tensor of the shape {shape} has {len(raw)} bytes")
        return np.frombuffer(raw.tobytes(), kind).astype(kind.newbyteorder("="))
    if len(raw) != expected:
        raise Damaged(f"a tensor of the shape {shape} has {len(raw)} bytes, not {expected}")
    return np.frombuffer(raw.tobytes(), kind).astype(kind.newbyteorder("=")).reshape(shape)


def unpacked(values: np.ndarray, tensor: Any, shape: tuple[int, ...], target: tuple[int, ...]) -> np.ndarray:
    """What DEQUANTIZE and DENSIFY make of a constant: dense float32.

    Raises:
        Damaged: the shapes differ, or the numbers are not floats.
    """
    sparsity = tensor.Sparsity()
    if shape != target or values.dtype not in (np.float16, np.float32):
        raise Damaged("a constant is unpacked to another shape, or has no fractions")
    values = values.astype(np.float32)
    return values if sparsity is None or values.shape == shape else _dense(values, sparsity, shape)


def _dense(values: np.ndarray, sparsity: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The array of a sparse tensor without blocks, whose axes are stored in their order.

    Each axis is dense or compressed (as in the CSR format): going along the axes, ``places`` are the flat
    indices that are stored so far, and ``rows`` their places in the arrays of the next axis.
    """
    order = sparsity.TraversalOrderAsNumpy()
    if not isinstance(order, np.ndarray) or order[:5].tolist() != list(range(len(shape))):
        raise Damaged("a sparse tensor is stored in blocks or in another order, which is not known here")
    if sparsity.DimMetadataLength() != len(shape):
        raise Damaged("a sparse tensor has not one description for each axis")
    places, rows = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for axis, side in enumerate(shape):
        described = sparsity.DimMetadata(axis)
        if described.Format() == tflite.DimensionType.DENSE:
            if described.DenseSize() != side:
                raise Damaged("a sparse tensor has two different shapes")
            places = (places[:, None] * side + np.arange(side)).ravel()
            rows = (rows[:, None] * side + np.arange(side)).ravel()
        else:
            places, rows = _compressed(described, places, rows, side)
    if len(values) < len(rows) or (len(rows) and rows.max() >= len(values)):
        raise Damaged("a sparse tensor has fewer values than places")
    dense = np.zeros(prod(shape), np.float32)
    dense[places] = values[rows]
    return dense.reshape(shape)


def _compressed(
    described: Any, places: np.ndarray, rows: np.ndarray, side: int
) -> tuple[np.ndarray, np.ndarray]:
    """``places`` and ``rows`` after a compressed axis with ``side`` elements."""
    segments = _index(described.ArraySegments(), described.ArraySegmentsType())
    indices = _index(described.ArrayIndices(), described.ArrayIndicesType())
    if rows.max(initial=0) + 1 >= len(segments):
        raise Damaged("a sparse tensor has too few rows")
    first, last = segments[rows], segments[rows + 1]
    counts = last - first
    if (counts < 0).any() or (counts > side).any() or last.max(initial=0) > len(indices):
        raise Damaged("a sparse tensor has rows of a wrong length")
    if (indices < 0).any() or (indices >= side).any():
        raise Damaged("a sparse tensor has values outside of its shape")
    starts = np.repeat(first - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    rows = starts + np.arange(int(counts.sum()))
    return np.repeat(places, counts) * side + indices[rows], rows


def _index(table: Any, kind: int) -> np.ndarray:
    if table is None or kind not in _INDEX_TYPES:
        raise Damaged("a sparse tensor has no indices")
    made = _INDEX_TYPES[kind][0]()
    made.Init(table.Bytes, table.Pos)
    found = made.ValuesAsNumpy()
    return found.astype(np.int64) if isinstance(found, np.ndarray) else np.zeros(0, np.int64)
