"""The rasteriser for a CUDA GPU as operations of torch, which run the kernels of ``triton_kernels``.

As registered operations they also work under torch.compile, and with tensors that have no numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deca_model.render.rasterizers import triton_kernels as kernels

_EMPTY = torch.iinfo(torch.int64).max
_FACES = 32  # of a program: one warp, because the faces of a program wait for the largest one
_PIXELS = 256
_draw: Any = kernels.draw  # Triton's types do not know the options of a start


@torch.library.custom_op("deca::select_faces", mutates_args=())
def select_faces(vertices: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    """The visible face per pixel (B, H, W) int64, -1 where empty.

    Args:
        vertices: (B, V, 3) float32 pixels.
        faces: (F, 3) int64.
        height: rows of the picture.
        width: its columns.
    """
    batch = len(vertices)
    keys = torch.full((batch, height, width), _EMPTY, dtype=torch.int64, device=vertices.device)
    if keys.numel() and len(faces):
        grid = (-(-len(faces) // _FACES), batch)
        points, corners = vertices.contiguous(), faces.contiguous()
        with torch.cuda.device_of(vertices):
            _draw[grid](
                points, corners, keys, vertices.shape[1], len(faces), height, width,
                block=_FACES, num_warps=1, enable_fp_fusion=False,
            )  # fmt: skip
    return (keys & 0xFFFFFFFF).masked_fill_(keys == _EMPTY, -1)


@select_faces.register_fake
def _(vertices: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    return vertices.new_empty((len(vertices), height, width), dtype=torch.int64)


@torch.library.custom_op("deca::locate", mutates_args=())
def locate(face_index: Tensor, vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentric coordinates (B, H, W, 3) and depth (B, H, W) of pixel centres, differentiable.

    Args:
        face_index: (B, H, W) int64, -1 where empty.
        vertices: (B, V, 3) float32 or float64, normalised image coordinates.
        faces: (F, 3) int64.
    """
    barycentric, depth = vertices.new_empty((*face_index.shape, 3)), vertices.new_empty(face_index.shape)
    _each_pixel(kernels.locate, face_index, vertices, faces, barycentric, depth)
    return barycentric, depth


@locate.register_fake
def _(face_index: Tensor, vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    return vertices.new_empty((*face_index.shape, 3)), vertices.new_empty(face_index.shape)


@torch.library.custom_op("deca::locate_gradient", mutates_args=())
def locate_gradient(
    face_index: Tensor, vertices: Tensor, faces: Tensor, to_barycentric: Tensor, to_depth: Tensor
) -> Tensor:
    """The gradient (B, V, 3) of ``locate`` to the vertices."""
    gradient = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
    given = to_barycentric.contiguous(), to_depth.contiguous()
    _each_pixel(kernels.locate_gradient, face_index, vertices, faces, *given, gradient)
    return gradient


@locate_gradient.register_fake
def _(
    face_index: Tensor, vertices: Tensor, faces: Tensor, to_barycentric: Tensor, to_depth: Tensor
) -> Tensor:
    return torch.empty_like(vertices, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, to_barycentric: Tensor, to_depth: Tensor) -> tuple[None, Tensor, None]:
    return None, locate_gradient(*ctx.saved_tensors, to_barycentric, to_depth), None


locate.register_autograd(_backward, setup_context=_keep)


def _each_pixel(kernel: Any, face_index: Tensor, vertices: Tensor, faces: Tensor, *images: Tensor) -> None:
    """Run a kernel for all pixels; it writes into the last of ``images``, or into all of them."""
    batch, height, width = face_index.shape
    if not face_index.numel():
        return
    read = face_index.contiguous(), vertices.contiguous(), faces.contiguous()
    grid = (-(-height * width // _PIXELS), batch)
    with torch.cuda.device_of(vertices):
        kernel[grid](*read, *images, vertices.shape[1], height, width, block=_PIXELS)
