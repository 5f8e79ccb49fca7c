"""Build step 4: mean face and triangles in; a left-right-symmetric texture layout out.

The skin is cut along the back of the head, from the neck's rim to the crown, and its border is laid around a
rectangle. The inside is a convex combination map (Floater 1997): every vertex is a mean of its neighbours
with positive weights. With a convex border, such a map has no overlapping and no mirrored triangles. The
weights are then changed step by step (Yoshizawa et al. 2004) until each part has its target size: the face
fills most of the square. The eyeballs and the inside of the mouth are separate islands below.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu

from deca_model.heads.building.mesh import MERIDIANS, PARALLELS, Cut, edges_of

SKIN = (0.005, 0.995, 0.125, 0.995)
"""Left, right, bottom, top of the rectangle that the skin fills."""
ISLAND = 0.052
"""Half the side of the square that holds a small island."""
ISLAND_V = 0.06
"""v of the islands' centres."""
STEPS = 12


def unwrap(cut: Cut, faces: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay the triangles (F, 3) of the symmetric mean face (V, 3) out in texture space.

    ``scale`` (V,) is the target scale of the layout around each vertex, relative to lengths on the mesh.

    Returns:
        (T, 2) texture coordinates in [0, 1], v up, and (F, 3) their triangles.
    """
    body = len(cut.body)
    skin = (faces < body).all(axis=1)
    seam = _seam(cut, mean)
    split = body + np.arange(len(seam) - 1)  # second copies, for the subject's left side; the crown has none
    second = np.arange(body)
    second[seam[:-1]] = split
    left = mean[faces[skin]].mean(axis=1)[:, :1] > 0
    skin_faces = np.where(left, second[faces[skin]], faces[skin])
    border, at = _border(cut, mean, seam, split)
    points, wanted = (np.concatenate([x[:body], x[seam[:-1]]]) for x in (mean, scale))
    uv = _convex_map(skin_faces, border, at, points, wanted)
    other = np.append(cut.mirror[:body], seam[:-1])
    other[seam[:-1]] = split
    uv = 0.5 * (uv + uv[other] * [-1, 1] + [1, 0])

    bag = cut.mouth_inside[faces[skin]].any(axis=1)
    bag_uv, bag_faces = _mouth_island(cut, skin_faces[bag], mean)
    skin_faces[bag] = bag_faces + len(uv)
    uv_faces = np.zeros_like(faces)
    uv_faces[skin] = skin_faces
    layout = [uv, bag_uv]
    for side, middle in (("left", 0.9), ("right", 0.1)):
        ball = np.isin(faces, cut.eyeball[side]).all(axis=1)
        local = faces[ball] - cut.eyeball[side][0]
        # Each triangle at the rear pole gets its own copy: that of the spoke of the corner before the pole.
        pole = local == len(cut.eyeball[side]) - 1
        local[pole] += (np.roll(local, 1, axis=1)[pole] - 1) % MERIDIANS
        uv_faces[ball] = local + sum(map(len, layout))
        layout.append([middle, ISLAND_V] + _ball_island())
    used, numbers = np.unique(uv_faces, return_inverse=True)
    return np.concatenate(layout)[used], numbers.reshape(faces.shape)


def _seam(cut: Cut, mean: np.ndarray) -> np.ndarray:
    """Vertices of the middle line from the neck's rim up the back of the head to the crown."""
    middle = np.flatnonzero((np.abs(mean[:, 0]) < 1e-6) & ~cut.hidden)
    crown = middle[mean[middle, 1].argmax()]
    back = middle[mean[middle, 2] <= mean[crown, 2]]
    return back[mean[back, 1].argsort()]


def _border(cut: Cut, mean: np.ndarray, seam: np.ndarray, split: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Border vertices and their (N, 2) places: one half by arc length, the other is its mirror image."""
    to_left = cut.rim[: len(cut.rim) // 2 + 1]  # from the front to the back
    # The half at high u (the subject's left): front rim (bottom middle), left rim, seam, crown (top middle).
    points = np.concatenate([mean[to_left], mean[seam[1:]]])
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    steps[: len(to_left) - 1] *= 1.3  # more of the border than the rim's length, so that the neck is larger
    along = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
    low, high, bottom, top = SKIN
    width, height = 0.5 * (high - low), top - bottom
    reach = along * (2 * width + height)
    u = 0.5 + np.minimum(reach, width) - np.maximum(reach - width - height, 0)
    v = bottom + np.clip(reach - width, 0, height)
    left = np.concatenate([to_left[:-1], split, seam[-1:]])
    right = np.concatenate([cut.mirror[to_left[1:-1]], seam[:-1]])
    places = np.stack([u, v], axis=1)
    return np.concatenate([left, right]), np.concatenate([places, (places * [-1, 1] + [1, 0])[1:-1]])


def _convex_map(
    faces: np.ndarray, border: np.ndarray, at: np.ndarray, points: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """(N, 2): border vertices at their places, the others at a weighted mean of their neighbours.

    Where the map is smaller than its target, the vertex loses weight in its neighbours' means, so that the
    map grows there. Weights stay positive, so the map is one-to-one after any number of steps.
    """
    count = len(points)
    edges = edges_of(faces)
    start, end = np.concatenate([edges, edges[:, ::-1]]).T
    weight = np.ones(len(start))
    free = np.setdiff1d(np.unique(faces), border)
    uv = np.full((count, 2), 0.5)
    uv[border] = at
    wanted = _vertex_areas(faces, points) * scale**2
    for _ in range(STEPS):
        graph = csr_matrix((weight, (start, end)), shape=(count, count))[free]
        total = np.asarray(graph.sum(axis=1)).ravel()
        solve = splu((diags(total) - graph[:, free]).tocsc())
        uv[free] = solve.solve(graph[:, border] @ at)
        stretch = np.sqrt(wanted / np.maximum(_vertex_areas(faces, uv), 1e-12))
        weight /= np.clip(stretch[end] / np.median(stretch), 0.1, 10) ** 0.7
    return uv


def _vertex_areas(faces: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N,) area of the triangles around each vertex, of points in two or three dimensions."""
    a, b = points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]
    square = (a * a).sum(axis=1) * (b * b).sum(axis=1) - (a * b).sum(axis=1) ** 2
    area = 0.5 * np.sqrt(np.maximum(square, 0))
    return np.bincount(faces.ravel(), np.repeat(area, 3), len(points)) + 1e-15


def _mouth_island(cut: Cut, faces: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inside of the mouth as a round island, seen from the front; its border is the mouth's entrance."""
    chosen, local = np.unique(faces, return_inverse=True)
    local = local.reshape(-1, 3)
    turn = 2 * np.pi * np.arange(len(cut.mouth_entrance)) / len(cut.mouth_entrance) - np.pi / 2
    at = np.stack([np.cos(turn), np.sin(turn)], axis=1) * ISLAND + [0.5, ISLAND_V]
    border = np.searchsorted(chosen, cut.mouth_entrance)
    uv = _convex_map(local, border, at, mean[chosen], np.ones(len(chosen)))
    other = np.searchsorted(chosen, cut.mirror[chosen])
    return 0.5 * (uv + uv[other] * [-1, 1] + [1, 0]), local


def _ball_island() -> np.ndarray:
    """(E - 1 + MERIDIANS, 2) an eyeball as a disc, seen from the front.

    The distance from the disc's centre is proportional to the angle from the front pole. The rear pole would
    be the disc's whole border, so it has a copy for each triangle.
    """
    ring = np.arange(1, PARALLELS + 1)[:, None] / (PARALLELS + 1)
    turn = 2 * np.pi * np.arange(MERIDIANS) / MERIDIANS
    disc = np.stack([ring * np.cos(turn), ring * np.sin(turn)], axis=-1).reshape(-1, 2)
    turn = turn + np.pi / MERIDIANS
    return np.concatenate([[[0, 0]], disc, np.stack([np.cos(turn), np.sin(turn)], axis=1)]) * ISLAND
