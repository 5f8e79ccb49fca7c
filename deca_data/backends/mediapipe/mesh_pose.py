"""The head's angles from the dense mesh.

The rigid fit of the mean mesh (`face_frame`) is exact for the mesh, but the network turns its mesh less than
the head is turned: by a yaw of 45 degrees at 60, and of 57 at 90. The two constants of each correction were
fitted to photos of known angles by `benchmarks.head_pose`, which also measures what is left of the error.
"""

from __future__ import annotations

import numpy as np

from deca_data.backends.mediapipe.face_frame import FaceFrame, face_frame
from deca_data.head_pose import HeadFit, HeadPose, angles

TILT = 9.7
"""Degrees that the mean mesh looks up: the mean pitch that people have who look straight ahead."""

CURVE = (63.5, 52.0, -28.8)
"""Coefficients of the head's yaw, in degrees, at t, t^3 and t^5; t is the mesh's yaw over 60 degrees."""

_LARGEST = 67.0  # degrees of the mesh's yaw at which the curve ends; the largest seen on profiles is 66


def head_angles(mesh: np.ndarray, frame: FaceFrame | None = None) -> HeadPose:
    """The angles of the head that a (478, 3) mesh in pixels was fitted to.

    ``frame`` is the mesh's `face_frame`, if it is known.
    """
    yaw, pitch, roll = mesh_angles(mesh, frame=frame)
    t = np.clip(yaw, -_LARGEST, _LARGEST) / 60
    return HeadPose(float(sum(c * t**n for c, n in zip(CURVE, (1, 3, 5), strict=True))), pitch, roll)


def mesh_angles(mesh: np.ndarray, tilt: float = TILT, frame: FaceFrame | None = None) -> HeadPose:
    """The angles of the mesh itself, which looks up by ``tilt`` degrees less than the mean mesh."""
    frame = frame or face_frame(mesh)
    cos, sin = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    level = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return angles(HeadFit(frame.rotation @ level, frame.scale, frame.centre[:2]))
