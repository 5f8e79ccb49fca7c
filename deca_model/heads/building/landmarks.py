"""Build step 5c: detected landmarks and mesh edges in; the 68 iBUG landmarks on the head's triangles out."""

from __future__ import annotations

import numpy as np

from deca_model.heads.building.mesh import Cut
from deca_model.heads.contour import Skin, contour
from manifests.landmarks import INNER_LIP_PAIRS, MIRROR

UPPER_LIDS, LOWER_LIDS = (43, 44), (47, 46)
LID_PLACES = (1 / 3, 2 / 3)
"""Positions of the lid landmarks between the inner (0) and the outer corner (1)."""


def embed(cut: Cut, mean: np.ndarray, faces: np.ndarray, detected: np.ndarray) -> dict[str, np.ndarray]:
    """Place the landmarks symmetrically, from the (68, 3) detected ones and the known edges of the mesh.

    Brows, nose and outer lips come from the detection. Lids and inner lips lie on edges of the mesh: so the
    lid landmarks are not on the eyeball, and closed lips have distance zero.

    Returns:
        The landmark arrays under the names of ``HeadData``.
    """
    seen = cut.visible(faces)
    points = 0.5 * (detected + detected[MIRROR] * [-1, 1, 1])
    _place_lids(points, mean[cut.lid_edge])
    _place_inner_lips(points, mean[cut.lip_edge])
    # On a ridge the nearest point may be left or right of the middle line: keep middle landmarks on the line.
    middle = np.array([27, 28, 29, 30, 33, 51, 57, 62, 66])
    points[middle] = _on_middle_line(points[middle], mean, faces[seen])
    static_faces, static_barycentric = closest(points[17:], mean, faces, seen)

    eyes = np.mean([mean[ball].mean(axis=0) for ball in cut.eyeball.values()], axis=0)
    front = seen & cut.face[faces].all(axis=1)
    contour_faces, contour_barycentric, jaw_faces, jaw_barycentric = contour(
        Skin(mean, faces, seen, front, eyes)
    )
    return {
        "static_faces": static_faces,
        "static_barycentric": static_barycentric,
        "contour_faces": contour_faces,
        "contour_barycentric": contour_barycentric,
        "full_faces": np.concatenate([jaw_faces, static_faces]),
        "full_barycentric": np.concatenate([jaw_barycentric, static_barycentric]),
    }


def closest(
    points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, usable: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) usable triangles nearest to (N, 3) points; (N, 3) barycentric coordinates of the nearest place."""
    candidates = np.flatnonzero(usable)
    a, b, c = (vertices[faces[candidates, k]] for k in range(3))
    chosen, places = [], []
    for point in points:
        barycentric = _nearest_place(point, a, b, c)
        place = barycentric[:, :1] * a + barycentric[:, 1:2] * b + barycentric[:, 2:] * c
        best = int(((place - point) ** 2).sum(axis=1).argmin())
        chosen.append(candidates[best])
        places.append(barycentric[best])
    return np.array(chosen), np.array(places)


def _nearest_place(point: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """(F, 3) barycentric coordinates of each triangle's place nearest to the point."""
    u, v, w = b - a, c - a, point - a
    uu, uv, vv = (u * u).sum(axis=1), (u * v).sum(axis=1), (v * v).sum(axis=1)
    uw, vw = (u * w).sum(axis=1), (v * w).sum(axis=1)
    area = np.maximum(uu * vv - uv * uv, 1e-30)
    second, third = (vv * uw - uv * vw) / area, (uu * vw - uv * uw) / area
    result = np.stack([1 - second - third, second, third], axis=1)
    outside = (result < 0).any(axis=1)
    best = np.full(len(a), np.inf)
    for i, j, p, q in ((0, 1, a, b), (1, 2, b, c), (2, 0, c, a)):
        along = np.clip(
            ((point - p) * (q - p)).sum(axis=1) / np.maximum(((q - p) ** 2).sum(axis=1), 1e-30), 0, 1
        )
        distance = ((p + along[:, None] * (q - p) - point) ** 2).sum(axis=1)
        better = outside & (distance < best)
        result[better] = 0
        result[better, i], result[better, j] = 1 - along[better], along[better]
        best[better] = distance[better]
    return result


def _on_middle_line(points: np.ndarray, mean: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The places on the edges of the middle line that are nearest to (N, 3) points."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    start, end = np.moveaxis(mean[edges[(np.abs(mean[edges, 0]) < 1e-6).all(axis=1)]], 1, 0)
    step = end - start
    along = ((points[:, None] - start) * step).sum(axis=-1) / (step * step).sum(axis=-1)
    places = start + np.clip(along, 0, 1)[..., None] * step
    return places[np.arange(len(points)), ((places - points[:, None]) ** 2).sum(axis=-1).argmin(axis=1)]


def _place_lids(points: np.ndarray, edge: np.ndarray) -> None:
    """Put landmarks 36-47 on the lids' edges, given that of the left eye."""
    inner, outer = edge[edge[:, 0].argmin()], edge[edge[:, 0].argmax()]
    points[42], points[45] = inner, outer
    for half, landmarks in zip(halves(edge), (UPPER_LIDS, LOWER_LIDS), strict=True):
        for landmark, share in zip(landmarks, LID_PLACES, strict=True):
            points[landmark] = at_x(half, (1 - share) * inner[0] + share * outer[0])
    points[36:42] = points[MIRROR[36:42]] * [-1, 1, 1]


def _place_inner_lips(points: np.ndarray, edge: np.ndarray) -> None:
    """Put landmarks 60-67 on the line where the lips touch; a pair of upper and lower ones has the same x."""
    points[60], points[64] = edge[edge[:, 0].argmin()], edge[edge[:, 0].argmax()]
    upper, lower = halves(edge)
    for above, below in INNER_LIP_PAIRS:
        x = 0.5 * (points[above, 0] + points[below, 0])
        points[above], points[below] = at_x(upper, x), at_x(lower, x)


def halves(loop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A loop's upper and lower part, each ordered by rising x."""
    start, end = int(loop[:, 0].argmin()), int(loop[:, 0].argmax())
    turned = np.roll(loop, -start, axis=0)
    cut = (end - start) % len(loop)
    one, other = turned[: cut + 1], np.concatenate([turned[cut:], turned[:1]])[::-1]
    return (one, other) if one[:, 1].mean() > other[:, 1].mean() else (other, one)


def at_x(line: np.ndarray, x: float) -> np.ndarray:
    """The point of a line, ordered by x, at the given x."""
    return np.array([x, np.interp(x, line[:, 0], line[:, 1]), np.interp(x, line[:, 0], line[:, 2])])
