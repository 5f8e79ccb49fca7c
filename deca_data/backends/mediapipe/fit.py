"""Lays MediaPipe's mesh on a face whose place is roughly known, and judges whether it lies there.

The mesh network is sure of itself on near-frontal faces: one pass is enough. On faces in profile it depends
on how the face is cropped, and now and then it takes an ear for a face. There the face is passed again
through the crop that its own points ask for, once as it is and once mirrored; the mean of both is more
accurate than either, and their disagreement tells a face from a chance find.

The network looks at lips and eyes a second time, more closely. On a turned head that closer look slips, now
off the head, now onto a nostril; so crops are drawn, and passes compared, by the plain points of its first
look, which hold still, and only what comes out has the closer look.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from deca_data.backends.mediapipe.landmark_maps import MESH_MIRROR, mesh_to_ibug
from deca_data.backends.mediapipe.models import FaceModels
from deca_data.backends.mediapipe.outputs import MESH_INPUT, Seen

SURE = 0.9
"""Presence from which one pass over a near-frontal face is trusted."""

ERROR_SCALE = 0.15
"""Disagreement between the two passes, in parts of the face's size, at which the confidence is nought."""

ON_BOX = 0.45
"""Least overlap (intersection over union) of the landmarks' box with the box that was asked for.

Measured on 1,400 photos: fits that a look confirms have 0.46 to 0.97 (99 in 100 have 0.6 or more); an ear,
an eye or a cheek taken for a face has 0.4 or less.
"""

_ROI_SCALE = 1.5  # side of the crop over the longer side of the face, as in MediaPipe's own graphs
_RIGHT_EYE, _LEFT_EYE, _NOSE, _RIGHT_EDGE, _LEFT_EDGE = 33, 263, 1, 234, 454
_ROUNDS = 4  # at most so many times is a crop drawn anew from the points
_HOPELESS = 0.02  # presence, after a second look, below which no settling has been seen to help
_SETTLED = 0.04  # disagreement below which another round brings nothing
_STILL = 0.015  # movement from round to round, in parts of the face's size, that is none
_MAX_ROLL = np.deg2rad(8.0)  # a tilt that the network reads rightly


class Roi(NamedTuple):
    """A turned square of the image, which the mesh network sees: centre, side (pixels), angle (radians)."""

    x: float
    y: float
    side: float
    angle: float


class Fit(NamedTuple):
    """A mesh on a face.

    Attributes:
        mesh: (478, 3) float32; x and y in pixels of the image, z in the same unit, smaller is nearer.
        plain: (478, 3) float32, the same without the network's closer look at lips and eyes (see `Seen`).
        presence: 0 to 1, the network's own belief that its crop held a face (the lower one of two passes).
        error: mean distance between the two passes' landmarks over the face's size; 0 where one was enough.
        agreement: 0 to 1, the share of starts that came to this mesh.
    """

    mesh: np.ndarray
    plain: np.ndarray
    presence: float
    error: float
    agreement: float = 1.0

    @property
    def confidence(self) -> float:
        """Presence, less the more the two passes and the starts disagree; 0 to 1."""
        return self.presence * max(0.0, 1.0 - self.error / ERROR_SCALE) * self.agreement

    @property
    def box(self) -> np.ndarray:
        """(4,) float64: x0 y0 x1 y1 around the 68 plain landmarks."""
        return box_of(self.plain)


def box_of(mesh: np.ndarray) -> np.ndarray:
    """(4,) float64: x0 y0 x1 y1 around the 68 landmarks of a mesh."""
    points = mesh_to_ibug(mesh)
    return np.concatenate([points.min(0), points.max(0)]).astype(np.float64)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes x0 y0 x1 y1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, float(width)) * max(0.0, float(height))
    both = float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - shared
    return shared / both if both > 0 else 0.0


def roi_of_box(box: np.ndarray, angle: float = 0.0) -> Roi:
    """The crop for a face box x0 y0 x1 y1."""
    x0, y0, x1, y1 = (float(value) for value in box)
    return Roi((x0 + x1) / 2, (y0 + y1) / 2, _ROI_SCALE * max(x1 - x0, y1 - y0), angle)


def roi_of_mesh(mesh: np.ndarray) -> Roi:
    """The crop that a mesh asks for: upright along its eyes, centred on its points."""
    angle = _roll(mesh)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])  # upright to image
    upright = mesh[:, :2] @ turn
    low, high = upright.min(0), upright.max(0)
    x, y = turn @ ((low + high) / 2)
    return Roi(float(x), float(y), _ROI_SCALE * float((high - low).max()), angle)


def moved(roi: Roi, dx: float, dy: float, scale: float = 1.0) -> Roi:
    """A crop moved by parts of its side, and scaled about its centre."""
    return roi._replace(x=roi.x + dx * roi.side, y=roi.y + dy * roi.side, side=roi.side * scale)


def fit(models: FaceModels, image: np.ndarray, roi: Roi) -> Fit:
    """Lays the mesh on the face in ``roi``; one pass where that is enough, else some."""
    seen = look(models, image, roi)
    for _ in range(_ROUNDS):  # of a head's tilt the network sees only a part at a time; the closer look, more
        if seen.presence < SURE or abs(_turned(_roll(seen.mesh), roi.angle)) <= _MAX_ROLL:
            break
        roi = roi_of_mesh(seen.mesh)
        seen = look(models, image, roi)
    if seen.presence >= SURE and _near_frontal(seen.mesh, roi):
        return Fit(*seen, error=0.0)
    if seen.presence < _HOPELESS:
        seen = look(models, image, roi_of_mesh(seen.plain))
        if seen.presence < _HOPELESS:
            return Fit(*seen, error=ERROR_SCALE)
    return settle(models, image, seen)


