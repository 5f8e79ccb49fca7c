"""How well each pixel's colour fits the skin of this face, compared with its surroundings.

Nothing is learned from other photos: the colour of the skin is taken from the middle of the face, and the
colours of hair and background from around the head. So dark skin, light skin and grey photos work equally.
"""

from __future__ import annotations

from math import lgamma
from typing import NamedTuple

import cv2
import numpy as np
from pydantic import BaseModel

from deca_data.backends.mesh.outline import FaceRegions, grow

BINS = 32  # per channel of the surroundings' colour histogram
FIT_PIXELS = 1500  # about so many pixels are used to fit the light
LAB_VOLUME = 200.0 * 60 * 60  # about the volume that the 8-bit CIELAB colours of photos fill


class SkinColorSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of the colour evidence. Log-likelihood ratios are in nats."""

    seed_softness: float = 5.0  # squared distance, in deviations, at which a pixel's weight falls to 1/4
    fit_softness: float = 6.0
    forehead_trust: float = 0.3  # weight of the forehead in the skin's colour: it may be a fringe
    lightness_deviation: float = 6.0  # minimum spread of the skin's lightness
    highlight_scale: float = 0.6  # a lighter pixel counts less than a darker one: skin shines
    tail: float = 4.0  # degrees of freedom of Student's t
    surround_distance: float = 9.0  # squared distance from which a pixel around the head is never skin
    histogram_deviation: float = 8.0
    unseen: float = 0.2  # probability of a colour that the surroundings do not show
    weight: float = 0.6  # below 1, because neighbouring pixels are not independent
    least: float = -5.0
    most: float = 4.0


class ColorEvidence(NamedTuple):
    """The evidence of the colours, (H, W) each.

    Attributes:
        ratio: float32, log-likelihood ratio of skin against everything else.
        darker: bool, darker than the skin of this face at this place, but not blue or green: as a beard is.
        warm: bool, red and yellow enough for skin; always false in a photo without skin of a warm colour.
        tinted: bool, blue or green; always false in a photo without skin of a warm colour.
    """

    ratio: np.ndarray
    darker: np.ndarray
    warm: np.ndarray
    tinted: np.ndarray


def color_evidence(
    crop: np.ndarray,  # (H, W, 3) uint8 RGB
    regions: FaceRegions,
    inside: np.ndarray,  # (H, W) bool, false outside the photo
    depth: np.ndarray,  # (H, W) float32, distance to the rim of the face, in face heights
    settings: SkinColorSettings,
) -> ColorEvidence:
    """Compares each pixel with the skin, under light that changes linearly, and with the surroundings."""
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).astype(np.float32)
    tint = np.minimum(lab[..., 1], lab[..., 2]) - 128  # negative for green and blue
    trust = ((depth > 0.03) & ~regions.features & inside).astype(np.float32)
    above_brows = np.clip((regions.up - regions.brow_up) / 0.08, 0, 1)
    trust *= 1 - (1 - settings.forehead_trust) * above_brows
    # A mask over mouth and nose is in the middle of the face, where skin is expected. So only warm colours
    # are used, if there are enough of them.
    yellowish = lab[..., 1] + lab[..., 2] > 262
    warm = yellowish & (tint > -2)
    has_warm_skin = bool((trust * warm).sum() > 0.12 * trust.sum())
    if has_warm_skin:
        trust *= warm
    residual, weight = _remove_lighting(lab, trust, regions, settings)
    distance, log_skin = _skin_likelihood(residual, weight, regions, settings)
    around = inside & _around(regions) & (distance > settings.surround_distance)
    log_other = _surround_likelihood(lab, around, settings)
    ratio = np.clip(settings.weight * (log_skin - log_other), settings.least, settings.most)
    usual = float(np.median(tint[trust > 0])) if has_warm_skin else 0.0
    tinted = (tint < min(-8.0, usual - 18)) & (lab[..., 0] > 50) & has_warm_skin
    # The hue of an almost black pixel says nothing.
    darker = (residual[..., 0] < 0) & ((tint > -5) | (lab[..., 0] < 50))
    return ColorEvidence(ratio.astype(np.float32), darker, yellowish & ~tinted & has_warm_skin, tinted)


def squared_length(vectors: np.ndarray) -> np.ndarray:
    """Sum of squares over the last axis."""
    return np.einsum("...i,...i->...", vectors, vectors)


def _around(regions: FaceRegions) -> np.ndarray:
    """The area beside and above the face, but not below it, where the neck is."""
    chin_up = regions.up[regions.face].min() if regions.face.any() else 0.0
    return ~grow(regions.face | regions.forehead, 3) & (regions.up > chin_up + 0.25)


def _remove_lighting(
    lab: np.ndarray, trust: np.ndarray, regions: FaceRegions, settings: SkinColorSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Colours minus the skin's expected colour (linear over the face), and each pixel's weight as skin.

    Iteratively reweighted least squares, started from the median colour of the inner cheeks. The model is
    linear, because one of higher order would fit a fringe as if it were a shadow.
    """
    seeds = lab[regions.inner_cheeks & (trust > 0)]
    used = trust > 0
    if len(seeds) < 30:
        seeds = lab[used]
    if len(seeds) < 4:  # almost no face inside the photo
        return lab - np.float32(128), trust
    middle = np.median(seeds, 0)
    spread = np.float32(1.4826) * np.median(np.abs(seeds - middle), 0) + np.array([6.0, 2.5, 2.5], np.float32)
    x = np.clip(2 * regions.right, -1, 1)
    y = np.clip(-2 * regions.up + 0.2, -1.3, 1)
    basis = np.stack([np.ones_like(x), x, y], -1)
    every = 1 + int(np.count_nonzero(used)) // FIT_PIXELS
    rows, colors, trusted = basis[used][::every], lab[used][::every], trust[used][::every]
    weight = trusted / (1 + squared_length((colors - middle) / spread) / settings.seed_softness) ** 2
    plane = np.zeros((3, 3))
    for _ in range(2):
        w = weight[:, None]
        ridge = np.diag([1e-6, 0.02, 0.02]) * float(w.sum())
        plane = np.linalg.solve(_cross(rows, rows * w) + ridge + 1e-9 * np.eye(3), _cross(rows, colors * w))
        residual = colors - _times(rows, plane)
        if (weight > 0.1).any():
            spread = np.float32(1.4826) * np.median(np.abs(residual[weight > 0.1]), 0) + np.float32(1.5)
        weight = trusted / (1 + squared_length(residual / spread) / settings.fit_softness) ** 2
    residual = lab - _times(basis, plane)
    return residual, trust / (1 + squared_length(residual / spread) / settings.fit_softness) ** 2


