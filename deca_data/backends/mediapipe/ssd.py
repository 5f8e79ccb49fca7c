"""From the raw output of MediaPipe's face detectors to faces: anchors, decoding, and weighted suppression.

As MediaPipe's own graphs do it. The detectors are single-shot (Liu et al., SSD, ECCV 2016), and overlapping
detections are averaged by their scores (Bazarevsky et al., BlazeFace, 2019).
"""

from __future__ import annotations

import cv2
import numpy as np

from deca_data.backends.mediapipe.outputs import LOWEST_SCORE, RawDetection

GRIDS = {"short": ((8, 2), (16, 6)), "full": ((4, 1),)}
"""Of each detector: pixels of its input between two anchors, and anchors at a place."""

_SAME = 0.3  # overlap (intersection over union) from which two detections are averaged
_LARGEST_LOGIT = 100.0


def anchors(kind: str, side: int) -> np.ndarray:
    """(A, 2) float32: the centres of the anchors, x and y over the input's ``side``."""
    found = []
    for step, count in GRIDS[kind]:
        line = (np.arange(side // step) + 0.5) / (side // step)
        y, x = np.meshgrid(line, line, indexing="ij")
        found.append(np.repeat(np.stack([x, y], -1).reshape(-1, 2), count, axis=0))
    return np.concatenate(found).astype(np.float32)


def letterboxed(image: np.ndarray, side: int) -> np.ndarray:
    """(side, side, 3) uint8: the image in the middle of a black square, scaled to ``side``."""
    height, width = image.shape[:2]
    longer = max(height, width)
    left, top = (width - longer) / 2, (height - longer) / 2
    corners = [(left, top + longer), (left, top), (left + longer, top), (left + longer, top + longer)]
    into = np.array([(0, side), (0, 0), (side, 0), (side, side)], np.float32)
    matrix = cv2.getPerspectiveTransform(np.array(corners, np.float32), into)
    return cv2.warpPerspective(image, matrix, (side, side), flags=cv2.INTER_LINEAR)


def decoded(
    raw: np.ndarray, logits: np.ndarray, centres: np.ndarray, side: int, size: tuple[int, ...]
) -> list[RawDetection]:
    """The faces of one image, the most certain first.

    Args:
        raw: (A, 16): for each anchor the box's centre and size and six points, in pixels of the input from
            the anchor, x before y.
        logits: (A,): scores before the sigmoid.
        centres: (A, 2), as from ``anchors``.
        side: of the network's input, pixels.
        size: height and width of the image that was ``letterboxed``.
    """
    clipped = np.clip(logits.astype(np.float64), -_LARGEST_LOGIT, _LARGEST_LOGIT)
    scores = 1 / (1 + np.exp(-clipped))
    kept = np.flatnonzero((scores >= LOWEST_SCORE) & (raw[:, 2] >= 0) & (raw[:, 3] >= 0))
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    values, scores = raw[kept].reshape(-1, 8, 2) / side, scores[kept]
    places = values + centres[kept, None]
    places[:, 1] = places[:, 0] + values[:, 1] / 2  # the size becomes the lower right corner
    places[:, 0] -= values[:, 1] / 2
    height, width = size
    longer = max(height, width)
    corner = np.array([width - longer, height - longer]) / 2
    faces = []
    for score, (low, high, *points) in _averaged(places, scores):
        box = np.concatenate([low, high]) * longer + np.tile(corner, 2) - 0.5
        pixels = np.array(points) * longer + corner - 0.5
        across = pixels[1] - pixels[0]  # between the eyes
        faces.append(RawDetection(score, box, float(np.arctan2(across[1], across[0])), pixels))
    return sorted(faces, key=lambda face: (-face.score, *face.box))


def _averaged(places: np.ndarray, scores: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Of each group of overlapping detections, best first, the best score and the mean place (8, 2)."""
    found = []
    rest = np.arange(len(scores))
    while len(rest):
        same = _overlap(places[rest[0]], places[rest]) > _SAME
        if not same.any():  # a box without area
            found.append((float(scores[rest[0]]), places[rest[0]].astype(np.float64)))
            break
        group = rest[same]
        mean = np.average(places[group].astype(np.float64), axis=0, weights=scores[group])
        found.append((float(scores[rest[0]]), mean))
        rest = rest[~same]
    return found


def _overlap(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N,) intersection over union of a box with others."""
    low, high = np.maximum(one[0], others[:, 0]), np.minimum(one[1], others[:, 1])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = (one[1] - one[0]).prod() + (others[:, 1] - others[:, 0]).prod(-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
