"""The default mask: the visible face, from MediaPipe's dense mesh and the photo's own colours.

The mesh gives the area of the face; colours show where something covers it: hair, glasses, a hat, a coloured
object. Both are combined per pixel on a small upright crop. Neighbouring pixels of similar colour are pulled
towards the same answer. Everything above the hairline is removed. The result is warped into the full-size
mask.

A beard counts as face, as in the masks that DECA was trained with. Frames and dark lenses of glasses are
removed; clear lenses are kept, because the skin behind them is visible. Objects with the colour of skin (a
hand, another person's cheek) cannot be recognised by colour; they are removed only outside the mesh's
silhouette.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel

from deca_data.backends.face_crop import cut, inside_image, paste, upright_frame
from deca_data.backends.mediapipe_landmarker import MediapipeLandmarker
from deca_data.backends.mesh.hairline import HairlineSettings, under_hairline
from deca_data.backends.mesh.outline import FaceRegions, find_regions, grow, upward
from deca_data.backends.mesh.skin_color import (
    ColorEvidence,
    SkinColorSettings,
    color_evidence,
    squared_length,
)

ALGORITHM = "2"  # raise it with every change of the code that changes masks


class MeshParserSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of the mesh parser. Priors are log odds of "face"; lengths are in face heights."""

    crop: int = 136  # longer side of the crop, pixels
    forehead_up: float = 0.22  # how far above the mesh a hairline can be
    forehead_back: float = 0.09  # how far the skull recedes over that height
    prior_forehead: float = 0.8  # above the brows, where a fringe may hang
    prior_cheeks: float = 2.0
    prior_beard: float = 4.0  # below the nose
    prior_rim: float = 1.5  # upper limit at the silhouette's rim
    prior_above: tuple[float, float] = (1.5, -0.5)  # just above the mesh; at the highest possible hairline
    prior_features: float = 1.5  # lower limit on brows, eyes, lips and nostrils
    features_weight: float = 0.15  # weight of the colour evidence on these features
    lids_weight: float = 0.3  # the same between brow and eye
    # shares of pixels unlike skin at which an eye begins to count as covered, and counts fully as covered
    covered: tuple[float, float] = (0.5, 0.6)
    # depths up to which colours on features count fully, and from which only the weights above count
    rim: tuple[float, float] = (0.05, 0.12)
    beard_weight: float = 0.4  # weight of the colour evidence against a beard
    coupling: float = 1.6  # pull between neighbours of similar colour
    contrast: float = 2.0
    steps: int = 8
    color: SkinColorSettings = SkinColorSettings()
    hairline: HairlineSettings = HairlineSettings()


class MeshParser:
    """Masks from the mesh and the photo's colours, in about 20 ms per photo on one core.

    The arguments are not used: MediaPipe has its own models and runs on the CPU.
    """

    name = "mesh"
    wants_mesh = True  # `parse` takes the meshes that the landmark stage found on the same photos

    def __init__(self, device: str = "cpu", weights: Path | None = None, download: bool = False) -> None:
        self.settings = MeshParserSettings()
        self._landmarker = MediapipeLandmarker()

    def fingerprint(self) -> dict[str, str]:
        """Versions of the libraries and of this method, and its settings."""
        return {
            **self._landmarker.fingerprint(),
            "opencv": cv2.__version__,
            "method": ALGORITHM,
            "settings": self.settings.model_dump_json(),
        }

    def parse(
        self,
        images: Sequence[np.ndarray],
        boxes: Sequence[np.ndarray],
        landmarks: Sequence[np.ndarray],
        meshes: Sequence[np.ndarray | None] | None = None,
    ) -> list[np.ndarray]:
        """Masks of the faces in ``boxes``, as in `Parser.parse`; all zero where no mesh fits.

        ``landmarks`` are not used, because the mesh holds more. ``meshes`` are (478, 3) in pixels each, from
        `MediapipeLandmarker.mesh` for the same images and boxes; None computes them.
        """
        masks = []
        for image, box, mesh in zip(images, boxes, meshes or [None] * len(images), strict=True):
            mesh = self._landmarker.mesh(image, box) if mesh is None else mesh
            masks.append(np.zeros(image.shape[:2], np.uint8) if mesh is None else self.mask(image, mesh))
        return masks

    def mask(self, image: np.ndarray, mesh: np.ndarray) -> np.ndarray:
        """The mask, (H, W) uint8, of the face with this mesh, (478, 3)."""
        mesh = np.asarray(mesh, np.float32)
        frame = upright_frame(mesh[:, :2], upward(mesh)[0], self.settings.crop)
        crop = cut(image, frame)
        in_crop = mesh * np.float32(frame.scale)
        in_crop[:, :2] = mesh[:, :2] @ frame.matrix[:, :2].T + frame.matrix[:, 2]
        regions = find_regions(
            in_crop, crop.shape[:2], self.settings.forehead_up, self.settings.forehead_back
        )
        inside = inside_image(frame, image.shape[:2])
        probability = _probability(crop, regions, inside, self.settings)
        probability = under_hairline(probability, regions, self.settings.hairline)
        return paste(_tidy(probability, regions.height), frame, image.shape[:2])


