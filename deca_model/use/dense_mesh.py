"""A dense mesh of a head: every triangle is divided, so that displacements become visible.

The division keeps the head's own connections. UV seams are therefore closed, and the only open edges are
those of the head itself (of the open head and of FLAME: the edge of the neck; FLAME's also has ...).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from deca_model.heads.head import Head
from deca_model.networks.detail import CURVING
from deca_model.render.normals import vertex_normals
from deca_model.render.uv import UvLayout, uv_to_grid

_MOST = 8  # divisions of an edge


@dataclass(frozen=True)
class DenseMesh:
    """The divided triangles of a head; the same for every face on one head."""

    corners: Tensor  # (N, 3) int64: the vertices of the head between which each vertex lies
    weights: Tensor  # (N, 3) float32: their weights, which sum to one
    faces: Tensor  # (M, 3) int64, with the winding of the head's faces
    uv: Tensor  # (T, 2) float32 in [0, 1], v up
    uv_faces: Tensor  # (M, 3) int64
    vertex_of_uv: Tensor  # (T,) int64: the vertex at each UV vertex

    def surface(
        self,
        vertices: Tensor,  # (V, 3) metres
        head_faces: Tensor,  # (F, 3)
        displacement: Tensor | None = None,  # (1, S, S) metres along the normals, 0 outside the face
    ) -> Tensor:  # (N, 3)
        """The vertices of the mesh: curved between those of the head as ``DetailSurface.points``, and moved.

        A vertex on a seam moves by the mean of the map's values at its two or more places.
        """
        normals = vertex_normals(vertices[None], head_faces)[0]
        corner, normal = vertices[self.corners], normals[self.corners]  # (N, 3, 3)
        weight = self.weights[..., None]
        flat, smooth = (corner * weight).sum(dim=1), normalize((normal * weight).sum(dim=1), dim=1)
        height = ((flat[:, None] - corner) * normal).sum(dim=2, keepdim=True)
        points = flat - CURVING * (weight * height * normal).sum(dim=1)
        if displacement is None:
            return points
        return points + self.sample(displacement) * smooth

    def sample(self, maps: Tensor) -> Tensor:  # (C, S, S) -> (N, C)
        """A UV map at the vertices; on a seam the mean of its sides."""
        grid = uv_to_grid(self.uv)[None, :, None]
        found = grid_sample(maps[None], grid, padding_mode="border", align_corners=False)[0, :, :, 0].T
        total = found.new_zeros(len(self.corners), len(maps)).index_add(0, self.vertex_of_uv, found)
        count = torch.bincount(self.vertex_of_uv, minlength=len(self.corners))
        return total / count[:, None]


def dense_mesh(head: Head, layout: UvLayout) -> DenseMesh:
    """The dense mesh of a head, with about one vertex for each texel of the layout.

    The last one is kept, because making it takes a moment.
    """
    texels = int(layout.covered.sum()) / len(head.faces)
    divisions = min(_MOST, max(1, math.ceil(math.sqrt(2 * texels))))
    return _divided(head, divisions, head.template.device)


@lru_cache(maxsize=1)
def _divided(head: Head, divisions: int, device: torch.device) -> DenseMesh:
    faces, uv_faces = head.faces.cpu().numpy(), head.uv_faces.cpu().numpy()
    corners, steps, dense = _divide(faces, divisions)
    uv_corners, uv_steps, uv_dense = _divide(uv_faces, divisions)
    vertex_of_uv = np.zeros(len(uv_corners), np.int64)
    vertex_of_uv[uv_dense] = dense
    uv = (head.uv.cpu().numpy()[uv_corners] * (uv_steps / divisions)[..., None]).sum(axis=1)
    arrays = (corners, (steps / divisions).astype(np.float32), dense, uv.astype(np.float32))
    return DenseMesh(*(torch.from_numpy(each).to(device) for each in (*arrays, uv_dense, vertex_of_uv)))


def _divide(faces: np.ndarray, divisions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of the triangles' grids, each once: corners (N, 3), steps (N, 3) of ``divisions``, faces (M, 3).

    Neighbouring triangles share the points of their edge: a point is known by its corners and steps, without
    the corners that have no part in it.
    """
    grid = np.array([(i, j) for i in range(divisions + 1) for j in range(divisions + 1 - i)])
    steps = np.stack([divisions - grid.sum(axis=1), grid[:, 0], grid[:, 1]], axis=1)  # (P, 3)
    place = {(i, j): n for n, (i, j) in enumerate(grid.tolist())}
    small = []
    for i, j in place:
        if i + j < divisions:
            small.append((place[i, j], place[i + 1, j], place[i, j + 1]))
        if i + j < divisions - 1:
            small.append((place[i + 1, j], place[i + 1, j + 1], place[i, j + 1]))
    corners = np.broadcast_to(faces[:, None], (len(faces), *steps.shape))
    all_steps = np.broadcast_to(steps, corners.shape).reshape(-1, 3)
    used = np.where(all_steps > 0, corners.reshape(-1, 3), faces.max() + 1)
    order = np.argsort(used, axis=1, kind="stable")
    used, all_steps = (np.take_along_axis(each, order, axis=1) for each in (used, all_steps))
    base = np.int64(faces.max() + 2)
    points = (used[:, 0] * base + used[:, 1]) * base + used[:, 2]
    key = np.stack([points, all_steps[:, 0] * (divisions + 1) + all_steps[:, 1]], axis=1)
    _, first, number = np.unique(key, axis=0, return_index=True, return_inverse=True)
    dense = number.reshape(len(faces), len(steps))[:, np.array(small)].reshape(-1, 3)
    return np.where(all_steps > 0, used, 0)[first], all_steps[first], dense
