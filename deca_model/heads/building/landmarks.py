"""Build step 5c: detected points and mesh edges in; the 68 iBUG landmarks on the head's triangles out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deca_model.heads.building.mesh import Cut
from deca_model.heads.contour import contour

INNER = (
    (70,), (63,), (105,), (66,), (107,), (336,), (296,), (334,), (293,), (300,),
    (168, 6), (197, 195), (5,), (4,), (75,), (97,), (2,), (326,), (305,),
    (33,), (160,), (158,), (133,), (153,), (144,), (362,), (385,), (387,), (263,), (373,), (380,),
    (61,), (39,), (37,), (0,), (267,), (269,), (291,), (321,), (314,), (17,), (84,), (91,),
    (78,), (82,), (13,), (312,), (308,), (317,), (14,), (87,),
)  # fmt: skip
"""MediaPipe's points for landmarks 17-67; of two points, the mean."""
MIRRORED = np.array([
    *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
])  # fmt: skip
"""The mirror partner of each of landmarks 17-67."""
UPPER_LIDS, LOWER_LIDS = (43, 44), (47, 46)
LID_PLACES = (1 / 3, 2 / 3)
"""Positions of the lid landmarks between the inner (0) and the outer corner (1)."""
UPPER_LIP, LOWER_LIP = (61, 62, 63), (67, 66, 65)


@dataclass(frozen=True)
class Embedding:
    """Landmarks as triangles and barycentric coordinates, as ``HeadData`` has them."""

    static_faces: np.ndarray
    static_barycentric: np.ndarray
    contour_faces: np.ndarray
    contour_barycentric: np.ndarray
    full_faces: np.ndarray
    full_barycentric: np.ndarray


def embed(cut: Cut, mean: np.ndarray, faces: np.ndarray, detected: np.ndarray) -> Embedding:
    """Place the landmarks symmetrically, from the 478 detected points and the known edges of the mesh.

    Brows, nose and outer lips come from the detection. Lids and inner lips lie on edges of the mesh: so the
    lid landmarks are not on the eyeball, and closed lips have distance zero.
    """
    seen = cut.visible(faces)
    points = np.array([detected[list(group)].mean(axis=0) for group in INNER])
    points = 0.5 * (points + points[MIRRORED - 17] * [-1, 1, 1])
    for landmark, place in (_lids(cut, mean) | _inner_lips(cut, mean, points)).items():
        points[landmark - 17] = place
    # On a ridge the nearest point may be left or right of the middle line: keep middle landmarks on the line.
    middle = np.array([landmark == partner for landmark, partner in enumerate(MIRRORED, 17)])
    points[middle] = _on_middle_line(points[middle], mean, faces[seen])
    static_faces, static_barycentric = closest(points, mean, faces, seen)

    eyes = np.mean([mean[ball].mean(axis=0) for ball in cut.eyeball.values()], axis=0)
    front = seen & cut.face[faces].all(axis=1)
    contour_faces, contour_barycentric, jaw_faces, jaw_barycentric = contour(mean, faces, seen, front, eyes)
    return Embedding(
        static_faces,
        static_barycentric,
        contour_faces,
        contour_barycentric,
        np.concatenate([jaw_faces, static_faces]),
        np.concatenate([jaw_barycentric, static_barycentric]),
    )


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


def _lids(cut: Cut, mean: np.ndarray) -> dict[int, np.ndarray]:
    """Eye landmarks 36-47 on the lids' edges."""
    edge = mean[cut.lid_edge["left"]]
    inner, outer = edge[edge[:, 0].argmin()], edge[edge[:, 0].argmax()]
    upper, lower = _halves(edge)
    left = {42: inner, 45: outer}
    for part, landmarks in ((upper, UPPER_LIDS), (lower, LOWER_LIDS)):
        for landmark, share in zip(landmarks, LID_PLACES, strict=True):
            left[landmark] = _at_x(part, (1 - share) * inner[0] + share * outer[0])
    return left | {int(MIRRORED[k - 17]): place * [-1, 1, 1] for k, place in left.items()}


def _inner_lips(cut: Cut, mean: np.ndarray, points: np.ndarray) -> dict[int, np.ndarray]:
    """Landmarks 60-67 on the line where the lips touch; a pair of upper and lower ones has the same x."""
    edge = mean[cut.lip_edge]
    upper, lower = _halves(edge)
    placed = {60: edge[edge[:, 0].argmin()], 64: edge[edge[:, 0].argmax()]}
    for above, below in zip(UPPER_LIP, LOWER_LIP, strict=True):
        x = 0.5 * (points[above - 17, 0] + points[below - 17, 0])
        placed[above], placed[below] = _at_x(upper, x), _at_x(lower, x)
    return placed


def _halves(loop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A loop's upper and lower part, each ordered by rising x."""
    start, end = int(loop[:, 0].argmin()), int(loop[:, 0].argmax())
    turned = np.roll(loop, -start, axis=0)
    cut = (end - start) % len(loop)
    one, other = turned[: cut + 1], np.concatenate([turned[cut:], turned[:1]])[::-1]
    return (one, other) if one[:, 1].mean() > other[:, 1].mean() else (other, one)


def _at_x(line: np.ndarray, x: float) -> np.ndarray:
    """The point of a line, ordered by x, at the given x."""
    return np.array([x, np.interp(x, line[:, 0], line[:, 1]), np.interp(x, line[:, 0], line[:, 2])])
