"""Fits MediaPipe's mesh to a face whose position is roughly known, and measures how well it fits.

On near-frontal faces the mesh network is reliable, and one pass is enough. On profiles the result depends on
the crop, and sometimes the network fits the mesh to an ear. There the network runs again on the crop around
its own points, once on the image and once on its mirror image. The mean of both passes is more accurate than
each, and a large disagreement shows that there is no face.

The network refines the points of lips and eyes in a second step. On a turned head this refinement is often
wrong: points move off the head or onto a nostril. So crops are computed, and passes compared, with the plain
points from before the refinement, which are stable. Only the final mesh has the refined points.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from deca_data.backends.mediapipe.landmark_maps import MESH_MIRROR, mesh_to_ibug
from deca_data.backends.mediapipe.outputs import MESH_INPUT, Networks, Seen

SURE = 0.9
"""Presence from which one pass over a near-frontal face is accepted."""

ERROR_SCALE = 0.15
"""Disagreement between the two passes, in parts of the face's size, at which the confidence is 0."""

ON_BOX = 0.45
"""Smallest overlap (intersection over union) of the landmarks' box with the requested box.

Measured on 1,400 photos and checked by eye: correct fits have 0.46 to 0.97 (99 % have 0.6 or more); fits on
an ear, an eye or a cheek have 0.4 or less.
"""

_ROI_SCALE = 1.5  # side of the crop over the longer side of the face, as in MediaPipe's own graphs
_RIGHT_EYE, _LEFT_EYE, _NOSE, _RIGHT_EDGE, _LEFT_EDGE = 33, 263, 1, 234, 454
_ROUNDS = 4  # how often, at most, the crop is computed again from the points
_MIN_PRESENCE = 0.02  # presence, after a second pass, below which `settle` never helped
_SETTLED = 0.05  # disagreement below which another round does not help
_STILL = 0.03  # movement between two rounds, in parts of the face's size, that counts as none
_MAX_ROLL, _MAX_ROLL_TURNED = np.deg2rad([8.0, 11.0])  # roll in the crop up to which the network is accurate


class Roi(NamedTuple):
    """A rotated square of the image, the mesh network's input: centre, side (pixels), angle (radians)."""

    x: float
    y: float
    side: float
    angle: float


class Fit(NamedTuple):
    """A mesh, fitted to a face.

    Attributes:
        mesh: (478, 3) float32; x and y in pixels of the image, z in the same unit, smaller is nearer.
        plain: (478, 3) float32, the same without the network's refinement of lips and eyes (see `Seen`).
        presence: 0 to 1, the network's score that its crop shows a face (the lower one of two passes).
        error: mean distance between the two passes' landmarks over the face's size; 0 after a single pass.
        agreement: 0 to 1, the share of starts that led to this mesh.
        support: 0 to 1, how well the detectors' points of the face agree with the mesh (see `support`).
    """

    mesh: np.ndarray
    plain: np.ndarray
    presence: float
    error: float
    agreement: float = 1.0
    support: float = 1.0

    @property
    def confidence(self) -> float:
        """Presence, reduced by the disagreement of the two passes, the starts and the detectors; 0 to 1."""
        agreeing = max(0.0, 1.0 - self.error / ERROR_SCALE) * self.agreement * self.support
        return self.presence * agreeing

    @property
    def box(self) -> np.ndarray:
        """(4,) float64: x0 y0 x1 y1 around the 68 plain landmarks."""
        return box_of(self.plain)


def box_of(mesh: np.ndarray) -> np.ndarray:
    """(4,) float64: x0 y0 x1 y1 around the 68 landmarks of a mesh."""
    points = mesh_to_ibug(mesh)
    return np.concatenate([points.min(0), points.max(0)]).astype(np.float64)


def roi_of_box(box: np.ndarray, angle: float = 0.0) -> Roi:
    """The crop for a face box x0 y0 x1 y1."""
    x0, y0, x1, y1 = (float(value) for value in box)
    return Roi((x0 + x1) / 2, (y0 + y1) / 2, _ROI_SCALE * max(x1 - x0, y1 - y0), angle)


def roi_of_mesh(mesh: np.ndarray) -> Roi:
    """The crop around a mesh: its eyes level, centred on its points."""
    angle = _roll(mesh)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])  # upright to image
    upright = mesh[:, :2] @ turn
    low, high = upright.min(0), upright.max(0)
    x, y = turn @ ((low + high) / 2)
    return Roi(float(x), float(y), _ROI_SCALE * float((high - low).max()), angle)


