"""What the operations share: the order of axes, paddings, activations, and checks of what a file says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tflite
import torch
import torch.nn.functional as F
from torch import Tensor

from deca_data.backends.tflite.constants import Damaged
from deca_data.backends.tflite.file import Graph, Operation

Pads = tuple[tuple[int, int], tuple[int, int]]
"""Rows above and below, and columns to the left and to the right."""

_SAME, _VALID = tflite.Padding.SAME, tflite.Padding.VALID
LARGEST_PAD = 1024

_FUSED: dict[int, Callable[[Tensor], Tensor] | None] = {
    tflite.ActivationFunctionType.NONE: None,
    tflite.ActivationFunctionType.RELU: F.relu_,
    tflite.ActivationFunctionType.RELU6: lambda x: x.clamp_(0, 6),
}


def inner(tensor: Tensor) -> Tensor:
    """A tensor in the order of axes that is used here, from that of the file."""
    return tensor.permute(0, 3, 1, 2) if tensor.dim() == 4 else tensor


def outer(tensor: Tensor) -> Tensor:
    """A tensor in the file's order of axes."""
    return tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor


def padding_of(operation: Operation, shape: tuple[int, ...], kernel: tuple[int, int]) -> Pads:
    """The padding of a convolution or pool; with SAME, an odd row or column comes after the image."""
    expect(len(shape) == 4 and operation.options["Padding"] in (_SAME, _VALID), operation)
    strides = (operation.options["StrideH"], operation.options["StrideW"])
    expect(min(strides) > 0 and max(strides) <= LARGEST_PAD, operation)
    if operation.options["Padding"] == _VALID:
        return (0, 0), (0, 0)
    first, second = (
        max((-(-size // stride) - 1) * stride + side - size, 0)
        for size, side, stride in zip(shape[1:3], kernel, strides, strict=True)
    )
    return (first // 2, first - first // 2), (second // 2, second - second // 2)


def activation_of(operation: Operation) -> Callable[[Tensor], Tensor] | None:
    """The activation that is part of an operation; it may work in place."""
    number = operation.options["FusedActivationFunction"]
    expect(number in _FUSED, operation)
    return _FUSED[number]


def computed(graph: Graph, operation: Operation) -> tuple[int, ...]:
    """The inputs that are no constants."""
    return tuple(number for number in operation.inputs if number not in graph.constants)


def array_of(graph: Graph, number: int) -> np.ndarray:
    """A constant.

    Raises:
        Damaged: it is none.
    """
    if number not in graph.constants:
        raise Damaged("weights of it are computed, which is not known here")
    return graph.constants[number]


def broadcast_to(constant: np.ndarray, axes: int) -> Tensor:
    """A constant with as many axes as the tensor that it is added to."""
    if constant.ndim > axes:
        raise Damaged("a constant has more axes than what it is added to")
    return inner(torch.from_numpy(constant.reshape((1,) * (axes - constant.ndim) + constant.shape)))


def expect(true: bool, operation: Operation) -> None:
    """Makes sure of something.

    Raises:
        Damaged: it is not true; the message names the operation.
    """
    if not true:
        raise Damaged(f"an operation {operation.name} has options or shapes that are not known here")
