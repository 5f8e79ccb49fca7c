"""The operations without weights that change the shape of a tensor, as functions of the tensor."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from deca_data.backends.tflite.common import (
    LARGEST_PAD,
    Pads,
    activation_of,
    array_of,
    expect,
    inner,
    outer,
    padding_of,
)
from deca_data.backends.tflite.file import Graph, Operation


def zero_pads(graph: Graph, operation: Operation) -> tuple[int, ...]:
    """The zeros that PAD puts around images: before and after, of rows, of columns and of channels."""
    expect(len(operation.inputs) == 2, operation)
    pads = array_of(graph, operation.inputs[1])
    expect(pads.shape == (4, 2) and not pads[0].any() and pads.min() >= 0, operation)
    expect(pads.max() <= LARGEST_PAD, operation)
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
    expect(min(kernel) > 0 and activation_of(operation) is None, operation)
    pads = padding_of(operation, graph.shapes[operation.inputs[0]], kernel)
    return kernel, (options["StrideH"], options["StrideW"]), pads


def _resize(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    height, width = graph.shapes[operation.outputs[0]][1:3]
    corners, half = operation.options["AlignCorners"], operation.options["HalfPixelCenters"]
    expect(corners != half, operation)  # neither: places of pixels that torch does not have
    return lambda images: F.interpolate(images, (height, width), mode="bilinear", align_corners=bool(corners))


def _depth_to_space(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    block = operation.options["BlockSize"]
    expect(block > 0 and graph.shapes[operation.inputs[0]][3] % (block * block) == 0, operation)

    def spread(images: Tensor) -> Tensor:
        # `pixel_shuffle` has the channel before the place in the block, TensorFlow after it
        count, channels, height, width = images.shape
        parts = images.reshape(count, block * block, channels // block**2, height, width)
        return F.pixel_shuffle(parts.transpose(1, 2).reshape(count, channels, height, width), block)

    return spread


def _reshape(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    shape = graph.shapes[operation.outputs[0]]
    expect(shape[0] == 1, operation)
    return lambda images: inner(outer(images).reshape(len(images), *shape[1:]))


def _concatenation(graph: Graph, operation: Operation) -> Callable[..., Tensor]:
    axes = len(graph.shapes[operation.outputs[0]])
    axis = operation.options["Axis"] % axes
    expect(axis > 0 and activation_of(operation) is None, operation)
    return lambda *parts: inner(torch.cat([outer(part) for part in parts], axis))


def _strided_slice(graph: Graph, operation: Operation) -> Callable[[Tensor], Tensor]:
    shape = graph.shapes[operation.inputs[0]]
    expect(len(operation.inputs) == 4 and not any(operation.options.values()), operation)
    begin, end, stride = (array_of(graph, number) for number in operation.inputs[1:])
    expect(all(part.shape == (len(shape),) for part in (begin, end, stride)), operation)
    expect(bool((begin >= 0).all() and (end <= shape).all() and (stride > 0).all()), operation)
    expect((begin[0], end[0]) == (0, 1), operation)  # all images of the batch
    parts = [slice(int(a), int(b), int(c)) for a, b, c in zip(begin[1:], end[1:], stride[1:], strict=True)]
    return lambda images: inner(outer(images)[(slice(None), *parts)])


SHAPING: dict[str, Callable[[Graph, Operation], Callable[..., Tensor]]] = {
    "PAD": _pad,
    "MAX_POOL_2D": _max_pool,
    "AVERAGE_POOL_2D": _average_pool,
    "RESIZE_BILINEAR": _resize,
    "DEPTH_TO_SPACE": _depth_to_space,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenation,
    "STRIDED_SLICE": _strided_slice,
}
