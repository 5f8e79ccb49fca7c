"""The direction of a head from its 68 landmarks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MEAN_FACE = np.array(
    [
        (27, 0.000, 0.021, -0.275),
        (28, 0.000, 0.189, -0.379),
        (29, 0.000, 0.312, -0.467),
        (30, 0.000, 0.411, -0.489),
        (31, -0.162, 0.490, -0.238),
        (32, -0.097, 0.532, -0.257),
        (33, 0.000, 0.540, -0.276),
        (34, 0.097, 0.532, -0.257),
        (35, 0.162, 0.490, -0.238),
        (36, -0.500, 0.000, 0.000),
        (39, -0.192, 0.023, -0.058),
        (42, 0.192, 0.023, -0.058),
        (45, 0.500, 0.000, 0.000),
        (48, -0.314, 0.749, -0.007),
        (54, 0.314, 0.749, -0.007),
    ]
)
"""The mean face: landmark number, then x, y, z. The unit is the distance between the outer eye corners, the
origin is the middle between them; x points to the image's right, y down, z away from the camera. It is the
mean of MediaPipe's mesh over 250 frontal photos and their mirror images; only points that expressions move
little are used."""

TURNED = 30.0
"""Degrees of yaw above which a head counts as turned: the landmarks of its hidden side are guesses."""

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
