"""A small crop around one face, and the way back into the full-size mask."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class CropFrame(NamedTuple):
    """Where a crop lies in its image.

    Attributes:
        matrix: (2, 3) float32, from pixels of the image to pixels of the crop: a turn, a scale and a shift.
        size: width and height of the crop.
        scale: pixels of the crop per pixel of the image.
    """

    matrix: np.ndarray
    size: tuple[int, int]
    scale: float


def upright_frame(points: np.ndarray, up: np.ndarray, longer_side: int) -> CropFrame:
    """A crop of the face turned upright, with room for the hair above and the surroundings beside.

    Args:
        points: (N, 2) pixels of the image, covering the face from the chin to the mid-forehead.
        up: (2,) unit vector in the image that shall point up in the crop.
        longer_side: of the crop, in pixels.
    """
    turn = np.array([[-up[1], up[0]], [-up[0], -up[1]]], np.float32)
    turned = points @ turn.T
    low, high = turned.min(0), turned.max(0)
    side = max(float((high - low).max()), 1.0)
    low = low - np.array([0.30 * side, 0.45 * side], np.float32)
    high = high + np.array([0.30 * side, 0.15 * side], np.float32)
    scale = longer_side / float((high - low).max())
    width, height = np.ceil((high - low) * scale).astype(int)
    matrix = np.concatenate([turn * scale, (-low * scale)[:, None]], 1).astype(np.float32)
    return CropFrame(matrix, (int(width), int(height)), scale)


def cut(image: np.ndarray, frame: CropFrame) -> np.ndarray:
    """The crop; big faces are first reduced by area averaging, so that no detail turns into noise."""
    x0, y0, x1, y1 = _overlap(frame, image.shape[:2])
    part = image[y0:y1, x0:x1]
    factor_x = factor_y = 1.0
    if frame.scale < 0.5:
        shrink = 1.5 * frame.scale
        size = max(1, round((x1 - x0) * shrink)), max(1, round((y1 - y0) * shrink))
        factor_x, factor_y = size[0] / (x1 - x0), size[1] / (y1 - y0)
        part = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    # pixel centres at integers: x_image = (x_part + 0.5) / factor - 0.5 + x0
    x_row = [1 / factor_x, 0, 0.5 / factor_x - 0.5 + x0]
    y_row = [0, 1 / factor_y, 0.5 / factor_y - 0.5 + y0]
    to_image = np.array([x_row, y_row, [0, 0, 1]])
    matrix = np.asarray(frame.matrix @ to_image, np.float64)
    part = np.ascontiguousarray(part)
    return cv2.warpAffine(part, matrix, frame.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def cut_reduced(image: np.ndarray, matrix: np.ndarray, shrink: int, size: tuple[int, int]) -> np.ndarray:
    """The crop of ``size`` that a (2, 3) matrix takes from the image, first reduced ``shrink`` times.

    The reduction averages, against aliasing.
    """
    if shrink > 1:
        height, width = image.shape[:2]
        image = cv2.resize(
            image, (max(width // shrink, 1), max(height // shrink, 1)), interpolation=cv2.INTER_AREA
        )
        ratio = np.array([width / image.shape[1], height / image.shape[0]])
        matrix = np.column_stack([matrix[:, :2] * ratio, matrix[:, :2] @ (ratio / 2 - 0.5) + matrix[:, 2]])
    return cv2.warpAffine(image, np.asarray(matrix, np.float64), size, flags=cv2.INTER_LINEAR)


def inside_image(frame: CropFrame, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool: which pixels of the crop lie in the image of size ``shape`` (height, width)."""
    back = cv2.invertAffineTransform(frame.matrix)
    x = np.arange(frame.size[0], dtype=np.float64)[None, :]
    y = np.arange(frame.size[1], dtype=np.float64)[:, None]
    u = back[0, 0] * x + back[0, 1] * y + back[0, 2]
    v = back[1, 0] * x + back[1, 1] * y + back[1, 2]
    return (u > -0.5) & (v > -0.5) & (u < shape[1] - 0.5) & (v < shape[0] - 0.5)


def paste(probability: np.ndarray, frame: CropFrame, shape: tuple[int, ...]) -> np.ndarray:
    """The full-size mask; only the part that the crop can touch is computed."""
    x0, y0, x1, y1 = _overlap(frame, shape)
    matrix = frame.matrix.astype(np.float64)
    matrix[:, 2] += matrix[:, :2] @ (x0, y0)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    part = cv2.warpAffine(probability, matrix, (x1 - x0, y1 - y0), flags=flags, borderValue=(0,))
    mask = np.zeros(shape, np.uint8)
    mask[y0:y1, x0:x1] = np.multiply(part > 0.5, 255, dtype=np.uint8)
    return mask


def _overlap(frame: CropFrame, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the part of the image that the crop can touch; x1 and y1 are outside."""
    width, height = frame.size
    back = cv2.invertAffineTransform(frame.matrix)
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float32)
    corners = corners @ back[:, :2].T + back[:, 2]
    (x0, y0), (x1, y1) = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int) + 1
    height, width = shape
    x0, y0 = min(max(x0, 0), width - 1), min(max(y0, 0), height - 1)
    return x0, y0, max(min(x1, width), x0 + 1), max(min(y1, height), y0 + 1)
