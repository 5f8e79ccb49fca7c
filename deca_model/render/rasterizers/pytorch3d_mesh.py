"""PyTorch3D's rasteriser with the same interface; an optional extra, imported on first use."""

from __future__ import annotations

import torch
from torch import Tensor

from manifests.errors import UsageError


def select_faces(
    vertices: Tensor,  # (B, V, 3) float32 pixels
    faces: Tensor,  # (F, 3) int64
    height: int,
    width: int,
) -> Tensor:  # (B, H, W) int64
    """The visible face per pixel, -1 where empty.

    Raises:
        UsageError: PyTorch3D is not installed or does not fit the installed torch.
    """
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except (ImportError, OSError) as error:
        hint = "pip install 'deca-data[pytorch3d]', or choose 'builtin'"
        raise UsageError(f"rasteriser 'pytorch3d' cannot be loaded ({error}): {hint}") from error
    # Its image plane has x to the left and y up, the shorter side spans [-1, 1], and nothing with z <= 0 is
    # drawn.
    shorter = min(height, width)
    x = ((width - 1) / 2 - vertices[..., 0]) * (2 / shorter)
    y = ((height - 1) / 2 - vertices[..., 1]) * (2 / shorter)
    z = vertices[..., 2] - vertices[..., 2].amin(dim=1, keepdim=True) + 1
    meshes = Meshes(torch.stack([x, y, z], dim=-1), faces.expand(len(vertices), -1, -1))
    packed = rasterize_meshes(
        meshes, image_size=(height, width), blur_radius=0.0, faces_per_pixel=1, perspective_correct=False
    )[0][..., 0]
    first = torch.arange(len(vertices), device=vertices.device)[:, None, None] * len(faces)
    return torch.where(packed < 0, -1, packed - first)
