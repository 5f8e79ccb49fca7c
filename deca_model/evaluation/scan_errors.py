"""The distance from a scan to a reconstruction, after the alignment of the NoW benchmark."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_SAME = 1e-9  # millimetres


class Similarity(NamedTuple):
    """x -> scale * rotation @ x + shift."""

    scale: float
    rotation: np.ndarray  # (3, 3)
    shift: np.ndarray  # (3,)

    def __call__(self, points: np.ndarray) -> np.ndarray:  # (N, 3) -> (N, 3)
        """The transformed points."""
        return self.scale * points @ self.rotation.T + self.shift

    def inverse(self, points: np.ndarray) -> np.ndarray:  # (N, 3) -> (N, 3)
        """The points that are transformed to ``points``."""
        return (points - self.shift) @ self.rotation / self.scale


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
    rounds: int = 100,
) -> np.ndarray:  # (S,) millimetres
    """Distance of each scan vertex to the reconstruction, after the alignment of the NoW benchmark.

    Sanyal et al. 2019 ("Learning to regress 3D face shape and expression from an image without 3D
    supervision"): the reconstruction is aligned with scale, first by the seven landmarks, then by all scan
    vertices and their nearest surface points, until the sum of squared distances is at a minimum. The error
    is the distance from the scan to the surface. It covers only the part of the scan around the face, which
    the caller cuts out.

    Args:
        vertices: the reconstructed mesh.
        faces: its triangles.
        landmarks: its seven points.
        scan: vertices of the scan, already cut to the face.
        scan_landmarks: the scan's seven points.
        rounds: how often nearest points and alignment alternate at most; fewer if the distances stay the
            same. Ten are too few for a shape that is far from the scan.
    """
    import igl

    vertices, faces = np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int64)
    tree = igl.AABB()
    tree.init(vertices, faces)
    placed = align(landmarks, scan_landmarks)
    errors = np.full(len(scan), np.inf)
    for _ in range(rounds + 1):
        # The scan moves to the mesh, not the mesh to the scan: so the tree stays the same.
        nearest = np.asarray(tree.squared_distance(vertices, faces, placed.inverse(scan))[2])
        before, errors = errors, np.linalg.norm(placed(nearest) - scan, axis=1)
        if np.allclose(errors, before, rtol=0, atol=_SAME):
            break
        placed = align(nearest, scan)
    return errors
