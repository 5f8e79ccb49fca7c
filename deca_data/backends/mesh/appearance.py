"""Skin against everything else by colour and texture, both learned from the photo at hand.

The first evidence (`skin_color`) tells which pixels of the face are surely skin, and which pixels around it
are surely something else: hair, a hat, the background. Here both groups are described by their colour and
their local texture together, so that fair hair differs from skin, and a shadow on the skin from dark hair.
"""

from __future__ import annotations

from math import lgamma
from typing import NamedTuple

import cv2
import numpy as np
from pydantic import BaseModel

from deca_data.backends.mesh.outline import FaceRegions
from deca_data.backends.mesh.skin_color import ColorEvidence, squared_length

CHANNELS = 5
FEATURE_VOLUME = 200.0 * 60 * 60 * 18 * 18  # about the volume that the features of photos fill
SPREAD = (36.0, 6.0, 6.0, 1.5, 1.5)  # variance added to each group of pixels


class AppearanceSettings(BaseModel, frozen=True, extra="forbid"):
    """How the samples are chosen and compared. Lengths are in face heights; ratios are in nats."""

    margin: float = 0.025  # between the outline and the samples around it
    reach: float = 0.25  # how far around the outline samples are taken
    lowest: float = 0.3  # how far below the brows
    middle: float = 0.2  # depth below which a warm colour may be hair
    fewest: float = 0.02  # area of samples, in squared face heights; less than this tells nothing
    rows: int = 800  # about so many samples are used
    tail: float = 6.0  # degrees of freedom of Student's t
    unseen: float = 0.02  # probability of an appearance that the surroundings do not show
    first_weight: float = 0.2  # of the first evidence in the result
    highlight: float = 0.8  # scale of the lightness above that of the skin: skin shines
    rough: float = 1.3  # deviations by which the texture of hair exceeds that of the skin
    shade: float = 0.7  # lightness and colour of skin in shadow, relative to skin in light
    shaded: float = 0.05  # probability of shadow
    least: float = -5.0
    most: float = 4.0


class Samples(NamedTuple):
    """(H, W) bool maps: pixels that are surely skin, and surely something else."""

    skin: np.ndarray
    other: np.ndarray


def features(crop: np.ndarray) -> np.ndarray:
    """(H, W, 5) float32: smoothed CIELAB colour, fine texture, and gradient; on comparable scales."""
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).astype(np.float32)
    lightness = lab[..., 0]
    fine = cv2.GaussianBlur(np.abs(lightness - cv2.GaussianBlur(lightness, (0, 0), 2.0)), (0, 0), 2.0)
    smooth = cv2.GaussianBlur(lightness, (0, 0), 1.0)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    gradient = cv2.GaussianBlur(cv2.magnitude(across, down), (0, 0), 2.5)
    color = cv2.GaussianBlur(lab, (0, 0), 1.2)
    return np.dstack([color, 6 * np.log1p(fine), 4 * np.log1p(gradient)])


def first_samples(
    first: ColorEvidence,
    found: np.ndarray,  # (H, W, 5) float32, features
    regions: FaceRegions,
    inside: np.ndarray,  # (H, W) bool, false outside the photo
    depth: np.ndarray,  # (H, W) float32, distance to the rim of the face, in face heights
    settings: AppearanceSettings,
) -> Samples | None:
    """Samples by place and first evidence; None where too few are inside the photo.

    Well inside the face every warm colour is skin: hard light makes one side of a face unlike the other.
    """
    outline = regions.outline
    away = cv2.distanceTransform((~outline).astype(np.uint8), cv2.DIST_L2, 3) / regions.height
    around = (away > settings.margin) & (away < settings.reach) & inside
    other = around & (regions.up > regions.brow_up - settings.lowest) & (first.ratio < 0)
    middle = (regions.up < regions.brow_up + 0.03) & (regions.up > -0.15) & (depth > 0.04)
    skin = regions.face & middle & ~regions.features & ~regions.lids & inside
    skin &= (first.ratio > 0) | (first.warm & (depth > settings.middle))
    if skin.any():
        texture = found[skin][:, 3:]
        rough = (found[..., 3:] > texture.mean(0) + settings.rough * texture.std(0)).all(-1)
        other |= around & rough & (regions.up > regions.brow_up)
    fewest = settings.fewest * regions.height**2
    return None if min(skin.sum(), other.sum()) < fewest else Samples(skin, other)


