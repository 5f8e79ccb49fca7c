"""The 68 landmarks of a mesh, as annotators of 300-W place them.

Single points of the mesh (`mesh_to_ibug`) differ from the annotators' places by up to a tenth of the distance
between the eyes: the jaw line runs higher and wider, the ends of the brows lie further out, the bridge of the
nose lower. The corrections here were fitted to hand-made landmarks (`benchmarks.fit_landmark_map`):

- an offset of each landmark in the head's frame, which turns with the head;
- a linear function of the whole mesh's shape in that frame and of the yaw, also in the head's frame. The
  annotated photos show heads turned by at most 45 degrees, so it fades out beyond that.
"""

from __future__ import annotations

import numpy as np

from deca_data.backends.mediapipe.face_frame import FaceFrame, arrays, face_frame
from deca_data.backends.mediapipe.landmark_maps import mesh_to_ibug

_FULL, _NONE = 40.0, 55.0
"""Yaw of the mesh, in degrees, up to which the linear function counts in full, and from which not at all."""


def ibug_landmarks(mesh: np.ndarray, frame: FaceFrame | None = None) -> np.ndarray:
    """(68, 2) float32: the iBUG landmarks of a (478, 3) mesh, in pixels of its image.

    ``frame`` is the mesh's `face_frame`, if it is known.
    """
    found, frame = arrays(), frame or face_frame(mesh)
    offset = found["offset"] + share(frame) * correction(features(frame))
    return (mesh_to_ibug(mesh) + frame.scale * offset @ frame.rotation[:2].T).astype(np.float32)


def features(frame: FaceFrame) -> np.ndarray:
    """(1437,) what the linear function depends on: the shape, and three terms of the yaw."""
    yaw = frame.yaw / 15
    return np.concatenate([frame.shape.ravel(), [yaw, abs(yaw), yaw * yaw / 3]])


def share(frame: FaceFrame) -> float:
    """0 to 1: how much the linear function counts."""
    return float(np.clip((_NONE - abs(frame.yaw)) / (_NONE - _FULL), 0, 1))


def correction(values: np.ndarray) -> np.ndarray:
    """(68, 3): the linear function, in the head's frame and its unit."""
    return (values.astype(np.float32) @ arrays()["basis"] @ arrays()["weights"]).reshape(68, 3)
