"""Images of the results: landmarks and mask drawn over a photo, and a sheet of many photos."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from manifests.landmarks import LINES

LINE, POINT, MASK = (80, 220, 255), (255, 235, 60), (40, 200, 120)
"""RGB colours of the lines, the points and the mask's tint."""


def overlay(
    image: np.ndarray, landmarks: np.ndarray | None, mask: np.ndarray | None, size: int = 320
) -> np.ndarray:
    """Draws landmarks (68, 2), in pixels, and mask (H, W) uint8 over an image (H, W, 3) uint8 RGB.

    Returns:
        (h, w, 3) uint8 RGB; ``size`` is the longer side.
    """
    scale = size / max(image.shape[:2])
    shape = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    shown = cv2.resize(image, shape, interpolation=way)
    if mask is not None:
        inside = cv2.resize(mask, shape, interpolation=cv2.INTER_LINEAR) > 127
        tinted = 0.62 * shown[inside] + 0.38 * np.array(MASK)
        shown[inside] = tinted.astype(np.uint8)
        border, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, border, -1, MASK, 1, cv2.LINE_AA)
    if landmarks is not None:
        _draw_points(shown, (landmarks + 0.5) * scale - 0.5)
    return shown


def sheet(
    pictures: Sequence[np.ndarray], captions: Sequence[str], cell: int = 200, across: int = 6
) -> np.ndarray:
    """Puts many images on one page, each with a caption below; (H, W, 3) uint8 RGB."""
    line = 16
    rows = -(-len(pictures) // across)
    page = np.full((rows * (cell + line), across * cell, 3), 24, dtype=np.uint8)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        scale = (cell - 4) / max(picture.shape[:2])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = number // across * (cell + line), number % across * cell
        page[top + 2 : top + 2 + small.shape[0], left + 2 : left + 2 + small.shape[1]] = small
        place = (left + 3, top + cell + 11)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(page, caption[: cell // 7], place, font, 0.36, (225, 225, 225), 1, cv2.LINE_AA)
    return page


def _draw_points(shown: np.ndarray, points: np.ndarray) -> None:
    fixed = np.round(points * 16).astype(np.int32)  # in 1/16 of a pixel, for shift=4
    lines = [fixed[list(line)] for line in LINES]
    cv2.polylines(shown, lines, False, LINE, 1, cv2.LINE_AA, shift=4)
    for point in fixed:
        cv2.circle(shown, point.tolist(), 20, POINT, -1, cv2.LINE_AA, shift=4)
