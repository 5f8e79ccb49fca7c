"""Normals of triangle meshes, batched."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def face_normals(
    vertices: Tensor,  # (B, V, 3)
    faces: Tensor,  # (F, 3)
) -> Tensor:  # (B, F, 3)
    """Normals of the faces, by the right-hand rule; their length is twice the area."""
    first, second, third = (vertices.index_select(1, faces[:, corner]) for corner in range(3))
    return torch.linalg.cross(second - first, third - first)


def vertex_normals(
    vertices: Tensor,  # (B, V, 3)
    faces: Tensor,  # (F, 3)
) -> Tensor:  # (B, V, 3)
    """Unit normals of the vertices: the normals of the touching faces, weighted by their areas.

    A vertex that touches no face, or only faces without area, has the normal 0.
    """
    normals = face_normals(vertices, faces)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(1, faces[:, corner], normals)
    # Areas on a head are about 1e-6 square metres, so the smallest length must be far below that.
    return normalize(total, dim=-1, eps=1e-20)