def moved(roi: Roi, dx: float, dy: float, scale: float = 1.0) -> Roi:
    """A crop, shifted by parts of its side and scaled about its centre."""
    return roi._replace(x=roi.x + dx * roi.side, y=roi.y + dy * roi.side, side=roi.side * scale)


def fit(models: Networks, image: np.ndarray, roi: Roi) -> Fit:
    """Fits the mesh to the face in ``roi``, in one pass where that is enough, else in several."""
    seen = look(models, image, roi)
    # One pass finds only a part of a head's roll; the refined points show more of it than the plain ones.
    for _ in range(_ROUNDS):
        if seen.presence < SURE or _upright(seen.mesh, roi):
            break
        roi = roi_of_mesh(seen.mesh)
        seen = look(models, image, roi)
    if seen.presence >= SURE and _near_frontal(seen.mesh) and _upright(seen.mesh, roi):
        return Fit(*seen, error=0.0)
    if seen.presence < _MIN_PRESENCE:
        seen = look(models, image, roi_of_mesh(seen.plain))
        if seen.presence < _MIN_PRESENCE:
            return Fit(*seen, error=ERROR_SCALE)
    return settle(models, image, seen)


def settle(models: Networks, image: np.ndarray, seen: Seen) -> Fit:
    """Computes the crop from the plain points and the points from the crop until both passes agree."""
    best = Fit(seen.mesh, seen.plain, 0.0, ERROR_SCALE)
    plain = seen.plain
    for _ in range(_ROUNDS):
        roi = roi_of_mesh(plain)
        if not _usable(roi, image):
            break
        direct = look(models, image, roi)
        if direct.presence < _MIN_PRESENCE:
            break
        mirrored = look(models, image, roi, mirror=True)
        before, plain = plain, (direct.plain + mirrored.plain) / 2
        presence, error = min(direct.presence, mirrored.presence), distance(direct.plain, mirrored.plain)
        found = Fit((direct.mesh + mirrored.mesh) / 2, plain, presence, error)
        if found.confidence >= best.confidence:
            best = found
        if _upright(plain, roi) and found.error < _SETTLED and found.presence >= SURE:
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


def look(models: Networks, image: np.ndarray, roi: Roi, mirror: bool = False) -> Seen:
    """One pass of the mesh network over ``roi`` of the image, or its mirror image; in image pixels."""
    crop, to_image = _crop(image, roi)
    seen = models.mesh(cv2.flip(crop, 1) if mirror else crop)
    scale = roi.side / MESH_INPUT
    mesh, plain = (_placed(points, to_image, scale, mirror) for points in (seen.mesh, seen.plain))
    return Seen(mesh, plain, seen.presence)


def _placed(mesh: np.ndarray, to_image: np.ndarray, scale: float, mirror: bool) -> np.ndarray:
    """Converts a mesh from pixels of a crop, or of its mirror image, to pixels of the image."""
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
    """The part of a large image around ``roi``, reduced to about twice the crop's resolution.

    Each pixel is an average, because single pixels of a large photo would alias and be noisy.
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


def _near_frontal(mesh: np.ndarray) -> bool:
    """True where the nose is in the middle half between the face's edges."""
    across = mesh[_LEFT_EDGE, :2] - mesh[_RIGHT_EDGE, :2]
    place = float((mesh[_NOSE, :2] - mesh[_RIGHT_EDGE, :2]) @ across / max(float(across @ across), 1e-6))
    return 0.25 <= place <= 0.75


def _upright(mesh: np.ndarray, roi: Roi) -> bool:
    """True where the eyes are level in the crop, or nearly so."""
    most = _MAX_ROLL if _near_frontal(mesh) else _MAX_ROLL_TURNED
    return abs((_roll(mesh) - roi.angle + np.pi) % (2 * np.pi) - np.pi) <= most


def _usable(roi: Roi, image: np.ndarray) -> bool:
    height, width = image.shape[:2]
    inside = -0.25 * width <= roi.x <= 1.25 * width and -0.25 * height <= roi.y <= 1.25 * height
    return inside and 4.0 <= roi.side <= 4.0 * max(height, width)
