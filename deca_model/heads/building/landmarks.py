"""Build step 5c: detected points and mesh edges in; the 68 iBUG landmarks on the head's triangles out."""

from __future__ import annotations

import numpy as np
from trimesh import Trimesh
from trimesh.proximity import closest_point_naive
from trimesh.triangles import points_to_barycentric

from deca_model.heads.building.mesh import Cut, edges_of
from deca_model.heads.contour import Skin, contour
from manifests.landmarks import INNER_LIP_PAIRS, MIRROR

INNER = (
    (70,), (63,), (105,), (66,), (107,), (336,), (296,), (334,), (293,), (300,),
    (168, 6), (197, 195), (5,), (4,), (75,), (97,), (2,), (326,), (305,),
    (33,), (160,), (158,), (133,), (153,), (144,), (362,), (385,), (387,), (263,), (373,), (380,),
    (61,), (39,), (37,), (0,), (267,), (269,), (291,), (321,), (314,), (17,), (84,), (91,),
    (78,), (82,), (13,), (312,), (308,), (317,), (14,), (87,),
)  # fmt: skip
"""MediaPipe's points for landmarks 17-67; of two points, the mean."""
UPPER_LIDS, LOWER_LIDS = (43, 44), (47, 46)
LID_PLACES = (1 / 3, 2 / 3)
"""Positions of the lid landmarks between the inner (0) and the outer corner (1)."""


def embed(cut: Cut, mean: np.ndarray, faces: np.ndarray, detected: np.ndarray) -> dict[str, np.ndarray]:
    """Place the landmarks symmetrically, from the 478 detected points and the known edges of the mesh.

    Brows, nose and outer lips come from the detection. Lids and inner lips lie on edges of the mesh: so the
    lid landmarks are not on the eyeball, and closed lips have distance zero.

    Returns:
        The landmark arrays under the names of ``HeadData``.
    """
    seen = cut.visible(faces)
    points = np.zeros((68, 3))
    points[17:] = [detected[list(group)].mean(axis=0) for group in INNER]
    points = 0.5 * (points + points[MIRROR] * [-1, 1, 1])
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
    mesh = Trimesh(vertices, faces[usable], process=False)
    places, _, chosen = closest_point_naive(mesh, points)
    barycentric = points_to_barycentric(mesh.triangles[chosen], places).clip(0, 1)
    return np.flatnonzero(usable)[chosen], barycentric / barycentric.sum(axis=1, keepdims=True)


def _on_middle_line(points: np.ndarray, mean: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The places on the edges of the middle line that are nearest to (N, 3) points."""
    edges = edges_of(faces)
    edges = edges[(np.abs(mean[edges, 0]) < 1e-6).all(axis=1)]
    return closest_point_naive(Trimesh(mean, edges[:, [0, 0, 1]], process=False), points)[0]


def _place_lids(points: np.ndarray, edge: np.ndarray) -> None:
    """Put landmarks 36-47 on the lids' edges, given that of the left eye."""
    inner, outer = edge[edge[:, 0].argmin()], edge[edge[:, 0].argmax()]
    points[42], points[45] = inner, outer
    for half, landmarks in zip(_halves(edge), (UPPER_LIDS, LOWER_LIDS), strict=True):
        for landmark, share in zip(landmarks, LID_PLACES, strict=True):
            points[landmark] = _at_x(half, (1 - share) * inner[0] + share * outer[0])
    points[36:42] = points[MIRROR[36:42]] * [-1, 1, 1]


def _place_inner_lips(points: np.ndarray, edge: np.ndarray) -> None:
    """Put landmarks 60-67 on the line where the lips touch; a pair of upper and lower ones has the same x."""
    points[60], points[64] = edge[edge[:, 0].argmin()], edge[edge[:, 0].argmax()]
    upper, lower = _halves(edge)
    for above, below in INNER_LIP_PAIRS:
        x = 0.5 * (points[above, 0] + points[below, 0])
        points[above], points[below] = _at_x(upper, x), _at_x(lower, x)


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
