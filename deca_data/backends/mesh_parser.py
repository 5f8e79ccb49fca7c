"""The embedded mask: the visible face, from MediaPipe's dense mesh and the colours of this very photo.

The mesh says where a face would be seen if nothing covered it; colours say where something does: hair,
glasses, a hat, a coloured object. Both are weighed per pixel on a small upright crop, neighbours of like
colour are pulled to like answers, what lies above the hairline is left out, and the result is drawn into
the full-size mask.

A beard is kept: it is face, as in the masks that DECA was trained with. Frames and dark lenses of glasses are
cut away; clear lenses are kept, as the skin behind them is seen. What has the colour of skin (a hand, another
person's cheek) cannot be told from skin by colour and is cut away only outside the mesh's silhouette.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict

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

ALGORITHM = "2"  # raised with every change of the code that changes masks


class MeshParserSettings(BaseModel):
    """What a mask is made with. Priors are log odds of "face"; lengths are in face heights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop: int = 136  # pixels of the crop's longer side
    forehead_up: float = 0.22  # how far above the mesh a hairline can be
    forehead_back: float = 0.09
    prior_forehead: float = 0.8  # above the brows, where a fringe hangs
    prior_cheeks: float = 2.0
    prior_beard: float = 4.0  # below the nose
    prior_rim: float = 1.5  # at the silhouette's rim at most
    prior_above: tuple[float, float] = (1.5, -0.5)  # just above the mesh; where the highest hairline is
    prior_features: float = 1.5  # brows, eyes, lips, nostrils at least
    features_weight: float = 0.15  # share of the colour evidence that counts on them
    lids_weight: float = 0.3  # likewise between brow and eye
    covered: tuple[float, float] = (
        0.5,
        0.6,
    )  # share of unlike pixels from which, and at which, an eye is covered
    rim: tuple[float, float] = (0.05, 0.12)  # depth up to which colours count in full, and from which not
    beard_weight: float = 0.4  # share of the colour evidence that counts against a beard
    coupling: float = 1.6  # pull of a like-coloured neighbour
    contrast: float = 2.0
    steps: int = 8
    color: SkinColorSettings = SkinColorSettings()
    hairline: HairlineSettings = HairlineSettings()


class MeshParser:
    """The visible face from the mesh and the photo's colours, about 20 ms on one core.

    Args:
        device, weights, download: part of every backend's call; MediaPipe brings its own models, on the CPU.
        settings: None takes the defaults.
    """

    name = "mesh"
    wants_mesh = True  # `parse` takes the meshes that the landmark stage has found in the same pass

    def __init__(
        self,
        *,
        device: str = "cpu",
        weights: Path | None = None,
        download: bool = False,
        settings: MeshParserSettings | None = None,
    ):
        self.settings = settings or MeshParserSettings()
        self._landmarker = MediapipeLandmarker(device=device, weights=weights, download=download)

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
        """Masks of the faces in ``boxes``; all zero where no mesh is found.

        Args:
            images: (H, W, 3) uint8 RGB each.
            boxes: (4,) x0 y0 x1 y1 in pixels each.
            landmarks: not used: the mesh says more.
            meshes: (478, 3) or (478, 2) in pixels each, where `MediapipeLandmarker.mesh` has already been run
                on the same image and box; None runs it.

        Returns:
            (H, W) uint8 each: 255 on the visible face, 0 elsewhere.
        """
        masks = []
        for i, (image, box) in enumerate(zip(images, boxes, strict=True)):
            mesh = meshes[i] if meshes is not None else None
            mesh = self._landmarker.mesh(image, box) if mesh is None else mesh
            masks.append(np.zeros(image.shape[:2], np.uint8) if mesh is None else self.mask(image, mesh))
        return masks

    def mask(self, image: np.ndarray, mesh: np.ndarray) -> np.ndarray:
        """The mask (H, W) uint8 of the face whose mesh (478, 2 or 3) is known."""
        mesh = np.asarray(mesh, np.float32)
        if mesh.shape[1] == 2:
            mesh = np.concatenate([mesh, np.zeros((len(mesh), 1), np.float32)], 1)
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
    rim = (grow(regions.lips.astype(np.uint8), 7) > 0) & ~regions.lips
    if (
        not rim.any() or tinted[rim].mean() < 0.3
    ):  # lips may be of any colour, unless what is round them is too
        tinted &= ~regions.lips
    color = np.where(tinted, settings.color.least, color)
    odds = np.where(tinted, np.minimum(odds, settings.prior_cheeks), odds)
    outline = regions.face | regions.forehead
    unary = np.where(outline, odds + color, -20.0).astype(np.float32)
    result = 1 / (1 + np.exp(-_settle(unary, crop, regions.face, settings)))
    return np.where(outline, result, 0).astype(np.float32)


def _prior(regions: FaceRegions, depth: np.ndarray, settings: MeshParserSettings) -> np.ndarray:
    """Log odds of "face" from the place alone."""
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
    """Colour evidence, weakened where the face itself has other colours than skin."""
    weight = np.where(
        regions.features, settings.features_weight, np.where(regions.lids, settings.lids_weight, 1.0)
    )
    # In profile the mesh's lips often stand out into the background: near the rim colours count in full.
    # Not so around the eyes, whose outer corners are near the rim from any side.
    low, high = settings.rim
    near_rim = np.clip((high - depth) / (high - low), 0, 1)
    weight = np.maximum(weight, np.where(regions.sockets[0] | regions.sockets[1], 0, near_rim))
    low, high = settings.covered
    for socket in regions.sockets:  # under dark lenses or a fringe nothing round the eye looks like skin
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
    """Log odds after neighbours have pulled at each other: mean field of a contrast-sensitive Ising model."""
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
    """Drops crumbs and fills pinholes; the edge stays as soft as it was."""
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