def _skin_likelihood(
    residual: np.ndarray, weight: np.ndarray, regions: FaceRegions, settings: SkinColorSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Squared Mahalanobis distance from the skin's colour, and the log density of Student's t there."""
    known = weight > 0
    w = weight[known][:, None]
    total = max(float(w.sum()), 1e-6)
    offset = residual - (residual[known] * w).sum(0) / np.float32(total)
    lightness = offset[..., 0]
    lightness[regions.face & (lightness > 0)] *= settings.highlight_scale
    samples = offset[known]
    spread = _cross(samples, samples * w) / total
    spread += np.diag([settings.lightness_deviation**2, 4.0, 4.0])
    precision = cv2.invert(spread, flags=cv2.DECOMP_CHOLESKY)[1]
    distance = np.einsum("hwi,hwi->hw", _times(offset, precision), offset)
    nu = settings.tail
    constant = lgamma((nu + 3) / 2) - lgamma(nu / 2) - 1.5 * np.log(nu * np.pi)
    constant -= 0.5 * np.log(cv2.determinant(spread))
    density = np.float32(constant) - np.float32((nu + 3) / 2) * np.log1p(distance / np.float32(nu))
    return distance, density


def _surround_likelihood(lab: np.ndarray, around: np.ndarray, settings: SkinColorSettings) -> np.ndarray:
    """Log density of each pixel's colour in a smoothed histogram around the face, mixed with a uniform."""
    step = 256 / BINS
    index = (lab / step).astype(np.int32)
    index = (index[..., 0] * BINS + index[..., 1]) * BINS + index[..., 2]
    counts = np.bincount(index[around], minlength=BINS**3).astype(np.float32).reshape(BINS, BINS, BINS)
    for _ in range(3):  # blur the last axis and rotate the axes, once per axis
        rows = np.ascontiguousarray(counts).reshape(BINS * BINS, BINS)
        rows = cv2.GaussianBlur(rows, (7, 1), sigmaX=settings.histogram_deviation / step, sigmaY=0.1)
        counts = rows.reshape(BINS, BINS, BINS).transpose(2, 0, 1)
    counts = np.ascontiguousarray(counts).reshape(-1)
    scale = (1 - settings.unseen) / (max(float(counts.sum()), 1.0) * step**3)
    return np.log(counts[index] * np.float32(scale) + np.float32(settings.unseen / LAB_VOLUME))


# Plain sums instead of BLAS, and OpenCV's solvers instead of LAPACK: the result does not depend on the number
# of threads, and no threads wait actively between these small sums.
def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("ni,nj->ij", a, b, dtype=np.float64)


def _times(vectors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(..., 3) float32 vectors times a (3, 3) matrix."""
    return cv2.transform(vectors.reshape(-1, 1, 3), matrix.T).reshape(vectors.shape)
