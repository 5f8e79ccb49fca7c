"""The head's own coordinate frame: a rigid fit of the mean mesh to a mesh of MediaPipe.

The mean mesh is symmetric; its unit is the distance between the outer eye corners, its origin the mean of its
points; x points to the image's right, y down, z away from the camera, as in a photo from the front.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

FILE = "face_maps.npz"
"""Arrays of this folder, fitted by `benchmarks.fit_landmark_map` and `benchmarks.fit_head_pose`."""


class FaceFrame(NamedTuple):
    """Where a mesh lies, and its shape without its place, size and rotation.

    Attributes:
        rotation: (3, 3) float64, from the head's axes to the image's.
        scale: pixels per unit of the mean mesh.
        centre: (3,) float64, pixels, the mean of the mesh's points.
        shape: (478, 3) float64, the mesh in the head's frame less the mean mesh.
    """

    rotation: np.ndarray
    scale: float
    centre: np.ndarray
    shape: np.ndarray

    @property
    def yaw(self) -> float:
        """Degrees between the head's forward axis and the vertical plane through the camera.

        Positive where the nose points to the image's right. The mesh network turns its mesh less than the
        head is turned, by up to 30 degrees at a profile (see `head_angles`).
        """
        x, y, z = -self.rotation[:, 2]
        across = x * self.rotation[1, 1] - y * self.rotation[0, 1]  # along the line through the eyes
        return float(np.degrees(np.arctan2(across / np.hypot(*self.rotation[:2, 1]), -z)))


@cache
def arrays() -> dict[str, np.ndarray]:
    """The fitted arrays by name: those kept as float16 (the large ones) as float32, others as float64."""
    with np.load(Path(__file__).with_name(FILE), allow_pickle=False) as found:
        kept = {name: found[name] for name in found}
    wide = {np.dtype(np.float16): np.float32}
    return {name: each.astype(wide.get(each.dtype, np.float64)) for name, each in kept.items()}


def face_frame(mesh: np.ndarray, mean: np.ndarray | None = None) -> FaceFrame:
    """The rigid fit with scale (Umeyama, PAMI 1991) of the mean mesh to a mesh.

    Args:
        mesh: (478, 3), pixels, z in the same unit, larger is further away.
        mean: (478, 3), the mean mesh; None takes the fitted one.
    """
    mean = arrays()["mean_mesh"] if mean is None else mean
    centre = mesh.mean(0, dtype=np.float64)
    points = mesh - centre
    u, sizes, vt = np.linalg.svd(points.T @ mean)
    sign = np.sign(np.linalg.det(u @ vt))
    rotation = (u * (1.0, 1.0, sign)) @ vt
    spread = max(float((points * points).sum()), 1e-12)
    scale = spread / max(float(sizes[0] + sizes[1] + sign * sizes[2]), 1e-12)
    return FaceFrame(rotation, scale, centre, points @ rotation / scale - mean)
