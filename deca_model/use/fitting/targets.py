"""What a face is fitted to: its landmarks in the crop, and how much each is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deca_model.heads.head import Head
from manifests.images.crop import Square, normalise_points
from manifests.landmarks import EYELID_PAIRS, INNER_LIP_PAIRS, interocular

LANDMARK_SPREAD, DENSE_SPREAD, CONTOUR_SPREAD = 0.015, 0.02, 0.025
"""Standard deviations of a position, as parts of the inter-ocular distance: of landmarks 17-67, of dense
points, and of the jaw line."""
OVAL_SPREAD = 0.05
"""Of dense points on the rim of the mesh, whose places on the head are less exact."""
SMALLEST_UNIT = 0.5
"""Smallest unit, in half sides of the crop: the inter-ocular distance of a profile is nearly 0."""
RIM_SPREAD = 0.012
"""Of dense points on the rims of lids and lips."""
OPENING_SPREAD = 0.006
"""Of the distance between two lids or two lips."""
DEPTH_SPREAD = 0.06
"""Of a dense point's depth; the network guesses it from one photo."""
SHARED = 6
"""Dense points near each other err together, so they count as if there were fewer by this factor."""
_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
    149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
_RIMS = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173,
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
)  # fmt: skip
_DENSE_PAIRS = (
    (246, 7), (161, 163), (160, 144), (159, 145), (158, 153), (157, 154), (173, 155),
    (466, 249), (388, 390), (387, 373), (386, 374), (385, 380), (384, 381), (398, 382),
    (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318),
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One face: N points, the head's dense ones (if both have them) and the 68 landmarks."""

    places: np.ndarray  # (N, 3) normalised coordinates of the crop; depth in the same unit, 0 where unknown
    spread: np.ndarray  # (N,) standard deviation of x and y; infinite where unknown
    depth_spread: np.ndarray  # (N,) of the depth, up to a common shift; infinite where unknown
    pairs: np.ndarray  # (M, 2) upper and lower points whose distance counts by itself
    pair_spread: float

    @property
    def landmarks(self) -> np.ndarray:  # (68, 2)
        """The 68 landmarks."""
        return self.places[-68:, :2]


def make_target(head: Head, square: Square, landmarks: np.ndarray, mesh: np.ndarray | None) -> Target:
    """The target of one face.

    Args:
        head: the head to fit.
        square: the crop in pixels of the photo.
        landmarks: (68, 2) pixels.
        mesh: (478, 3) pixels, MediaPipe's mesh, depth in the same unit; None if it is not known.
    """
    points = normalise_points(landmarks, square)
    unit = max(float(interocular(points[None])[0]), SMALLEST_UNIT)
    spread = np.full(68, LANDMARK_SPREAD)
    spread[:17] = CONTOUR_SPREAD
    places = np.concatenate([points, np.zeros((68, 1))], axis=1)
    depth_spread = np.full(68, np.inf)
    numbers = None if head.dense_points is None else head.dense_points.cpu().numpy()
    count = 0 if numbers is None else len(numbers)
    pairs = [(count + a, count + b) for a, b in (*EYELID_PAIRS, *INNER_LIP_PAIRS)]
    if numbers is not None:
        dense, dense_spread, dense_pairs = _dense(numbers, square, mesh)
        places = np.concatenate([dense, places])
        spread = np.concatenate([dense_spread, spread])
        depth = DEPTH_SPREAD * np.sqrt(SHARED) if mesh is not None else np.inf
        depth_spread = np.concatenate([np.full(count, depth), depth_spread])
        if mesh is not None:
            pairs = [*dense_pairs, *pairs[4:]]  # the mesh's lids are exact, the 68's stand at other places
    return Target(
        places.astype(np.float64),
        spread * unit,
        depth_spread * unit,
        np.array(pairs).reshape(-1, 2),
        OPENING_SPREAD * unit,
    )


def _dense(
    numbers: np.ndarray, square: Square, mesh: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Places (N, 3), spreads (N,) and pairs of the head's dense points."""
    if mesh is None:
        return np.zeros((len(numbers), 3)), np.full(len(numbers), np.inf), []
    depth = mesh[:, 2:] * (2 / float(square.side))
    places = np.concatenate([normalise_points(mesh[:, :2], square), depth], axis=1)
    where = {int(number): place for place, number in enumerate(numbers)}
    pairs = [(where[a], where[b]) for a, b in _DENSE_PAIRS if a in where and b in where]
    return places[numbers], _spreads()[numbers], pairs


@lru_cache(maxsize=1)
def _spreads() -> np.ndarray:  # (478,)
    spread = np.full(478, DENSE_SPREAD * np.sqrt(SHARED))
    spread[list(_RIMS)] = RIM_SPREAD * np.sqrt(SHARED) / 2
    spread[list(_OVAL)] = OVAL_SPREAD * np.sqrt(SHARED)
    return spread
