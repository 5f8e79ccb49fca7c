"""The hairline over a forehead: what has the colour of skin above a fringe is fair hair."""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import BaseModel

from deca_data.backends.mesh.outline import FaceRegions


class HairlineSettings(BaseModel, frozen=True, extra="forbid"):
    """How the hairline is found. Lengths are in face heights."""

    above_brows: float = 0.04  # where the search for hair begins
    thickness: float = 0.03  # minimum height of an area that counts as hair
    width: float = 0.45  # of the group of columns whose median is the hairline
    slack: float = 0.05  # margin kept above the hairline, which is not a straight line
    covered_eye: float = 0.25  # share of an eye's socket; more is covered by glasses, whose frame is not hair


def under_hairline(probability: np.ndarray, regions: FaceRegions, settings: HairlineSettings) -> np.ndarray:
    """Sets the probability of "visible face" to 0 above the hairline.

    Upwards from the brows, the first pixels that are not face are hair or a hat, and no face is above them.
    Each column of the upright crop gives the height of these pixels. The hairline is the median of the
    columns nearby, so that a single strand does not change the forehead beside and above it.

    Args:
        probability: (H, W) float32, from 0 to 1; returned as it is where an eye is covered, or no face is
            above the brows.
        regions: of the same crop, in which the face is upright.
        settings: lengths and thresholds.
    """
    covered = [float((probability[socket] <= 0.5).mean()) for socket in regions.sockets if socket.any()]
    above = (regions.face | regions.forehead) & (regions.up > regions.brow_up + settings.above_brows)
    columns = np.flatnonzero(above.any(0))
    if max(covered, default=1.0) > settings.covered_eye or not len(columns):
        return probability
    thick = 2 * round(settings.thickness * regions.height / 2) + 1
    other = (above & (probability <= 0.5)).astype(np.uint8)
    hair = cv2.morphologyEx(other, cv2.MORPH_OPEN, np.ones((thick, 1), np.uint8)) > 0
    lowest = np.where(hair, regions.up, np.inf).min(0)[columns[0] : columns[-1] + 1]
    reach = max(1, round(settings.width * regions.height / 2))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(lowest, reach, "edge"), 2 * reach + 1)
    hairline = np.full(probability.shape[1], np.inf)
    hairline[columns[0] : columns[-1] + 1] = np.median(around, axis=1)
    hidden = above & (regions.up > hairline + settings.slack)
    return np.where(hidden, 0, probability).astype(np.float32)
