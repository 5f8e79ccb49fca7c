"""Maps of the parts of a face, drawn from MediaPipe's dense mesh."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np

# Indices into MediaPipe's 478 points, as rings. "Right" is the person's right.
EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
NOSTRILS = (64, 98, 97, 2, 326, 327, 294, 278, 344, 440, 274, 1, 44, 220, 115, 48)
INNER_CHEEKS = (100, 329, 101, 330, 36, 266, 206, 426, 168)  # rarely under hair, a beard or glasses
TOP_ARC = (127, 162, 21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 389, 356)  # temple to temple
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
    *(148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
FOREHEAD_TOP, CHIN, NOSE_BASE, NOSE_TIP, RIGHT_SIDE, LEFT_SIDE = 10, 152, 2, 1, 234, 454
MESH_POINTS = 468  # the last ten of the 478 are the irises

SUBPIXEL = 4  # fractional bits of the coordinates that OpenCV draws with


class FaceRegions(NamedTuple):
    """Parts of one face in a crop; maps are (H, W).

    Attributes:
        face: bool, the silhouette of the mesh: chin to mid-forehead, only what the camera can see.
        forehead: bool, the skin or hair above the mesh, up to the highest possible hairline.
        features: bool, brows, eyes, lips and nostrils: part of the face, but of other colours than the skin.
        lids: bool, between brow and eye, where shadow and make-up darken the skin.
        sockets: two bool maps, the surroundings of each eye and brow, features included.
        eyes: bool, between the lids.
        lips: bool, the lips and the area between them.
        inner_cheeks: bool, nose and inner cheeks without the features.
        height: chin to the top of the mesh, in pixels.
        right, up: float32, coordinates in the upright face, in face heights from the base of the nose.
        brow_up: the brows' mean on the ``up`` axis.
        forehead_up: how far the forehead rises above the mesh, in face heights.
        turned: whether the head is turned far to one side.
    """

    face: np.ndarray
    forehead: np.ndarray
    features: np.ndarray
    lids: np.ndarray
    sockets: tuple[np.ndarray, np.ndarray]
    eyes: np.ndarray
    lips: np.ndarray
    inner_cheeks: np.ndarray
    height: float
    right: np.ndarray
    up: np.ndarray
    brow_up: float
    forehead_up: float
    turned: bool

    @property
    def outline(self) -> np.ndarray:
        """(H, W) bool: face and forehead."""
        return self.face | self.forehead


def find_regions(
    mesh: np.ndarray,  # (478, 3) x, y, z in pixels of the crop; z grows away from the camera
    shape: tuple[int, ...],  # (H, W) of the crop
    forehead_up: float,  # how far a forehead may rise above the mesh, in face heights
    forehead_back: float,  # how far the skull recedes over that height, in face heights
) -> FaceRegions:
    """Draws the regions of one face."""
    points = mesh[:, :2]
    turned = _turned(points)
    face = _silhouette(points, shape, turned)
    for ring in (*EYES, LIPS):
        face |= _polygon(points[list(ring)], shape)
    forehead = _forehead(mesh, shape, forehead_up, forehead_back) & ~face
    eyes = _polygon(points[list(EYES[0])], shape) | _polygon(points[list(EYES[1])], shape)
    lips = grow(_polygon(points[list(LIPS)], shape), 3)
    features = eyes | lips | _polygon(points[list(NOSTRILS)], shape)
    for ring in BROWS:
        features |= _polygon(points[list(ring)], shape)
    features = grow(features, 3) & face
    hulls = [_hull(points[list(eye + brow)], shape) for eye, brow in zip(EYES, BROWS, strict=True)]
    inner = _hull(points[list(INNER_CHEEKS)], shape)
    axis, height = upward(points)
    right, up = _face_frame(points[NOSE_BASE], axis, height, shape)
    brows = points[[i for ring in BROWS for i in ring]]
    return FaceRegions(
        face=face,
        forehead=forehead,
        features=features,
        lids=(hulls[0] | hulls[1]) & face & ~features,
        sockets=(grow(hulls[0], 5) & face, grow(hulls[1], 5) & face),
        eyes=eyes,
        lips=lips,
        inner_cheeks=inner & ~features,
        height=height,
        right=right,
        up=up,
        brow_up=float(((brows - points[NOSE_BASE]) @ axis).mean() / height),
        forehead_up=forehead_up,
        turned=turned,
    )


def _turned(points: np.ndarray) -> bool:
    """True where the nose is outside the middle half between the face's sides."""
    across = points[LEFT_SIDE] - points[RIGHT_SIDE]
    nose = float((points[NOSE_TIP] - points[RIGHT_SIDE]) @ across / max(float(across @ across), 1e-6))
    return not 0.25 <= nose <= 0.75


