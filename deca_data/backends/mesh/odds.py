"""Log odds of "visible face": what the place in the face says, and how far colours may overrule it."""

from __future__ import annotations

import cv2
import numpy as np
from pydantic import BaseModel

from deca_data.backends.mesh.outline import FaceRegions

COVERED = -2.5  # evidence from which a pixel of an eye's surroundings counts as covered


class OddsSettings(BaseModel, frozen=True, extra="forbid"):
    """Priors are log odds of "face"; lengths are in face heights."""

    forehead: float = -1.7  # above the brows, where a fringe may hang
    temples: float = 0.5  # beside the eyes
    cheeks: float = 2.0
    beard: float = 4.0  # below the nose
    rim: float = 1.5  # upper limit at the silhouette's rim
    above: tuple[float, float] = (0.0, -2.0)  # just above the mesh; at the highest possible hairline
    features: float = 1.5  # lower limit on brows, eyes, lips and nostrils
    features_weight: float = 0.15  # weight of the colour evidence on these features
    lids_weight: float = 0.3  # the same between brow and eye
    brows: float = 0.15  # upper limit on the brows, which have the colour of hair
    eyes: float = 0.5  # lower limit around eyes that nothing covers: shadow and make-up are no hair
    # shares of pixels unlike skin at which an eye begins to count as covered, and counts fully as covered
    covered: tuple[float, float] = (0.6, 0.7)
    # depths up to which colours on features count fully, and from which only the weights above count
    rim_depths: tuple[float, float] = (0.05, 0.12)
    beard_weight: float = 0.4  # weight of the colour evidence against a beard


def prior(regions: FaceRegions, depth: np.ndarray, settings: OddsSettings) -> np.ndarray:
    """(H, W) float32: log odds from the place alone; ``depth`` is the distance to the silhouette's rim."""
    s = settings
    sockets = regions.sockets[0] | regions.sockets[1]
    beside_eyes = np.clip((regions.up - regions.brow_up + 0.35) / 0.2, 0, 1) * ~(sockets | regions.features)
    above_brows = np.clip((regions.up - regions.brow_up) / 0.08, 0, 1)
    odds = s.cheeks + (s.temples - s.cheeks) * beside_eyes + (s.forehead - s.temples) * above_brows
    odds += (s.beard - s.cheeks) * beard_zone(regions)
    odds = np.minimum(odds, s.rim + (odds - s.rim) * np.clip(depth / 0.06, 0, 1))
    odds = np.where(regions.features, np.maximum(odds, s.features), odds)
    outside = (~regions.face).astype(np.uint8)
    rise = cv2.distanceTransform(outside, cv2.DIST_L2, 3) / (regions.height * regions.forehead_up)
    return np.where(regions.face, odds, s.above[0] + (s.above[1] - s.above[0]) * rise).astype(np.float32)


def log_odds(
    ratio: np.ndarray,  # (H, W) float32, log-likelihood ratio of skin against everything else
    place: np.ndarray,  # (H, W) float32, see `prior`
    darker: np.ndarray,  # (H, W) bool, darker than skin, as a beard is
    regions: FaceRegions,
    depth: np.ndarray,
    settings: OddsSettings,
) -> np.ndarray:
    """(H, W) float32: place and evidence together; less evidence where a face is not like skin."""
    s = settings
    weight = np.where(regions.features, s.features_weight, np.where(regions.lids, s.lids_weight, 1.0))
    # In profile the mesh's lips often reach into the background, so near the rim colours count fully. This
    # does not hold around the eyes, whose outer corners are near the rim in every view.
    low, high = s.rim_depths
    near_rim = np.clip((high - depth) / (high - low), 0, 1)
    weight = np.maximum(weight, np.where(regions.sockets[0] | regions.sockets[1], 0, near_rim))
    low, high = s.covered
    bare = np.zeros(ratio.shape, bool)
    for socket in regions.sockets:  # under dark lenses or a fringe almost no pixel is like skin
        unlike = _unlike_skin(ratio, socket, regions)
        weight = np.where(socket, np.maximum(weight, np.clip((unlike - low) / (high - low), 0, 1)), weight)
        bare |= socket & (unlike < low)
    # What is lighter than skin is no brow and no shadow: the brim of a hat, paper.
    bright = ~darker & (ratio < COVERED) & (brows(regions) | regions.lids)
    weight, bare = np.where(bright, 1.0, weight), bare & ~bright
    beard = darker & regions.face
    weight *= np.where(beard, 1 - (1 - s.beard_weight) * beard_zone(regions), 1.0)
    odds = place + weight * ratio
    odds = np.where(brows(regions), np.minimum(odds, s.brows), odds)
    return np.where(bare & (regions.up < regions.brow_up - 0.05), np.maximum(odds, s.eyes), odds)


def brows(regions: FaceRegions) -> np.ndarray:
    """(H, W) bool: the brows and a margin."""
    return regions.features & (regions.up > regions.brow_up - 0.06)


def beard_zone(regions: FaceRegions) -> np.ndarray:
    """(H, W) float32: 1 where a beard grows, 0 above the base of the nose."""
    return np.clip((-0.02 - regions.up) / 0.12, 0, 1)


def _unlike_skin(ratio: np.ndarray, socket: np.ndarray, regions: FaceRegions) -> float:
    """The covered share of an eye's surroundings below the brow, where a fringe rarely hangs."""
    skin = socket & ~regions.features & (regions.up < regions.brow_up - 0.05)
    return float((ratio[skin] < COVERED).mean()) if skin.any() else 0.0