def more_samples(
    samples: Samples,
    kept: np.ndarray,  # (H, W) bool, inside the first boundary
    found: np.ndarray,  # (H, W, 5) float32, features
    regions: FaceRegions,
    inside: np.ndarray,
    settings: AppearanceSettings,
) -> Samples:
    """Adds what the first boundary cuts away, and of the forehead what is light or smooth.

    Darker parts with texture may be a thin fringe, which would teach the second look that hair is skin.
    """
    well_in = cv2.distanceTransform(kept.astype(np.uint8), cv2.DIST_L2, 3) > 2
    well_out = cv2.distanceTransform((~kept).astype(np.uint8), cv2.DIST_L2, 3) > 2
    usual = np.median(found[samples.skin], 0)
    plain = (found[..., 0] > usual[0]) | (found[..., 3:] < usual[3:]).all(-1)
    forehead = well_in & regions.outline & (regions.up > regions.brow_up) & ~regions.features & plain
    cut = well_out & regions.outline & (regions.up > regions.brow_up - settings.lowest)
    return Samples(samples.skin | (forehead & inside), samples.other | (cut & inside))


def second_look(
    first: np.ndarray,  # (H, W) float32, first evidence
    found: np.ndarray,  # (H, W, 5) float32, features
    samples: Samples,
    regions: FaceRegions,
    settings: AppearanceSettings,
) -> np.ndarray:
    """(H, W) float32: log-likelihood ratio of skin against everything else; the first evidence outside."""
    place = regions.outline
    values = found[place]
    groups = _fit(found[samples.skin], settings)
    lit = values.copy()  # as the values would be outside a shadow
    lit[:, 0] /= settings.shade
    lit[:, 1:3] = (lit[:, 1:3] - 128) / settings.shade + 128
    skin = np.minimum(
        _rarity(values, groups, settings, settings.highlight),
        _rarity(lit, groups, settings) * _to_rarity(settings.shaded / settings.shade**3, settings),
    )
    other = _rarity(values, _fit(found[samples.other], settings), settings)
    other = np.minimum(other, _to_rarity(settings.unseen / FEATURE_VOLUME, settings))
    ratio = (settings.tail + CHANNELS) / 2 * np.log(other / skin)
    ratio = np.clip(ratio, settings.least, settings.most)
    result = first.copy()
    result[place] += (1 - settings.first_weight) * (ratio - first[place])
    return result


class _Group(NamedTuple):
    """A multivariate Student distribution: middle (5,), whitening matrix (5, 5), rarity at the middle."""

    middle: np.ndarray
    whiten: np.ndarray
    least: float


def _fit(known: np.ndarray, settings: AppearanceSettings) -> list[_Group]:
    """One or two distributions of the rows of ``known``, (N, 5) float32."""
    known = known[:: 1 + len(known) // settings.rows]
    nu = settings.tail
    constant = lgamma((nu + CHANNELS) / 2) - lgamma(nu / 2) - CHANNELS / 2 * np.log(nu * np.pi)
    groups = []
    for rows in _two_groups(known):
        middle = rows.mean(0)
        spread = cv2.mulTransposed(rows - middle, True, scale=1 / len(rows)) + np.diag(SPREAD)
        whiten = np.linalg.inv(np.linalg.cholesky(spread)).astype(np.float32)
        density = np.exp(constant) * np.diag(whiten).prod() * len(rows) / len(known)
        groups.append(_Group(middle, whiten, _to_rarity(float(density), settings)))
    return groups


def _rarity(
    values: np.ndarray, groups: list[_Group], settings: AppearanceSettings, highlight: float = 1
) -> np.ndarray:
    """(N,) float32: the least of the groups' rarities at ``values``, (N, 5) float32.

    The rarity is a power of the density that spares the logarithms: Student's density is a power of
    1 + distance / tail.
    """
    found = []
    for middle, whiten, least in groups:
        offset = values - middle
        if highlight != 1:
            offset[:, 0] = np.where(offset[:, 0] > 0, highlight * offset[:, 0], offset[:, 0])
        distance = squared_length(_times(offset, whiten))
        found.append(np.float32(least) * (1 + distance / np.float32(settings.tail)))
    return np.minimum.reduce(found)


def _to_rarity(density: float, settings: AppearanceSettings) -> float:
    return density ** (-2 / (settings.tail + CHANNELS))


def _two_groups(known: np.ndarray) -> list[np.ndarray]:
    """Splits the rows into a darker and a lighter group: 2-means of the colour, begun at the median."""
    color = np.ascontiguousarray(known[:, :3])
    lighter = color[:, 0] > np.median(color[:, 0])
    for _ in range(3):
        if not 20 <= np.count_nonzero(lighter) <= len(known) - 20:
            return [known]
        dark, light = (cv2.reduce(color[part], 0, cv2.REDUCE_AVG) for part in (~lighter, lighter))
        lighter = _times(color - (dark + light) / 2, light - dark)[:, 0] > 0
    if not 20 <= np.count_nonzero(lighter) <= len(known) - 20:
        return [known]
    return [known[~lighter], known[lighter]]


def _times(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Rows times the transposed matrix, by OpenCV: on so small a matrix BLAS would only start threads."""
    return cv2.gemm(rows, matrix, 1, np.empty(0, np.float32), 0, flags=cv2.GEMM_2_T)
