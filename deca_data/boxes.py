"""Measures of face boxes: (4,) arrays of x0, y0, x1, y1 in pixels."""

from __future__ import annotations

import numpy as np


def longer_side(box: np.ndarray) -> float:
    """Width or height, whichever is larger."""
    return float(np.max(box[2:] - box[:2]))


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union, 0 to 1."""
    shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    both = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return float(shared / both) if both > 0 else 0.0
