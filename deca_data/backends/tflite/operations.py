"""The operations of TensorFlow Lite as torch modules, each made from what the file says.

Images are (batch, channels, height, width) here, in channels-last memory: so those of the file, which are
(batch, height, width, channels), need no copying. Tensors with fewer axes are as in the file. What an
operation computes is stated by the reference kernels of TensorFlow Lite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deca_data.backends.tflite.common import (
    Pads,
    activation_of,
    array_of,
    broadcast_to,
    computed,
    expect,
    padding_of,
)
from deca_data.backends.tflite.constants import Damaged
from deca_data.backends.tflite.file import Graph, Operation
from deca_data.backends.tflite.shaping import SHAPING

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "RELU": F.relu,
    "HARD_SWISH": F.hardswish,
    "LOGISTIC": torch.sigmoid,
}


class Step(NamedTuple):
    """An operation as a module, and the numbers of the tensors that it is called with."""

    module: nn.Module
    inputs: tuple[int, ...]


class Function(nn.Module):
    """A function without weights."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        """The function's value."""
        return self.function(*inputs)


class Convolution(nn.Module):
    """CONV_2D and DEPTHWISE_CONV_2D, with bias and activation."""

    weight: Tensor
    bias: Tensor

    def __init__(self, graph: Graph, operation: Operation, shape: tuple[int, ...], pads: Pads | None) -> None:
        super().__init__()
        options = operation.options
        weight, bias = (torch.from_numpy(array_of(graph, number)) for number in operation.inputs[1:3])
        self.groups = 1
        if operation.name == "DEPTHWISE_CONV_2D":
            expect(weight.shape[0] == 1 and options["DepthMultiplier"] == 1, operation)
            weight, self.groups = weight.transpose(0, 3), shape[3]
        self.stride = (options["StrideH"], options["StrideW"])
        expect(options["DilationHFactor"] == options["DilationWFactor"] == 1, operation)
        expect(bias.shape == weight.shape[:1] and shape[3] == weight.shape[3] * self.groups, operation)
        kernel = (weight.shape[1], weight.shape[2])
        pads = pads or padding_of(operation, shape, kernel)
        weight = weight.permute(0, 3, 1, 2)
        # torch pads both sides alike: where TensorFlow pads one side more, the kernel is widened by zeros
        rows, columns = (after - before for before, after in pads)
        expect(rows >= 0 and columns >= 0, operation)
        weight = F.pad(weight, (columns, 0, rows, 0))
        self.padding = (pads[0][1], pads[1][1])
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.activation = activation_of(operation)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        made = F.conv2d(images, self.weight, self.bias, self.stride, self.padding, 1, self.groups)
        return made if self.activation is None else self.activation(made)


class TransposedConvolution(nn.Module):
    """Convolution2DTransposeBias, MediaPipe's own operation: a transposed convolution with a bias."""

    weight: Tensor
    bias: Tensor

    def __init__(self, graph: Graph, operation: Operation) -> None:
        super().__init__()
        options, shape = operation.options, graph.shapes[operation.inputs[0]]
        weight, bias = (torch.from_numpy(array_of(graph, number)) for number in operation.inputs[1:3])
        self.stride = (options["StrideH"], options["StrideW"])
        expect(bias.shape == weight.shape[:1] and shape[3] == weight.shape[3], operation)
        # where kernel and stride are alike, both kinds of padding are none
        expect(self.stride == tuple(weight.shape[1:3]), operation)
        self.register_buffer("weight", weight.permute(3, 0, 1, 2).contiguous())
        self.register_buffer("bias", bias)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        return F.conv_transpose2d(images, self.weight, self.bias, self.stride)


class Slope(nn.Module):
    """PRELU with one slope for each channel."""

    slope: Tensor

    def __init__(self, graph: Graph, operation: Operation) -> None:
        super().__init__()
        slope = torch.from_numpy(array_of(graph, operation.inputs[1]))
        channels = graph.shapes[operation.inputs[0]][-1]
        expect(slope.shape[-1:] == (channels,) and slope.numel() == channels, operation)
        self.register_buffer("slope", slope.flatten())

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W), as given."""
        return F.prelu(images, self.slope)


class Arithmetic(nn.Module):
    """ADD and MUL of two tensors, or of a tensor and a constant, with activation."""

    constant: Tensor | None

    def __init__(self, graph: Graph, operation: Operation) -> None:
        super().__init__()
        self.function = torch.add if operation.name == "ADD" else torch.mul
        fixed = [graph.constants[number] for number in operation.inputs if number in graph.constants]
        axes = len(graph.shapes[operation.outputs[0]])
        self.register_buffer("constant", broadcast_to(fixed[0], axes) if fixed else None)
        expect(len(operation.inputs) - len(fixed) in (1, 2) and len(operation.inputs) == 2, operation)
        expect(all(len(graph.shapes[one]) == axes for one in computed(graph, operation)), operation)
        self.activation = activation_of(operation)

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        """The sum or product of both, or of the first one and the constant."""
        other = self.constant if second is None else second
        assert other is not None  # as in the file
        made = self.function(first, other)
        return made if self.activation is None else self.activation(made)


def make_step(graph: Graph, operation: Operation, pads: Pads | None = None) -> Step:
    """The module of an operation.

    Args:
        graph: the network that it belongs to.
        operation: the operation, not one of the attention mesh (see `attention.py`).
        pads: of a convolution, in place of those by its options.

    Raises:
        Damaged: the operation is not known here, or its options and shapes do not fit together.
    """
    expect(bool(operation.inputs) and min(operation.inputs) >= 0, operation)
    inputs = computed(graph, operation)
    if operation.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        expect(len(operation.inputs) == 3 and len(inputs) == 1, operation)
        return Step(Convolution(graph, operation, graph.shapes[inputs[0]], pads), inputs)
    if operation.name in _WITH_WEIGHTS:
        return Step(_WITH_WEIGHTS[operation.name](graph, operation), inputs)
    if operation.name in _FUNCTIONS:
        return Step(Function(_FUNCTIONS[operation.name]), inputs)
    if operation.name not in SHAPING:
        raise Damaged(f"its operation {operation.name} is not known here")
    return Step(Function(SHAPING[operation.name](graph, operation)), inputs)


_WITH_WEIGHTS: dict[str, Callable[[Graph, Operation], nn.Module]] = {
    "ADD": Arithmetic,
    "MUL": Arithmetic,
    "PRELU": Slope,
    "Convolution2DTransposeBias": TransposedConvolution,
}
