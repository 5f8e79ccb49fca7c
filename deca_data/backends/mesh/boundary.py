"""The boundary of the visible face: one closed curve around its middle, found by dynamic programming.

Seen from the middle of the face, at the height of the eyes, the visible face ends once in each direction: at
the hairline, a fringe, hair at the temples, the brim of a hat, or the outline itself. The curve encloses as
much evidence of face as possible; each jump between neighbouring directions costs something, so that no
patches stand above it.
"""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import BaseModel

from deca_data.backends.mesh.outline import SUBPIXEL, FaceRegions


class BoundarySettings(BaseModel, frozen=True, extra="forbid"):
    """The curve's resolution and smoothness."""

    directions: int = 72
    steps: int = 40  # along each direction
    jump: float = 0.03  # cost of a jump by one face height, in log odds times squared face heights
    most: float = 3.0  # limit of the log odds of one pixel


def enclosed(odds: np.ndarray, regions: FaceRegions, settings: BoundarySettings) -> np.ndarray:
    """The area inside the best curve.

    Args:
        odds: (H, W) float32, log odds of "face".
        regions: of the same crop; outside their outline no pixel counts.
        settings: resolution and smoothness.

    Returns:
        (H, W) bool; all true where no part of the face below the brows is in the crop.
    """
    outline = regions.outline
    rows, columns = np.nonzero(
        regions.face & (regions.up < regions.brow_up) & (regions.up > regions.brow_up - 0.3)
    )
    if not len(rows):
        return np.ones(odds.shape, bool)
    x, y = float(columns.mean()), float(rows.mean())
    rows, columns = np.nonzero(outline)
    step = float(np.hypot(columns - x, rows - y).max() + 1) / settings.steps
    turn = 2 * np.pi / settings.directions
    angles = (np.arange(settings.directions) + 0.5) * turn + np.pi / 2  # begins and ends at the chin
    radii = (np.arange(settings.steps) + 0.5) * step
    rays = [x + np.cos(angles)[:, None] * radii, y + np.sin(angles)[:, None] * radii]
    limited = np.where(outline, np.clip(odds, -settings.most, settings.most), 0).astype(np.float32)
    values = cv2.remap(limited, rays[0].astype(np.float32), rays[1].astype(np.float32), cv2.INTER_LINEAR)
    areas = radii * step * turn / regions.height**2
    ends = _best_ends(values * areas, settings.jump * step / regions.height) * step
    curve = np.stack([x + np.cos(angles) * ends, y + np.sin(angles) * ends], 1)
    fixed = np.round(curve * (1 << SUBPIXEL)).astype(np.int32)
    return cv2.fillPoly(np.zeros(odds.shape, np.uint8), [fixed], (1,), shift=SUBPIXEL) > 0


def _best_ends(gains: np.ndarray, jump: float) -> np.ndarray:
    """(D,) the number of steps to go in each of D directions, by the Viterbi algorithm; gains are (D, S).

    As a jump costs by its length, the best predecessors of all places are found in one sweep up and one down.
    """
    totals = np.pad(np.cumsum(gains, 1), ((0, 0), (1, 0)))
    slope = jump * np.arange(totals.shape[1])
    bests = [totals[0]]
    for total in totals[1:]:
        upwards = np.maximum.accumulate(bests[-1] + slope) - slope
        downwards = np.maximum.accumulate((bests[-1] - slope)[::-1])[::-1] + slope
        bests.append(np.maximum(upwards, downwards) + total)
    end = int(bests[-1].argmax())
    ends = [end]
    for best in reversed(bests[:-1]):
        end = int((best - np.abs(slope - slope[end])).argmax())
        ends.append(end)
    return np.array(ends[::-1])
