"""The operations of TensorFlow Lite as torch modules, each made from what the file says.

Images are (batch, channels, height, width) here, in channels-last memory: so those of the file, which are
(batch, height, width, channels), need no copying. Tensors with fewer axes are as in the file. What an
operation computes is stated by the reference kernels of TensorFlow Lite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tflite
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deca_data.backends.tflite.constants import Damaged
from deca_data.backends.tflite.file import Graph, Operation

Pads = tuple[tuple[int, int], tuple[int, int]]
"""Rows above and below, and columns to the left and to the right."""

_SAME, _VALID = tflite.Padding.SAME, tflite.Padding.VALID
_LARGEST_PAD = 1024

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "RELU": F.relu,
    "HARD_SWISH": F.hardswish,
    "LOGISTIC": torch.sigmoid,
}

_FUSED: dict[int, Callable[[Tensor], Tensor] | None] = {
    tflite.ActivationFunctionType.NONE: None,
    tflite.ActivationFunctionType.RELU: F.relu_,
    tflite.ActivationFunctionType.RELU6: lambda x: x.clamp_(0, 6),
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
        weight, bias = (torch.from_numpy(_constant(graph, number)) for number in operation.inputs[1:3])
        self.groups = 1
        if operation.name == "DEPTHWISE_CONV_2D":
            _expect(weight.shape[0] == 1 and options["DepthMultiplier"] == 1, operation)
            weight, self.groups = weight.transpose(0, 3), shape[3]
        self.stride = (options["StrideH"], options["StrideW"])
        _expect(options["DilationHFactor"] == options["DilationWFactor"] == 1, operation)
        _expect(bias.shape == weight.shape[:1] and shape[3] == weight.shape[3] * self.groups, operation)
        kernel = (weight.shape[1], weight.shape[2])
        pads = pads or _pads(operation, shape, kernel)
        weight = weight.permute(0, 3, 1, 2)
        # torch pads both sides alike: where TensorFlow pads one side more, the kernel is widened by zeros
        rows, columns = (after - before for before, after in pads)
        _expect(rows >= 0 and columns >= 0, operation)
        weight = F.pad(weight, (columns, 0, rows, 0))
        self.padding = (pads[0][1], pads[1][1])
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        self.activation = _fused(operation)

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
        weight, bias = (torch.from_numpy(_constant(graph, number)) for number in operation.inputs[1:3])
        self.stride = (options["StrideH"], options["StrideW"])
        _expect(bias.shape == weight.shape[:1] and shape[3] == weight.shape[3], operation)
        # where kernel and stride are alike, both kinds of padding are none
        _expect(self.stride == tuple(weight.shape[1:3]), operation)
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
        slope = torch.from_numpy(_constant(graph, operation.inputs[1]))
        channels = graph.shapes[operation.inputs[0]][-1]
        _expect(slope.shape[-1:] == (channels,) and slope.numel() == channels, operation)
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
        self.register_buffer("constant", _broadcast(fixed[0], axes) if fixed else None)
        _expect(len(operation.inputs) - len(fixed) in (1, 2) and len(operation.inputs) == 2, operation)
        _expect(all(len(graph.shapes[one]) == axes for one in _variable(graph, operation)), operation)
        self.activation = _fused(operation)

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
    _expect(bool(operation.inputs) and min(operation.inputs) >= 0, operation)
    inputs = _variable(graph, operation)
    if operation.name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        _expect(len(operation.inputs) == 3 and len(inputs) == 1, operation)
        return Step(Convolution(graph, operation, graph.shapes[inputs[0]], pads), inputs)
    if operation.name in _WITH_WEIGHTS:
        return Step(_WITH_WEIGHTS[operation.name](graph, operation), inputs)
    if operation.name in _FUNCTIONS:
        return Step(Function(_FUNCTIONS[operation.name]), inputs)
    if operation.name not in _SHAPING:
        raise Damaged(f"its operation {operation.name} is not known here")
    return Step(Function(_SHAPING[operation.name](graph, operation)), inputs)


def zero_pads(graph: Graph, operation: Operation) -> tuple[int, ...]:
    """The zeros that PAD puts around images: before and after, of rows, of columns and of channels."""
    _expect(len(operation.inputs) == 2, operation)
    pads = _constant(graph, operation.inputs[1])
    _expect(pads.shape == (4, 2) and not pads[0].any() and pads.min() >= 0, operation)
    _expect(pads.max() <= _LARGEST_PAD, operation)
    return tuple(int(each) for each in pads[1:].ravel())


def _pad(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    top, bottom, left, right, first, last = zero_pads(graph, operation)
    return lambda images: F.pad(images, (left, right, top, bottom, first, last))


def _max_pool(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    kernel, stride, pads = _pool(graph, operation)
    around = (*pads[1], *pads[0])

    def pool(images: Tensor) -> Tensor:
        padded = F.pad(images, around, value=-torch.inf) if any(around) else images
        return F.max_pool2d(padded, kernel, stride)

    return pool


def _average_pool(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    kernel, stride, pads = _pool(graph, operation)
    around = (*pads[1], *pads[0])

    def pool(images: Tensor) -> Tensor:
        if not any(around):
            whole = images.shape[2:] == kernel
            return images.mean((2, 3), keepdim=True) if whole else F.avg_pool2d(images, kernel, stride)
        counted = F.avg_pool2d(F.pad(torch.ones_like(images[:1, :1]), around), kernel, stride)
        return F.avg_pool2d(F.pad(images, around), kernel, stride) / counted  # of the pixels that are there

    return pool


def _pool(graph: Graph, operation: Operation) -> tuple[tuple[int, int], tuple[int, int], Pads]:
    options = operation.options
    kernel = (options["FilterHeight"], options["FilterWidth"])
    _expect(min(kernel) > 0 and _fused(operation) is None, operation)
    pads = _pads(operation, graph.shapes[operation.inputs[0]], kernel)
    return kernel, (options["StrideH"], options["StrideW"]), pads


def _resize(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    height, width = graph.shapes[operation.outputs[0]][1:3]
    corners, half = operation.options["AlignCorners"], operation.options["HalfPixelCenters"]
    _expect(corners != half, operation)  # neither: places of pixels that torch does not have
    return lambda images: F.interpolate(images, (height, width), mode="bilinear", align_corners=bool(corners))


def _depth_to_space(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    block = operation.options["BlockSize"]
    _expect(block > 0 and graph.shapes[operation.inputs[0]][3] % (block * block) == 0, operation)

    def spread(images: Tensor) -> Tensor:
        # `pixel_shuffle` has the channel before the place in the block, TensorFlow after it
        count, channels, height, width = images.shape
        parts = images.reshape(count, block * block, channels // block**2, height, width)
        return F.pixel_shuffle(parts.transpose(1, 2).reshape(count, channels, height, width), block)

    return spread


def _reshape(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    shape = graph.shapes[operation.outputs[0]]
    _expect(shape[0] == 1, operation)
    return lambda images: inner(outer(images).reshape(len(images), *shape[1:]))


def _concatenation(graph: Graph, operation: Operation) -> Callable[..., Tensor]:
    axes = len(graph.shapes[operation.outputs[0]])
    axis = operation.options["Axis"] % axes
    _expect(axis > 0 and _fused(operation) is None, operation)
    return lambda *parts: inner(torch.cat([outer(part) for part in parts], axis))


def _strided_slice(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    shape = graph.shapes[operation.inputs[0]]
    _expect(len(operation.inputs) == 4 and not any(operation.options.values()), operation)
    begin, end, stride = (_constant(graph, number) for number in operation.inputs[1:])
    _expect(all(part.shape == (len(shape),) for part in (begin, end, stride)), operation)
    _expect(bool((begin >= 0).all() and (end <= shape).all() and (stride > 0).all()), operation)
    _expect((begin[0], end[0]) == (0, 1), operation)  # all images of the batch
    parts = [slice(int(a), int(b), int(c)) for a, b, c in zip(begin[1:], end[1:], stride[1:], strict=True)]
    return lambda images: inner(outer(images)[(slice(None), *parts)])


_WITH_WEIGHTS: dict[str, Callable[[Graph, Operation], nn.Module]] = {
    "ADD": Arithmetic,
    "MUL": Arithmetic,
    "PRELU": Slope,
    "Convolution2DTransposeBias": TransposedConvolution,
}

_SHAPING: dict[str, Callable[[Graph, Operation], Callable[..., Tensor]]] = {
    "PAD": _pad,
    "MAX_POOL_2D": _max_pool,
    "AVERAGE_POOL_2D": _average_pool,
    "RESIZE_BILINEAR": _resize,
    "DEPTH_TO_SPACE": _depth_to_space,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
    "STRIDED_SLICE": _strided_slice,
}


def inner(tensor: Tensor) -> Tensor:
    """A tensor in the order of axes that is used here, from that of the file."""
    return tensor.permute(0, 3, 1, 2) if tensor.dim() == 4 else tensor


def outer(tensor: Tensor) -> Tensor:
    """A tensor in the file's order of axes."""
    return tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor


