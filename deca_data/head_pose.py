"""How a head is turned, from its 68 landmarks."""

from __future__ import annotations

import numpy as np

from manifests.landmarks import LEFT_EYE, RIGHT_EYE

# Points that move little with expression and identity, in millimetres on the mean of the open head
# (deca_model/heads/open_head.npz, CC0), made symmetric: x to the picture's right, y up, z to the viewer.
_RIGID = {
    **{17: (-57.9, 35.2, 68.2), 21: (-13.8, 40.4, 95.8), 22: (13.8, 40.4, 95.8), 26: (57.9, 35.2, 68.2)},
    **{27: (0.0, 22.3, 93.2), 28: (0.0, 9.1, 99.1), 29: (0.0, -1.7, 105.6), 30: (0.0, -15.4, 113.9)},
    **{31: (-9.9, -20.5, 97.0), 33: (0.0, -23.4, 105.8), 35: (9.9, -20.5, 97.0)},
    **{36: (-44.4, 24.1, 78.2), 39: (-17.6, 22.2, 82.0), 42: (17.6, 22.2, 82.0), 45: (44.4, 24.1, 78.2)},
    **{48: (-24.0, -47.3, 88.4), 54: (24.0, -47.3, 88.4)},
}
_INDEX = np.array(list(_RIGID))
_POINTS = np.array(list(_RIGID.values())) - np.mean(list(_RIGID.values()), axis=0)
_SOLVE = np.linalg.pinv(_POINTS)


def head_angles(landmarks: np.ndarray) -> tuple[float, float, float]:
    """Yaw, pitch and roll, by a scaled orthographic fit.

    The affine map from the rigid points to the picture is found by least squares, and the rotation
    nearest to it is taken (POS: DeMenthon and Davis, "Model-based object pose in 25 lines of code", 1995).
    The rotation is then Rz(-roll) Rx(-pitch) Ry(yaw).

    Args:
        landmarks: (68, 2) pixels, iBUG order.

    Returns:
        Degrees: yaw positive when the nose points to the picture's right, pitch positive when the face
        looks up, roll positive when the head leans clockwise in the picture.
    """
    seen = landmarks[_INDEX].astype(np.float64) * (1.0, -1.0)
    affine = (_SOLVE @ (seen - seen.mean(axis=0))).T  # (2, 3)
    left, _, right = np.linalg.svd(affine, full_matrices=False)
    rows = left @ right
    depth = np.cross(rows[0], rows[1])
    yaw = np.arctan2(-depth[0], depth[2])
    pitch = -np.arcsin(np.clip(depth[1], -1, 1))
    roll = -np.arctan2(-rows[0, 1], rows[1, 1])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def eye_openness(landmarks: np.ndarray) -> float:
    """Mean distance of the two pairs of lid points over the eye's width, on the eye seen wider.

    That is the eye aspect ratio of Soukupova and Cech, "Real-time eye blink detection using facial
    landmarks" (2016), of the eye on the nearer side of the face.
    """
    eyes = [landmarks[list(eye)].astype(np.float64) for eye in (LEFT_EYE, RIGHT_EYE)]
    widths = [float(np.linalg.norm(eye[3] - eye[0])) for eye in eyes]
    eye, width = eyes[int(np.argmax(widths))], max(widths)
    lids = np.linalg.norm(eye[[1, 2]] - eye[[5, 4]], axis=1).mean()
    return float(lids / max(width, 1e-6))


def mouth_openness(landmarks: np.ndarray) -> float:
    """Mean distance of the three pairs of inner-lip points over the width between the mouth's corners."""
    points = landmarks.astype(np.float64)
    gap = np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1).mean()
    return float(gap / max(float(np.linalg.norm(points[54] - points[48])), 1e-6))
