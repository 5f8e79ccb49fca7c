"""The distance from a scan to a reconstruction, after the alignment of the NoW benchmark."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_NEIGHBOURS = 4
_CHUNK = 2048


class Similarity(NamedTuple):
    """x -> scale * rotation @ x + shift."""

    scale: float
    rotation: np.ndarray  # (3, 3)
    shift: np.ndarray  # (3,)

    def __call__(self, points: np.ndarray) -> np.ndarray:  # (N, 3) -> (N, 3)
        """The transformed points."""
        return self.scale * points @ self.rotation.T + self.shift


def align(source: np.ndarray, target: np.ndarray) -> Similarity:  # (N, 3), (N, 3)
    """The least-squares similarity from ``source`` to ``target`` (Umeyama 1991)."""
    centre_a, centre_b = source.mean(0), target.mean(0)
    a, b = source - centre_a, target - centre_b
    u, values, vt = np.linalg.svd(b.T @ a)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = float((values * signs).sum() / np.square(a).sum())
    return Similarity(scale, rotation, centre_b - scale * rotation @ centre_a)


def scan_errors(
    vertices: np.ndarray,  # (V, 3) of the reconstruction, any unit
    faces: np.ndarray,  # (F, 3)
    landmarks: np.ndarray,  # (7, 3) of the reconstruction, in the order of scan_landmarks
    scan: np.ndarray,  # (S, 3) millimetres
    scan_landmarks: np.ndarray,  # (7, 3)
    rounds: int = 10,
) -> np.ndarray:  # (S,) millimetres
    """Distance of each scan vertex to the reconstruction, after the alignment of the NoW benchmark.

    Sanyal et al. 2019 ("Learning to regress 3D face shape and expression from an image without 3D
    supervision"): the reconstruction is aligned with scale, first by the seven landmarks, then by all scan
    vertices and their nearest surface points. The error is the distance from the scan to the surface. It
    covers only the part of the scan around the face, which the caller cuts out.

    Args:
        vertices: the reconstructed mesh.
        faces: its triangles.
        landmarks: its seven points.
        scan: vertices of the scan, already cut to the face.
        scan_landmarks: the scan's seven points.
        rounds: how often nearest points and alignment alternate.
    """
    placed = align(landmarks, scan_landmarks)(vertices)
    nearest = nearest_on_surface(scan, placed, faces)
    for _ in range(rounds):
        placed = align(nearest, scan)(placed)
        nearest = nearest_on_surface(scan, placed, faces)
    return np.linalg.norm(nearest - scan, axis=1)


def nearest_on_surface(
    points: np.ndarray,  # (N, 3)
    vertices: np.ndarray,  # (V, 3)
    faces: np.ndarray,  # (F, 3)
) -> np.ndarray:  # (N, 3)
    """The nearest point of a mesh, among the triangles around each point's nearest vertices."""
    around = _faces_around(faces, len(vertices))
    mesh, queries = torch.from_numpy(vertices).double(), torch.from_numpy(points).double()
    corners = torch.from_numpy(vertices[faces]).double()
    found = []
    for start in range(0, len(queries), _CHUNK):
        part = queries[start : start + _CHUNK]
        close = torch.cdist(part, mesh).topk(min(_NEIGHBOURS, len(mesh)), largest=False).indices
        candidates = around[close].flatten(1)  # (n, M), -1 where a vertex has fewer triangles
        on_each = _nearest_on_triangles(part[:, None], corners[candidates.clamp(min=0)])
        distance = (on_each - part[:, None]).norm(dim=-1).masked_fill(candidates < 0, torch.inf)
        best = distance.argmin(dim=1)
        found.append(on_each[torch.arange(len(part)), best])
    return torch.cat(found).numpy()


def _faces_around(faces: np.ndarray, count: int) -> Tensor:  # (V, M) int64
    """The triangles at each vertex, padded with -1."""
    vertex, face = faces.reshape(-1), np.repeat(np.arange(len(faces)), 3)
    order = np.argsort(vertex, kind="stable")
    vertex, face = vertex[order], face[order]
    number = np.arange(len(vertex)) - np.searchsorted(vertex, vertex)
    table = np.full((count, int(number.max()) + 1), -1, np.int64)
    table[vertex, number] = face
    return torch.from_numpy(table)


def _nearest_on_triangles(points: Tensor, corners: Tensor) -> Tensor:  # (n, 1, 3), (n, M, 3, 3) -> (n, M, 3)
    """The nearest points of triangles: the foot of the perpendicular if it is inside, else on an edge."""
    a, b, c = corners.unbind(dim=2)
    ab, ac, ap = b - a, c - a, points - a
    d1, d2 = (ab * ap).sum(-1), (ac * ap).sum(-1)
    aa, bb, cc = (ab * ab).sum(-1), (ac * ac).sum(-1), (ab * ac).sum(-1)
    area = (aa * bb - cc * cc).clamp(min=1e-18)
    v, w = (bb * d1 - cc * d2) / area, (aa * d2 - cc * d1) / area
    inside = (v >= 0) & (w >= 0) & (v + w <= 1)
    foot = a + v[..., None] * ab + w[..., None] * ac
    edges = torch.stack([_on_segment(points, x, y) for x, y in ((a, b), (b, c), (c, a))])
    nearest = (edges - points).norm(dim=-1).argmin(dim=0)
    edge = edges.gather(0, nearest[None, ..., None].expand(1, *nearest.shape, 3))[0]
    return torch.where(inside[..., None], foot, edge)


def _on_segment(points: Tensor, start: Tensor, stop: Tensor) -> Tensor:
    along = stop - start
    share = ((points - start) * along).sum(-1) / (along * along).sum(-1).clamp(min=1e-18)
    return start + share.clamp(0, 1)[..., None] * along
