"""The face region of a head whose files do not define it."""

from __future__ import annotations

import cv2
import numpy as np


def region_by_landmarks(
    template: np.ndarray,  # (V, 3)
    faces: np.ndarray,  # (F, 3)
    landmarks: np.ndarray,  # (68, 3)
) -> np.ndarray:  # (F,) bool
    """Triangles that face forward inside the landmarks' convex hull, which is extended over the forehead."""
    corners = template[faces]
    brows = landmarks[17:27]
    forehead = brows + [0, 0.6 * (brows[:, 1].mean() - landmarks[33, 1]), 0]
    outline = cv2.convexHull(np.concatenate([landmarks, forehead])[:, :2].astype(np.float32))
    centres = corners.mean(axis=1)
    toward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0
    inside = [cv2.pointPolygonTest(outline, (float(x), float(y)), False) >= 0 for x, y in centres[:, :2]]
    return np.array(inside) & toward & (centres[:, 2] > landmarks[:17, 2].min())
