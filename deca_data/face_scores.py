"""Scores of one face's pixels and landmarks; the docstring of `stages/quality.py` says what each means."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from manifests.landmarks import EYELID_PAIRS, INNER_LIP_PAIRS

SIDE = 128
"""Scores are measured on a square of this side, in pixels, so that large and small photos can be compared."""

DARK, BURNT = 4, 251
"""A pixel is clipped if its luma is at most the first or at least the second value."""


class PixelScores(NamedTuple):
    """Sharpness in grey levels squared, brightness and clipping 0 to 1; None without any face pixel."""

    sharpness: float | None
    brightness: float | None
    clipping: float | None


def measure_pixels(image: np.ndarray, landmarks: np.ndarray) -> PixelScores:
    """Scores of the pixels inside the landmarks' hull.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (68, 2) pixels.
    """
    return scores_in(*square_of(image, landmarks, SIDE), image.shape, landmarks)


def eye_openness(landmarks: np.ndarray, yaw: float = 0.0) -> float | None:
    """Mean lid distance over mean eye width: about 0.3 open, below 0.15 closed; None if width is 0.

    The width of the far eye is foreshortened. So it counts less from a yaw of 15 degrees, and not at all from
    30.

    Args:
        landmarks: (68, 2) pixels.
        yaw: degrees, positive where the nose points to the image's right.
    """
    far = min(max((30 - abs(yaw)) / 15, 0.0), 1.0)
    left, right = (1.0, far) if yaw > 0 else (far, 1.0)
    lids = [float(np.linalg.norm(landmarks[a] - landmarks[b])) for a, b in EYELID_PAIRS]
    widths = [float(np.linalg.norm(landmarks[a] - landmarks[b])) for a, b in ((36, 39), (42, 45))]
    width = left * widths[0] + right * widths[1]
    return (left * sum(lids[:2]) + right * sum(lids[2:])) / (2 * width) if width > 0 else None


def mouth_openness(landmarks: np.ndarray) -> float | None:
    """Mean inner-lip distance over the mouth's width: 0 closed, about 0.5 wide open; None if width is 0."""
    lips = [np.linalg.norm(landmarks[a] - landmarks[b]) for a, b in INNER_LIP_PAIRS]
    width = np.linalg.norm(landmarks[54] - landmarks[48])
    return float(np.mean(lips) / width) if width > 0 else None


def square_of(image: np.ndarray, landmarks: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The luma of the upright square around a face, (side, side) uint8, and the (2, 3) matrix to it.

    Centre and size come from the mean and the spread of all landmarks, because the error of one landmark
    changes these less than it changes a bounding box. Outside the photo its edge is repeated.

    It is sampled at twice the density and averaged, so that its sharpness depends little on the sub-pixel
    position of the square in a large photo.
    """
    centre = landmarks.mean(0)
    spread = float(np.sqrt(((landmarks - centre) ** 2).sum(1).mean()))
    size = max(2.9 * spread, 1.0)
    x0, y0 = centre - size / 2
    shrink = max(1, int(size / (4 * side)))
    part, x, y = _surroundings(image, x0, y0, size, shrink)
    luma = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    if shrink > 1:
        luma = cv2.resize(
            luma, (luma.shape[1] // shrink, luma.shape[0] // shrink), interpolation=cv2.INTER_AREA
        )
    # Doubled by cubic resizing, which is fast, so that the linear warp after it blurs little.
    luma, step = cv2.resize(luma, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), shrink / 2
    scale = side / size
    to_square = np.array([[scale, 0, -x0 * scale - 0.5], [0, scale, -y0 * scale - 0.5]])
    # Pixel p of this luma is pixel (p + 0.5) * step - 0.5 + (x, y) of the image.
    offset = np.array([x, y]) + (step - 1) / 2
    to_dense = np.column_stack([to_square[:, :2] * 2, to_square[:, 2] * 2 + 0.5])
    from_part = np.column_stack([to_dense[:, :2] * step, to_dense[:, :2] @ offset + to_dense[:, 2]])
    dense = cv2.warpAffine(
        luma, from_part, (2 * side, 2 * side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return cv2.resize(dense, (side, side), interpolation=cv2.INTER_AREA), to_square


def scores_in(
    luma: np.ndarray, to_square: np.ndarray, shape: tuple[int, ...], landmarks: np.ndarray
) -> PixelScores:
    """The scores in the square that `square_of` made, with SIDE, of a photo of this ``shape``."""
    height, width = shape[:2]
    corners = np.array([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]])
    inside = cv2.bitwise_and(_filled(_moved(landmarks, to_square)), _filled(_moved(corners, to_square)))
    # The rim is left out: there the Laplacian uses pixels outside the hull or the photo.
    face = cv2.erode(inside, np.ones((3, 3), np.uint8)) > 0
    values = luma[face]
    if values.size == 0:
        return PixelScores(None, None, None)
    edges = cv2.Laplacian(luma, cv2.CV_64F)[face]
    clipped = np.mean((values <= DARK) | (values >= BURNT))
    return PixelScores(float(edges.var()), float(values.mean() / 255), float(clipped))


def _surroundings(
    image: np.ndarray, x0: float, y0: float, size: float, multiple: int
) -> tuple[np.ndarray, int, int]:
    """The part of the image under the square, its sides multiples of ``multiple``, and where it begins."""
    height, width = image.shape[:2]
    left = int(np.clip(x0 - 2 * multiple, 0, max(width - multiple, 0)))
    top = int(np.clip(y0 - 2 * multiple, 0, max(height - multiple, 0)))
    right = int(np.clip(x0 + size + 2 * multiple, left + multiple, max(width, left + multiple)))
    bottom = int(np.clip(y0 + size + 2 * multiple, top + multiple, max(height, top + multiple)))
    right, bottom = min(right, width), min(bottom, height)
    right -= (right - left) % multiple if right - left > multiple else 0
    bottom -= (bottom - top) % multiple if bottom - top > multiple else 0
    return image[top:bottom, left:right], left, top


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def _filled(points: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) uint8, 255 inside the hull of the points."""
    hull = np.round(cv2.convexHull(points.astype(np.float32))).astype(np.int32)
    return np.asarray(cv2.fillConvexPoly(np.zeros((SIDE, SIDE), np.uint8), hull, (255,)))