def _probability(
    crop: np.ndarray, regions: FaceRegions, inside: np.ndarray, settings: MeshParserSettings
) -> np.ndarray:
    """Probability of "visible face" per pixel of the crop, (H, W) float32; 0 outside the outline."""
    depth = cv2.distanceTransform(regions.face.astype(np.uint8), cv2.DIST_L2, 3) / regions.height
    evidence = color_evidence(crop, regions, inside, depth, settings.color)
    odds = _prior(regions, depth, settings)
    color = _damp(evidence, regions, depth, settings)
    tinted = evidence.tinted & ~regions.eyes
    rim = grow(regions.lips, 7) & ~regions.lips
    # Painted lips are face; but where the pixels around them are tinted too, something covers the mouth.
    if not rim.any() or tinted[rim].mean() < 0.3:
        tinted &= ~regions.lips
    color = np.where(tinted, settings.color.least, color)
    odds = np.where(tinted, np.minimum(odds, settings.prior_cheeks), odds)
    outline = regions.face | regions.forehead
    unary = np.where(outline, odds + color, -20.0).astype(np.float32)
    result = 1 / (1 + np.exp(-_settle(unary, crop, regions.face, settings)))
    return np.where(outline, result, 0).astype(np.float32)


def _prior(regions: FaceRegions, depth: np.ndarray, settings: MeshParserSettings) -> np.ndarray:
    """Log odds of "face" from the position alone."""
    s = settings
    above_brows = np.clip((regions.up - regions.brow_up) / 0.08, 0, 1)
    odds = s.prior_cheeks + (s.prior_forehead - s.prior_cheeks) * above_brows
    odds += (s.prior_beard - s.prior_cheeks) * _beard_zone(regions)
    odds = np.minimum(odds, s.prior_rim + (odds - s.prior_rim) * depth / 0.06)
    odds = np.where(regions.features, np.maximum(odds, s.prior_features), odds)
    outside = (~regions.face).astype(np.uint8)
    rise = cv2.distanceTransform(outside, cv2.DIST_L2, 3) / (regions.height * s.forehead_up)
    return np.where(regions.face, odds, s.prior_above[0] + (s.prior_above[1] - s.prior_above[0]) * rise)


def _beard_zone(regions: FaceRegions) -> np.ndarray:
    return np.clip((-0.02 - regions.up) / 0.12, 0, 1)


def _damp(
    evidence: ColorEvidence, regions: FaceRegions, depth: np.ndarray, settings: MeshParserSettings
) -> np.ndarray:
    """Colour evidence, reduced where the face itself has other colours than skin."""
    weight = np.where(
        regions.features, settings.features_weight, np.where(regions.lids, settings.lids_weight, 1.0)
    )
    # In profile the mesh's lips often reach into the background, so near the rim colours count fully. This
    # does not hold around the eyes, whose outer corners are near the rim in every view.
    low, high = settings.rim
    near_rim = np.clip((high - depth) / (high - low), 0, 1)
    weight = np.maximum(weight, np.where(regions.sockets[0] | regions.sockets[1], 0, near_rim))
    low, high = settings.covered
    for socket in regions.sockets:  # under dark lenses or a fringe almost no pixel is like skin
        skin = socket & ~regions.features
        unlike = float((evidence.ratio[skin] < -2.5).mean()) if skin.any() else 0.0
        cover = min(max((unlike - low) / (high - low), 0.0), 1.0)
        weight = np.where(socket, np.maximum(weight, cover), weight)
    beard = evidence.darker & regions.face
    weight *= np.where(beard, 1 - (1 - settings.beard_weight) * _beard_zone(regions), 1.0)
    return evidence.ratio * weight


def _settle(
    unary: np.ndarray, crop: np.ndarray, face: np.ndarray, settings: MeshParserSettings
) -> np.ndarray:
    """Log odds after the coupling of neighbours: mean field of a contrast-sensitive Ising model."""
    smooth = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2LAB).astype(np.float32), (0, 0), 0.6)
    across = squared_length(smooth[:, 1:] - smooth[:, :-1])
    down = squared_length(smooth[1:] - smooth[:-1])
    samples = np.concatenate([across[face[:, 1:]], down[face[1:]]])
    scale = settings.contrast * (float(np.median(samples)) if len(samples) else 0.0) + 4
    pull_x = np.float32(settings.coupling) * (np.exp(-across / (2 * scale)) + np.float32(0.05))
    pull_y = np.float32(settings.coupling) * (np.exp(-down / (2 * scale)) + np.float32(0.05))
    odds = unary
    for _ in range(settings.steps):
        spin = np.tanh(odds * np.float32(0.5))
        odds = unary.copy()
        odds[:, 1:] += pull_x * spin[:, :-1]
        odds[:, :-1] += pull_x * spin[:, 1:]
        odds[1:] += pull_y * spin[:-1]
        odds[:-1] += pull_y * spin[1:]
    return odds


def _tidy(probability: np.ndarray, height: float) -> np.ndarray:
    """Removes small islands and fills small holes; the soft edge is kept."""
    mask = (probability > 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    keep = np.zeros(count, np.uint8)
    keep[1:] = stats[1:, cv2.CC_STAT_AREA] >= 0.02 * stats[1:, cv2.CC_STAT_AREA].sum()
    mask = keep[np.asarray(labels, np.intp)]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    hole = stats[:, cv2.CC_STAT_AREA] < 0.008 * height * height
    hole[0] = False
    mask |= hole[np.asarray(labels, np.intp)].astype(np.uint8)
    return np.where(mask > 0, np.maximum(probability, 0.501), np.minimum(probability, 0.499)).astype(
        np.float32
    )
