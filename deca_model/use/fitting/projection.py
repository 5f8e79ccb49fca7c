"""One head's camera, with derivatives: from head space to normalised image coordinates."""

from __future__ import annotations

import numpy as np

_FLIP = np.array([1, -1, -1])  # y downwards, z away from the viewer


def project(places: np.ndarray, camera: np.ndarray) -> np.ndarray:  # (N, 3), (3,) -> (N, 3)
    """As ``camera.project``, for one head in double precision."""
    return (places + np.array([camera[1], camera[2], 0])) * _FLIP * camera[0]


def projected_derivatives(
    seen: np.ndarray,  # (N, 3) from project
    derivatives: np.ndarray,  # (N, 3, K) of the places
    camera: np.ndarray,  # (3,)
) -> np.ndarray:  # (N, 3, K + 3)
    """Derivatives of ``seen`` by the K numbers, the logarithm of the camera's scale, and its shift."""
    rows = np.zeros((*seen.shape, derivatives.shape[2] + 3))
    rows[..., :-3] = derivatives * (_FLIP * camera[0])[None, :, None]
    rows[..., -3] = seen
    rows[:, 0, -2], rows[:, 1, -1] = camera[0], -camera[0]
    return rows