def _pads(operation: Operation, shape: tuple[int, ...], kernel: tuple[int, int]) -> Pads:
    """The padding of a convolution or pool; with SAME, an odd row or column comes after the image."""
    _expect(len(shape) == 4 and operation.options["Padding"] in (_SAME, _VALID), operation)
    strides = (operation.options["StrideH"], operation.options["StrideW"])
    _expect(min(strides) > 0 and max(strides) <= _LARGEST_PAD, operation)
    if operation.options["Padding"] == _VALID:
        return (0, 0), (0, 0)
    first, second = (
        max((-(-size // stride) - 1) * stride + side - size, 0)
        for size, side, stride in zip(shape[1:3], kernel, strides, strict=True)
    )
    return (first // 2, first - first // 2), (second // 2, second - second // 2)


def _fused(operation: Operation) -> Callable[[Tensor], Tensor] | None:
    number = operation.options["FusedActivationFunction"]
    _expect(number in _FUSED, operation)
    return _FUSED[number]


def _variable(graph: Graph, operation: Operation) -> tuple[int, ...]:
    return tuple(number for number in operation.inputs if number not in graph.constants)


def _constant(graph: Graph, number: int) -> np.ndarray:
    if number not in graph.constants:
        raise Damaged("weights of it are computed, which is not known here")
    return graph.constants[number]


def _broadcast(constant: np.ndarray, axes: int) -> Tensor:
    """A constant with as many axes as the tensor that it is added to."""
    if constant.ndim > axes:
        raise Damaged("a constant has more axes than what it is added to")
    return inner(torch.from_numpy(constant.reshape((1,) * (axes - constant.ndim) + constant.shape)))


def _expect(true: bool, operation: Operation) -> None:
    if not true:
        raise Damaged(f"an operation {operation.name} has options or shapes that are not known here")
