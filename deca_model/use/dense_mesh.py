"""A dense mesh from the UV layout: every covered texel is a vertex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deca_model.render.uv import UvLayout


@dataclass(frozen=True)
class DenseTopology:
    """The mesh of a layout's texels; it is the same for every face on one head model."""

    rows: np.ndarray  # (N,) int64: the texel of each vertex
    columns: np.ndarray  # (N,) int64
    faces: np.ndarray  # (M, 3) int64, with the winding of the head's faces

    def vertices(self, points: np.ndarray) -> np.ndarray:  # (3, S, S) -> (N, 3)
        """Picks the vertices (or colours) of the mesh from a map such as ``DetailSurface.points``."""
        return points[:, self.rows, self.columns].T


def dense_topology(layout: UvLayout, uv_faces: np.ndarray) -> DenseTopology:
    """The mesh of a layout: two triangles for every four neighbouring texels of one chart.

    Charts that touch in the square are not connected: their texels may be far apart on the head.

    Args:
        layout: The rasterised layout.
        uv_faces: (F, 3), the head's faces as indices of UV vertices.
    """
    face_index = layout.face_index.cpu().numpy()
    covered = layout.covered.cpu().numpy()
    chart = np.where(covered, _charts(uv_faces)[face_index], -1)
    number = np.full(covered.shape, -1)
    rows, columns = np.nonzero(covered)
    number[rows, columns] = np.arange(len(rows))
    corners = [chart[:-1, :-1], chart[:-1, 1:], chart[1:, 1:], chart[1:, :-1]]
    whole = (corners[0] >= 0) & np.all([corner == corners[0] for corner in corners[1:]], axis=0)
    a, b, c, d = (
        part[whole] for part in (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1])
    )
    faces = np.concatenate([np.stack([a, d, c], axis=1), np.stack([a, c, b], axis=1)])
    if _clockwise_layout(layout):
        faces = faces[:, ::-1]
    return DenseTopology(rows, columns, np.ascontiguousarray(faces))


def _charts(uv_faces: np.ndarray) -> np.ndarray:  # (F,)
    """The chart of each face: faces that share UV vertices are in one chart."""
    label = np.arange(uv_faces.max() + 1)
    while True:
        lowest = label[uv_faces].min(axis=1)
        merged = label.copy()
        for corner in range(3):
            np.minimum.at(merged, uv_faces[:, corner], lowest)
        merged = merged[merged]  # take the label's label, so that large charts need few rounds
        if np.array_equal(merged, label):
            return label[uv_faces[:, 0]]
        label = merged


def _clockwise_layout(layout: UvLayout) -> bool:
    """Whether the layout mirrors the surface: most faces run clockwise when u points right and v up."""
    corners = layout.corners.cpu().numpy()
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    return bool(area.sum() > 0)  # grid_sample's y points down, which changes the sign