def upward(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The unit vector (2,) from the chin to the top of the mesh, and the distance between the two."""
    axis = points[FOREHEAD_TOP, :2] - points[CHIN, :2]
    height = max(float(np.hypot(*axis)), 1e-3)
    return axis / height, height


def grow(mask: np.ndarray, size: int) -> np.ndarray:
    """Dilates an (H, W) bool mask with a square of ``size`` pixels."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)) > 0


@lru_cache(maxsize=1)
def _triangles() -> np.ndarray:
    """(T, 3) the triangles of the mesh: all triples of points that are joined in pairs."""
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION as edges

    joined: dict[int, set[int]] = {}
    for a, b in edges:
        joined.setdefault(a, set()).add(b)
        joined.setdefault(b, set()).add(a)
    triples = {tuple(sorted((a, b, c))) for a, b in edges for c in joined[a] & joined[b]}
    return np.array(sorted(triples))


@lru_cache(maxsize=1)
def _rim_triangles() -> np.ndarray:
    """(T, 3) the triangles that touch the oval's ring."""
    triangles = _triangles()
    return triangles[np.isin(triangles, OVAL).any(1)]


def _silhouette(points: np.ndarray, shape: tuple[int, ...], turned: bool) -> np.ndarray:
    """The union of all triangles.

    Where the head is not turned far, that is the oval and the triangles at its rim. In profile the oval's
    ring crosses itself.
    """
    fixed = _fixed(points[:MESH_POINTS])
    mask = np.zeros(shape, np.uint8)
    if not turned:
        cv2.fillPoly(mask, [fixed[list(OVAL)]], (1,), shift=SUBPIXEL)
    for corners in fixed[_triangles() if turned else _rim_triangles()]:
        cv2.fillConvexPoly(mask, corners, (1,), shift=SUBPIXEL)
    return mask > 0


def _forehead(mesh: np.ndarray, shape: tuple[int, ...], rise: float, back: float) -> np.ndarray:
    """The band above the mesh: its top arc, extended over the skull in 3-D so that it turns with the head."""
    up = mesh[FOREHEAD_TOP] - mesh[CHIN]
    height = max(float(np.linalg.norm(up)), 1e-3)
    up = up / height
    across = mesh[LEFT_SIDE] - mesh[RIGHT_SIDE]
    across = across - up * float(across @ up)
    forward = np.cross(across / max(float(np.linalg.norm(across)), 1e-3), up)
    if forward @ (mesh[NOSE_TIP] - mesh[[RIGHT_SIDE, LEFT_SIDE]].mean(0)) < 0:
        forward = -forward
    arc = mesh[list(TOP_ARC)]
    bulge = np.sqrt(1 - np.linspace(-1, 1, len(arc)) ** 2)[:, None]  # 0 at the temples
    beyond = arc + bulge * height * (rise * up - back * forward)
    mask = np.zeros(shape, np.uint8)
    lower, upper = _fixed(arc[:, :2]), _fixed(beyond[:, :2])
    for (a, b), (c, d) in zip(pairwise(lower), pairwise(upper), strict=True):
        cv2.fillConvexPoly(mask, np.array([a, b, c]), (1,), shift=SUBPIXEL)
        cv2.fillConvexPoly(mask, np.array([b, c, d]), (1,), shift=SUBPIXEL)
    return mask > 0


def _face_frame(
    origin: np.ndarray, axis: np.ndarray, height: float, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    x = (np.arange(shape[1], dtype=np.float32) - origin[0])[None, :] / height
    y = (np.arange(shape[0], dtype=np.float32) - origin[1])[:, None] / height
    right = (-axis[1] * x + axis[0] * y).astype(np.float32)
    return right, (axis[0] * x + axis[1] * y).astype(np.float32)


def _polygon(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return cv2.fillPoly(np.zeros(shape, np.uint8), [_fixed(points)], (1,), shift=SUBPIXEL) > 0


def _hull(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return _polygon(cv2.convexHull(points.astype(np.float32))[:, 0], shape)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << SUBPIXEL)).astype(np.int32)
