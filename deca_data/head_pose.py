"""The direction of a head from its 68 landmarks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MEAN_FACE = np.array(
    [
        (27, 0.000, -0.060, -0.224),
        (28, 0.000, 0.068, -0.328),
        (29, 0.000, 0.185, -0.463),
        (30, 0.000, 0.309, -0.574),
        (31, -0.150, 0.452, -0.319),
        (32, -0.079, 0.468, -0.368),
        (33, 0.000, 0.487, -0.391),
        (34, 0.079, 0.468, -0.368),
        (35, 0.150, 0.452, -0.319),
        (36, -0.500, 0.000, 0.000),
        (39, -0.216, 0.012, -0.056),
        (42, 0.216, 0.012, -0.056),
        (45, 0.500, 0.000, 0.000),
        (48, -0.318, 0.744, -0.129),
        (54, 0.318, 0.744, -0.129),
    ]
)
"""The mean face: landmark number, then x, y, z. The unit is the distance between the outer eye corners, the
origin is the middle between them; x points to the image's right, y down, z away from the camera. It is the
mean of MediaPipe's mesh over 200 photos and their mirror images, with the offsets that make it the 68
landmarks, turned so that people who look straight ahead have a mean pitch of 0; only points that expressions
move little are used."""

TURNED = 28.0
"""Degrees of yaw, by `head_pose`, above which a head counts as turned: the landmarks of its hidden side are
guesses. The head itself is then turned by about 36 degrees."""

_INDEX = MEAN_FACE[:, 0].astype(int)
_MIDDLE = MEAN_FACE[:, 1:].mean(0)
_POINTS = MEAN_FACE[:, 1:] - _MIDDLE
_SOLVER = np.linalg.pinv(_POINTS)  # (3, 15)


class HeadPose(NamedTuple):
    """Angles in degrees, from -180 to 180; all zero where the face looks into the camera.

    Attributes:
        yaw: positive where the nose points to the image's right.
        pitch: positive where the face looks up.
        roll: positive where the head leans clockwise in the image.
    """

    yaw: float
    pitch: float
    roll: float


class HeadFit(NamedTuple):
    """The mean face, fitted to the landmarks.

    Attributes:
        rotation: (3, 3) float64, from the mean face to the image: x to the right, y down, z away.
        scale: distance between the outer eye corners, pixels.
        centre: (2,) float64, pixels, position of the mean of the mean face's points.
    """

    rotation: np.ndarray
    scale: float
    centre: np.ndarray

    def place(self, point: tuple[float, float, float]) -> np.ndarray:
        """The position in the image, (2,) pixels, of a point in the mean face's coordinates.

        These are x, y, z in distances between the outer eye corners, from the middle between them.
        """
        return self.centre + self.scale * (self.rotation[:2] @ (np.array(point) - _MIDDLE))


def head_fit(landmarks: np.ndarray) -> HeadFit | None:
    """A scaled orthographic fit of the mean face to the landmarks.

    The least-squares affine map from the mean face to the image is replaced by the nearest scaled rotation
    (as in DeMenthon and Davis, "Model-based object pose in 25 lines of code", IJCV 1995, without the
    perspective steps).

    Args:
        landmarks: (68, 2) iBUG order, pixels, y down.

    Returns:
        The fit, or None where the points lie on one line.
    """
    image = landmarks[_INDEX].astype(np.float64)
    affine = (_SOLVER @ (image - image.mean(0))).T  # (2, 3)
    u, scales, vt = np.linalg.svd(affine, full_matrices=False)
    if not scales[1] > 1e-6 * max(scales[0], 1e-12):
        return None
    rows = u @ vt
    rotation = np.vstack([rows, np.cross(rows[0], rows[1])])
    return HeadFit(rotation, float(scales.mean()), image.mean(0))


def head_pose(landmarks: np.ndarray) -> HeadPose | None:
    """The head's angles, by `head_fit`: the head turns by yaw first, then by pitch, then by roll.

    Landmark networks turn profiles less than they are: at 90 degrees a yaw of about 57 is found.

    Args:
        landmarks: (68, 2) iBUG order, pixels, y down.

    Returns:
        The angles, or None where the points lie on one line.
    """
    found = head_fit(landmarks)
    return None if found is None else angles(found)


def angles(found: HeadFit) -> HeadPose:
    """The angles of a fit."""
    down, forward = found.rotation[:, 1], -found.rotation[:, 2]
    roll = np.arctan2(-down[0], down[1])
    cos, sin = np.cos(roll), np.sin(roll)
    x, y, z = cos * forward[0] + sin * forward[1], -sin * forward[0] + cos * forward[1], forward[2]
    yaw, pitch = np.arctan2(x, np.hypot(y, z)), np.arctan2(-y, -z)
    return HeadPose(*(float(angle) for angle in np.degrees([yaw, pitch, roll])))