def settle(models: FaceModels, image: np.ndarray, seen: Seen) -> Fit:
    """Draws the crop from the plain points and the points from the crop until both passes agree."""
    best = Fit(seen.mesh, seen.plain, 0.0, ERROR_SCALE)
    plain = seen.plain
    for _ in range(_ROUNDS):
        roi = roi_of_mesh(plain)
        if not _usable(roi, image):
            break
        direct = look(models, image, roi)
        if direct.presence < _HOPELESS:
            break
        mirrored = look(models, image, roi, mirror=True)
        before, plain = plain, (direct.plain + mirrored.plain) / 2
        presence, error = min(direct.presence, mirrored.presence), distance(direct.plain, mirrored.plain)
        found = Fit((direct.mesh + mirrored.mesh) / 2, plain, presence, error)
        if found.confidence >= best.confidence:
            best = found
        upright = abs(_turned(_roll(plain), roi.angle)) <= _MAX_ROLL
        if upright and found.error < _SETTLED and found.presence >= SURE:
            break
        if distance(before, plain) < _STILL:
            break
    return best


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean distance between the landmarks of two meshes over the longer side of their common box."""
    first, second = mesh_to_ibug(a), mesh_to_ibug(b)
    both = np.concatenate([first, second])
    size = float(np.ptp(both, axis=0).max())
    return float(np.linalg.norm(first - second, axis=1).mean()) / max(size, 1e-6)


def look(models: FaceModels, image: np.ndarray, roi: Roi, mirror: bool = False) -> Seen:
    """One pass of the mesh network over ``roi``, of the image or of its mirror image; in image pixels."""
    crop, to_image = _crop(image, roi)
    seen = models.mesh(cv2.flip(crop, 1) if mirror else crop)
    scale = roi.side / MESH_INPUT
    mesh, plain = (_placed(points, to_image, scale, mirror) for points in (seen.mesh, seen.plain))
    return Seen(mesh, plain, seen.presence)


def _placed(mesh: np.ndarray, to_image: np.ndarray, scale: float, mirror: bool) -> np.ndarray:
    """A mesh in pixels of a crop, or of its mirror image, in pixels of the image."""
    if mirror:
        mesh = mesh[MESH_MIRROR]
        mesh[:, 0] = MESH_INPUT - 1 - mesh[:, 0]
    points = mesh[:, :2] @ to_image[:, :2].T + to_image[:, 2]
    return np.column_stack([points, mesh[:, 2] * scale]).astype(np.float32)


def _crop(image: np.ndarray, roi: Roi) -> tuple[np.ndarray, np.ndarray]:
    """The crop and the (2, 3) matrix from its pixels to the image's; black outside of the image."""
    scale = roi.side / MESH_INPUT
    cos, sin, half = np.cos(roi.angle) * scale, np.sin(roi.angle) * scale, (MESH_INPUT - 1) / 2
    to_image = np.array([[cos, -sin, roi.x - (cos - sin) * half], [sin, cos, roi.y - (sin + cos) * half]])
    source, to_source = _reduced(image, roi, to_image) if scale > 2 else (image, to_image)
    crop = cv2.warpAffine(
        source, to_source, (MESH_INPUT, MESH_INPUT), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return crop, to_image


def _reduced(image: np.ndarray, roi: Roi, to_image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of a large image around ``roi``, averaged down to about twice the crop's resolution.

    Taking single pixels out of a large photo would alias and be noisy.
    """
    factor = int(roi.side / MESH_INPUT / 2) + 1
    reach = roi.side * 0.75  # more than half the diagonal
    height, width = image.shape[:2]
    x0, y0 = max(int(roi.x - reach), 0), max(int(roi.y - reach), 0)
    x1, y1 = min(int(roi.x + reach) + 1, width), min(int(roi.y + reach) + 1, height)
    x1, y1 = x0 + (x1 - x0) // factor * factor, y0 + (y1 - y0) // factor * factor
    if x1 <= x0 or y1 <= y0:
        return image, to_image
    small = cv2.resize(
        image[y0:y1, x0:x1], ((x1 - x0) // factor, (y1 - y0) // factor), interpolation=cv2.INTER_AREA
    )
    to_small = to_image / factor
    to_small[:, 2] -= ((x0 + (factor - 1) / 2) / factor, (y0 + (factor - 1) / 2) / factor)
    return small, to_small


def _roll(mesh: np.ndarray) -> float:
    dx, dy = mesh[_LEFT_EYE, :2] - mesh[_RIGHT_EYE, :2]
    return float(np.arctan2(dy, dx))


def _near_frontal(mesh: np.ndarray, roi: Roi) -> bool:
    """True where the nose is in the middle half between the face's edges and the eyes are level."""
    across = mesh[_LEFT_EDGE, :2] - mesh[_RIGHT_EDGE, :2]
    place = float((mesh[_NOSE, :2] - mesh[_RIGHT_EDGE, :2]) @ across / max(float(across @ across), 1e-6))
    return 0.25 <= place <= 0.75 and abs(_turned(_roll(mesh), roi.angle)) <= _MAX_ROLL


def _turned(a: float, b: float) -> float:
    """The angle from ``b`` to ``a``, radians, -pi to pi."""
    return float((a - b + np.pi) % (2 * np.pi) - np.pi)


def _usable(roi: Roi, image: np.ndarray) -> bool:
    height, width = image.shape[:2]
    inside = -0.25 * width <= roi.x <= 1.25 * width and -0.25 * height <= roi.y <= 1.25 * height
    return inside and 4.0 <= roi.side <= 4.0 * max(height, width)
