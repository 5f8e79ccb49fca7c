"""The square that is cut around a face: the rule, the cutting, and normalised image coordinates.

The rule is DECA's (Feng et al. 2021, and the released loader): a square centred on the box of the 68
landmarks, its side the mean of the box's width and height times a factor drawn from U(1.4, 1.8). Inference
uses the middle of that range; DECA's released inference code uses 1.25 x 1.1 = 1.375, which lies outside it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np

TRAINING_SCALES = (1.4, 1.8)
INFERENCE_SCALE = 1.6


class Square(NamedTuple):
    """Axis-aligned squares in pixels of the original image; pixel centres lie at integers."""

    center: np.ndarray  # (..., 2) x, y
    side: np.ndarray  # (...,)


class Cut(NamedTuple):
    """A square of whole pixels; it may reach beyond the image."""

    left: int
    top: int
    side: int


def face_square(
    landmarks: np.ndarray,  # (..., 68, 2) pixels
    scale: np.ndarray | float = INFERENCE_SCALE,  # (...,)
    shift: np.ndarray | float = 0.0,  # (..., 2)
) -> Square:
    """Returns the square around each face.

    ``scale`` is the side of the square over the mean of the landmark box's width and height; ``shift`` moves
    the centre, in units of that mean (DECA: none; EMOCA's detail stage: up to 0.1).
    """
    low = landmarks.min(axis=-2).astype(np.float64)
    high = landmarks.max(axis=-2).astype(np.float64)
    size = (high - low).mean(axis=-1)
    center = (low + high) / 2 + np.asarray(shift) * size[..., None]
    return Square(center, size * np.asarray(scale))


def square_from_box(box: np.ndarray, scale: np.ndarray | float = INFERENCE_SCALE) -> Square:  # (..., 4) xyxy
    """Returns the square around a face box, which is used like the box of the landmarks."""
    corners = np.asarray(box, dtype=np.float64).reshape(*np.shape(box)[:-1], 2, 2)
    return face_square(corners, scale)


def normalise_points(points: np.ndarray, square: Square) -> np.ndarray:  # (..., N, 2) -> (..., N, 2)
    """Maps pixels of the original image to normalised coordinates: the square's edges are -1 and 1, y down.

    For a crop of any size this equals (2 u + 1) / size - 1, where u is the pixel of the crop.
    """
    offset = points - square.center[..., None, :]
    return (offset * (2 / square.side[..., None, None])).astype(np.float32)


def denormalise_points(points: np.ndarray, square: Square) -> np.ndarray:  # (..., N, 2) -> (..., N, 2)
    """Maps normalised coordinates to pixels of the original image, the inverse of ``normalise_points``."""
    return points * (square.side[..., None, None] / 2) + square.center[..., None, :]


def crop_pixels(points: np.ndarray, size: int) -> np.ndarray:  # (..., 2) -> (..., 2)
    """Maps normalised coordinates to pixels of a crop of ``size`` pixels."""
    return ((points + 1) * size - 1) / 2


def snap(square: Square, multiple: int = 1) -> tuple[Square, Cut]:
    """Moves one square (no leading axes) to whole pixels of an image decoded at 1 / ``multiple`` of its size.

    Returns:
        The moved square in original pixels, with which landmarks must be normalised, and the same square in
        pixels of the decoded image.
    """
    side = max(1, round(float(square.side) / multiple))
    left, top = (round((c + 0.5) / multiple - side / 2) for c in square.center.tolist())
    center = [(start + side / 2) * multiple - 0.5 for start in (left, top)]
    return Square(np.array(center), np.array(side * multiple, np.float64)), Cut(left, top, side)


def snap_larger(square: Square) -> Cut:
    """Returns the smallest square of whole pixels, centred on ``square``, that is not smaller."""
    side = max(1, int(np.ceil(square.side)))
    left, top = (int(np.floor(c + 0.5 - side / 2 + 0.5)) for c in square.center)
    return Cut(left, top, side)


_ABSURD = 16
"""A square of so many image sides would be filled with gigabytes of background."""


def cut_square(
    image: np.ndarray,
    cut: Cut,
    size: int,
    *,
    interpolation: int = cv2.INTER_LINEAR,
    fill: Any = 0,
    resize_first: bool = False,
) -> np.ndarray:
    """Cuts a square out of an image and resizes it.

    Args:
        image: (H, W) or (H, W, C) uint8.
        cut: the square in pixels of ``image``.
        size: side of the result, pixels.
        interpolation: OpenCV's, for resizing.
        fill: the colour beyond the image, a number for each channel; 0 is black.
        resize_first: whether to resize before filling; this is cheap for a square much larger than the
            image, but moves the image's edge to a whole pixel of the result. A square of more than 16 times
            the image's sides, which only wrong landmarks ask for, is always cut so.

    Returns:
        (size, size) or (size, size, C) uint8; may be a view of ``image``.
    """
    left, top, side = cut
    x0, x1 = (min(max(x, 0), image.shape[1]) for x in (left, left + side))
    y0, y1 = (min(max(y, 0), image.shape[0]) for y in (top, top + side))
    part, start, end = image[y0:y1, x0:x1], (x0 - left, y0 - top), (x1 - left, y1 - top)
    if not part.size:
        return np.full((size, size, *image.shape[2:]), fill, np.uint8)
    if resize_first or side > _ABSURD * max(image.shape[:2]):
        scale, side = size / side, size
        start = [min(round(place * scale), size - 1) for place in start]
        end = [max(round(place * scale), first + 1) for place, first in zip(end, start, strict=True)]
        part = cv2.resize(part, (end[0] - start[0], end[1] - start[1]), interpolation=interpolation)
    if part.shape[:2] != (side, side):
        borders = (start[1], side - end[1], start[0], side - end[0])
        part = cv2.copyMakeBorder(part, *borders, cv2.BORDER_CONSTANT, value=fill)
    return part if side == size else cv2.resize(part, (size, size), interpolation=interpolation)


def covered_part(cut: Cut, size: int, shape: tuple[int, ...]) -> np.ndarray:
    """Returns (size, size) bool: which pixels of a crop lie in the image of this ``shape``."""
    left, top, side = cut
    centres = (np.arange(size) + 0.5) * side / size
    rows, columns = (centres + top, shape[0]), (centres + left, shape[1])
    inside = [(place >= 0) & (place < end) for place, end in (rows, columns)]
    return inside[0][:, None] & inside[1][None]
