"""Which triangle is seen at which pixel, and where inside it.

All rasterisers share one function. A backend only chooses the visible face per pixel, which is not
differentiable. The barycentric coordinates are then computed from the chosen faces: gradients reach the
vertices through them, and every backend gives the same numbers. The camera is weak-perspective, so
barycentric coordinates are affine in the image.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from deca_model.render.constants import constant
from deca_model.render.rasterizers.triton_found import triton_works
from manifests.errors import UsageError

BACKENDS = ("builtin", "pytorch3d")


class Fragments(NamedTuple):
    """What is seen at each pixel."""

    face_index: Tensor  # (B, H, W) int64, -1 where no face is seen
    barycentric: Tensor  # (B, H, W, 3), 0 where empty; differentiable with respect to the vertices
    depth: Tensor  # (B, H, W), camera z (smaller is nearer), 0 where empty; differentiable


def rasterize(
    vertices: Tensor,  # (B, V, 3)
    faces: Tensor,  # (F, 3)
    size: int | tuple[int, int],
    backend: str = "builtin",
) -> Fragments:
    """Rasterise a batch of meshes that share their faces.

    A pixel belongs to a face if its centre is inside the face or on its edge. Both sides of a face are seen.
    The smallest depth wins; of equal depths, the lowest face index. A face without area, or with a vertex
    that is not finite, is never seen.

    Args:
        vertices: Normalised image coordinates as ``camera.project`` gives them: x right and y down in [-1, 1]
            over the image; the centre of pixel ``i`` of ``n`` is at ``(2 i + 1) / n - 1``; larger z is
            further away.
        faces: Vertex indices, int64.
        size: Height and width in pixels, or one number for a square.
        backend: ``builtin`` (numba on a CPU; Triton on a CUDA GPU, or tensor code where Triton cannot
            run) or ``pytorch3d``.

    Raises:
        UsageError: The backend is unknown or not installed.
    """
    height, width = (size, size) if isinstance(size, int) else size
    select_faces = kernels(backend, vertices.device).select_faces
    with torch.no_grad():
        scale = constant((width / 2, height / 2, 1.0), vertices.device)
        shift = constant(((width - 1) / 2, (height - 1) / 2, 0.0), vertices.device)
        # in pixels, with their centres at integers; z does not change
        face_index = select_faces(vertices.float() * scale + shift, faces, height, width)
    barycentric, depth = _locate(face_index, vertices, faces)
    return Fragments(face_index, barycentric, depth)


def interpolate(
    fragments: Fragments,
    attributes: Tensor,  # (B, F, 3, C) or (F, 3, C)
) -> Tensor:  # (B, H, W, C)
    """Interpolate values given at the corners of faces; 0 where no face is seen.

    Gradients flow to the attributes and, through the barycentric coordinates, to the vertices. Values given
    per vertex, ``(B, V, C)``, are passed as ``values[:, faces]``.
    """
    index = fragments.face_index
    batch, height, width = index.shape
    channels = attributes.shape[-1]
    chosen = index.clamp(min=0).view(batch, -1)
    if attributes.dim() == 3:
        corners = attributes.reshape(-1, 3 * channels).index_select(0, chosen.view(-1))
    else:
        where = chosen[..., None].expand(-1, -1, 3 * channels)
        corners = attributes.reshape(batch, -1, 3 * channels).gather(1, where)
    corners = corners.view(batch, height, width, 3, channels)
    # Barycentrics are 0 where empty, so an empty pixel is 0 unless face 0 holds a value that is not finite.
    return (corners * fragments.barycentric[..., None].to(corners.dtype)).sum(dim=3)


def kernels(backend: str, device: torch.device) -> Any:
    """The module whose ``select_faces`` selects the face per pixel; imports only the chosen one.

    Raises:
        UsageError: The backend is unknown.
    """
    if backend == "builtin" and device.type == "cpu":
        from deca_model.render.rasterizers import cpu as chosen
    elif backend == "builtin" and device.type == "cuda" and triton_works():
        from deca_model.render.rasterizers import triton_mesh as chosen
    elif backend == "builtin":
        from deca_model.render.rasterizers import tensor as chosen
    elif backend == "pytorch3d":
        from deca_model.render.rasterizers import pytorch3d_mesh as chosen
    else:
        raise UsageError(f"rasteriser '{backend}' is unknown: choose one of {', '.join(BACKENDS)}")
    return chosen


def _locate(face_index: Tensor, vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentric coordinates (B, H, W, 3) and depth (B, H, W) of the pixel centres in their faces."""
    usual = vertices.dtype in (torch.float32, torch.float64)
    if usual and vertices.device.type == "cpu":
        from deca_model.render.rasterizers.cpu_locate import locate
    elif usual and vertices.device.type == "cuda" and triton_works():
        from deca_model.render.rasterizers.triton_mesh import locate
    else:
        from deca_model.render.rasterizers.tensor import locate
    return locate(face_index, vertices, faces)
