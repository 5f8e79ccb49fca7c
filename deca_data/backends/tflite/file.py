"""Reads a `.tflite` file into a list of operations and arrays.

The format is the flatbuffer schema of TensorFlow Lite (`schema.fbs`, version 3); the package `tflite` holds
the classes made from it. They check nothing, so every size and index is checked here before it is used.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tflite

from deca_data.backends.tflite.constants import ARRAY_TYPES, ELEMENTS, Damaged, constant, unpacked
from deca_data.backends.tflite.options import NAMES, read_options
from manifests.errors import UsageError

LARGEST_FILE = 64 << 20
"""Bytes; the largest of MediaPipe's face networks has 2.5 MB."""

_MOST = 20_000  # tensors, operations and buffers each; the largest face network has 1,096 tensors
_ALL_ELEMENTS = 1 << 27  # of all tensors together
_RANK = 4

_CONSTANT = ("DEQUANTIZE", "DENSIFY")  # of weights: done once, here


class Operation(NamedTuple):
    """One operation.

    Attributes:
        name: as in the schema, such as CONV_2D; of a custom operation its own name.
        inputs: numbers of tensors; -1 is an input that is left out.
        outputs: numbers of tensors.
        options: the operation's options by their names in the schema.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


class Graph(NamedTuple):
    """A network as a list of operations, in the order in which they run.

    Attributes:
        name: the file, for messages.
        shapes: of each tensor; images are (1, height, width, channels).
        constants: arrays by the number of their tensor; half-precision and sparse ones as dense float32.
        operations: without those that only unpack constants.
        inputs: numbers of tensors.
        outputs: numbers of tensors.
    """

    name: str
    shapes: list[tuple[int, ...]]
    constants: dict[int, np.ndarray]
    operations: list[Operation]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_file(path: Path, entry: str | None = None) -> Graph:
    """Reads a `.tflite` file, or the ``entry`` of a zip archive, as the `.task` files of MediaPipe are.

    Raises:
        UsageError: the file cannot be read, is damaged, or has a part that is not known here.
    """
    name = str(path) if entry is None else f"{path}, {entry}"
    try:
        if entry is None:
            with path.open("rb") as file:
                data = file.read(LARGEST_FILE + 1)
        else:
            with zipfile.ZipFile(path) as archive, archive.open(entry) as file:
                data = file.read(LARGEST_FILE + 1)
    except KeyError:
        raise UsageError(
            f"{path} has no entry {entry!r}: give the archive that holds this network."
        ) from None
    # RuntimeError: the entry is encrypted, or packed in an unknown way
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError) as error:
        raise UsageError(
            f"{name} cannot be read ({error}): install the package that brought it again."
        ) from error
    return read_graph(data, name)


def read_graph(data: bytes, name: str) -> Graph:
    """The network in ``data``; ``name`` is for messages.

    Raises:
        UsageError: the data are damaged, too large, or have a part that is not known here.
    """
    try:
        return _graph(data, name)
    except Damaged as error:
        raise UsageError(f"{name} cannot be used as a network: {error}.") from error
    # What the flatbuffer classes raise where an offset, a length or a name in the file is wrong.
    except (struct.error, ValueError, IndexError, TypeError, OverflowError, RecursionError) as error:
        raise UsageError(f"{name} is damaged: install the package that brought it again.") from error


def _graph(data: bytes, name: str) -> Graph:
    if len(data) > LARGEST_FILE:
        raise Damaged(f"it has more than {LARGEST_FILE >> 20} MB")
    if data[4:8] != b"TFL3":
        raise Damaged("it is not a TensorFlow Lite file of version 3")
    model = tflite.Model.GetRootAs(data, 0)
    if model.SubgraphsLength() != 1:
        raise Damaged(f"it has {model.SubgraphsLength()} graphs, not one")
    graph = _there(model.Subgraphs(0))
    for count in (graph.TensorsLength(), graph.OperatorsLength(), model.BuffersLength()):
        if not 0 < count <= _MOST:
            raise Damaged(f"it has {count} tensors, operations or buffers, not 1 to {_MOST:,}")
    tensors = [_there(graph.Tensors(number)) for number in range(graph.TensorsLength())]
    shapes = [_shape(tensor) for tensor in tensors]
    if sum(map(prod, shapes)) > _ALL_ELEMENTS:
        raise Damaged(f"its tensors have more than {_ALL_ELEMENTS:,} elements")
    constants = {}
    for number, (tensor, shape) in enumerate(zip(tensors, shapes, strict=True)):
        array = constant(model, tensor, shape)
        if array is not None:
            constants[number] = array
    inputs, outputs = (
        _numbers(side, len(shapes)) for side in (graph.InputsAsNumpy(), graph.OutputsAsNumpy())
    )
    operations = _operations(model, graph, tensors, shapes, constants)
    _check_order(operations, inputs, outputs, constants)
    return Graph(name, shapes, constants, operations, inputs, outputs)


def _operations(
    model: Any,
    graph: Any,
    tensors: list[Any],
    shapes: list[tuple[int, ...]],
    constants: dict[int, np.ndarray],
) -> list[Operation]:
    """All operations; those that unpack a constant are done, and their outputs added to ``constants``."""
    found = []
    for number in range(graph.OperatorsLength()):
        operator = _there(graph.Operators(number))
        name = _name(model, operator.OpcodeIndex())
        inputs, outputs = (
            _numbers(side, len(shapes), least)
            for side, least in ((operator.InputsAsNumpy(), -1), (operator.OutputsAsNumpy(), 0))
        )
        if name in _CONSTANT:
            if len(inputs) != 1 or len(outputs) != 1 or inputs[0] not in constants:
                raise Damaged(f"its operation {number}, {name}, has no constant to unpack")
            source, target = inputs[0], outputs[0]
            constants[target] = unpacked(constants[source], tensors[source], shapes[source], shapes[target])
        else:
            found.append(Operation(name, inputs, outputs, read_options(name, operator)))
    return found


def _check_order(
    operations: list[Operation], inputs: tuple[int, ...], outputs: tuple[int, ...], constants: dict[int, Any]
) -> None:
    """Every input was made before it is used, and nothing is made twice."""
    made = {*constants, *inputs}
    if len(made) != len(constants) + len(inputs):
        raise Damaged("an input of it is a constant, or is given twice")
    for number, operation in enumerate(operations):
        if not made.issuperset(each for each in operation.inputs if each >= 0):
            raise Damaged(f"its operation {number}, {operation.name}, uses what is made later")
        if len(operation.outputs) != 1 or not made.isdisjoint(operation.outputs):
            raise Damaged(f"its operation {number}, {operation.name}, has no output of its own")
        made.update(operation.outputs)
    if not inputs or not outputs or not made.issuperset(outputs) or not constants.keys().isdisjoint(outputs):
        raise Damaged("its inputs or outputs are missing")


def _name(model: Any, index: int) -> str:
    if not 0 <= index < model.OperatorCodesLength():
        raise Damaged("it names an operation that it does not list")
    code = _there(model.OperatorCodes(index))
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # older files have the second one only
    if number == tflite.BuiltinOperator.CUSTOM:
        return repr((code.CustomCode() or b"")[:40].decode("ascii", "replace"))[1:-1]
    return NAMES.get(number, str(number))


def _shape(tensor: Any) -> tuple[int, ...]:
    shape = tuple(int(side) for side in _array(tensor.ShapeAsNumpy())[: _RANK + 1])
    if len(shape) > _RANK or any(side < 1 for side in shape) or prod(shape) > ELEMENTS:
        raise Damaged(f"a tensor has the shape {shape}; known are up to 4 axes and {ELEMENTS:,} elements")
    if tensor.Type() not in ARRAY_TYPES:
        raise Damaged(f"a tensor has numbers of the unknown type {tensor.Type()}")
    return shape


def _numbers(found: Any, count: int, least: int = 0) -> tuple[int, ...]:
    numbers = tuple(int(each) for each in _array(found)[:_MOST])
    if any(not least <= each < count for each in numbers):
        raise Damaged("it names a tensor that it does not list")
    return numbers


def _array(found: Any) -> np.ndarray:
    """What the flatbuffer classes give for a vector; for a missing one they give 0."""
    return found if isinstance(found, np.ndarray) else np.zeros(0, np.int32)


def _there(found: Any) -> Any:
    if found is None:
        raise Damaged("a part of it is missing")
    return found
