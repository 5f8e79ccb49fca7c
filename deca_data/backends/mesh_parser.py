"""The default mask: the visible face, from MediaPipe's dense mesh and the photo's own colours.

The mesh gives the area of the face. Colour and texture, learned from the photo itself, show where something
covers it: hair, glasses, a hat, a coloured object. The visible face ends at one smooth curve around its
middle, which is found twice: what the first curve cuts away teaches the second one what hair looks like.
Neighbouring pixels of similar colour are pulled towards the same answer. The result is warped into the
full-size mask.

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
from deca_data.backends.mediapipe.person import PersonSegmenter
from deca_data.backends.mediapipe_landmarker import MediapipeLandmarker
from deca_data.backends.mesh.appearance import (
    AppearanceSettings,
    features,
    first_samples,
    more_samples,
    second_look,
)
from deca_data.backends.mesh.boundary import BoundarySettings, enclosed
from deca_data.backends.mesh.odds import OddsSettings, brows, log_odds, prior
from deca_data.backends.mesh.outline import FaceRegions, find_regions, grow, upward
from deca_data.backends.mesh.skin_color import (
    ColorEvidence,
    SkinColorSettings,
    color_evidence,
    squared_length,
)

ALGORITHM = "3"  # raise it with every change of the code that changes masks
OVEREXPOSED = 230  # least of the three channels


class MeshParserSettings(BaseModel, frozen=True, extra="forbid"):
    """Settings of the mesh parser. Lengths are in face heights."""

    crop: int = 128  # longer side of the crop, pixels
    forehead_up: float = 0.26  # how far above the mesh a hairline can be
    forehead_back: float = 0.106  # how far the skull recedes over that height
    person: float = 0.5  # probability of "person" below which a pixel near the rim is background
    person_share: float = 0.6  # of the mesh; where less of it is a person, the network is wrong
    background: float = -3.0  # upper limit of the log odds there
    background_depth: float = 0.2  # how far inside the mesh's rim background can be
    coupling: float = 1.6  # pull between neighbours of similar colour
    contrast: float = 2.0
    steps: int = 3
    color: SkinColorSettings = SkinColorSettings()
    odds: OddsSettings = OddsSettings()
    appearance: AppearanceSettings = AppearanceSettings()
    boundary: BoundarySettings = BoundarySettings()


class MeshParser:
    """Masks from the mesh and the photo's colours, in about 20 ms per photo on one core.

    The arguments are not used: MediaPipe has its own models and runs on the CPU.
    """

    name = "mesh"
    wants_mesh = True  # `parse` takes the meshes that the landmark stage found on the same photos

    def __init__(self, device: str = "cpu", weights: Path | None = None, download: bool = False) -> None:
        self.settings = MeshParserSettings()
        self._landmarker = MediapipeLandmarker()
        self._segmenter = PersonSegmenter()

    def fingerprint(self) -> dict[str, str]:
        """Versions of the libraries and of this method, and its settings."""
        return {
            **self._landmarker.fingerprint(),
            "person": PersonSegmenter.fingerprint(),
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
        background = self._background(crop, regions, inside) if regions.turned else None
        probability = _probability(crop, regions, inside, background, self.settings)
        return paste(_tidy(probability, crop, regions.height), frame, image.shape[:2])

    def _background(self, crop: np.ndarray, regions: FaceRegions, inside: np.ndarray) -> np.ndarray | None:
        """(H, W) bool: where MediaPipe sees no person; None where it sees none in most of the face.

        In profile the mesh reaches into the background, and this can have the colours of skin or of a beard.
        """
        face = regions.face & inside
        person = self._segmenter.person(crop)
        if not face.any() or person[face].mean() < self.settings.person_share:
            return None
        return (person < self.settings.person) & inside


def _probability(
    crop: np.ndarray,
    regions: FaceRegions,
    inside: np.ndarray,
    background: np.ndarray | None,
    settings: MeshParserSettings,
) -> np.ndarray:
    """Probability of "visible face" per pixel of the crop, (H, W) float32; 0 outside the outline."""
    outline = regions.outline
    depth = cv2.distanceTransform(regions.face.astype(np.uint8), cv2.DIST_L2, 3) / regions.height
    first = color_evidence(crop, regions, inside, depth, settings.color)
    place = prior(regions, depth, settings.odds)
    tinted = _tinted_objects(first, regions)

    def odds(ratio: np.ndarray) -> np.ndarray:
        found = log_odds(ratio, place, first.darker, regions, depth, settings.odds)
        found = np.where(tinted & (ratio < 0), settings.color.least, found)
        if background is not None:
            behind = background & (depth < settings.background_depth)
            found = np.where(behind, np.minimum(found, settings.background), found)
        return np.where(outline, found, -20).astype(np.float32)

    ratio = first.ratio
    found = features(crop)
    samples = first_samples(first, found, regions, inside, depth, settings.appearance)
    if samples is not None:
        ratio = second_look(first.ratio, found, samples, regions, settings.appearance)
        kept = enclosed(odds(ratio), regions, settings.boundary)
        samples = more_samples(samples, kept, found, regions, inside, settings.appearance)
        ratio = second_look(first.ratio, found, samples, regions, settings.appearance)
    unary = odds(ratio)
    kept = enclosed(unary, regions, settings.boundary)
    result = 1 / (1 + np.exp(-_settle(unary, crop, regions.face, settings)))
    return _bounded(np.where(outline, result, 0), unary, kept, regions)


def _bounded(
    probability: np.ndarray, unary: np.ndarray, kept: np.ndarray, regions: FaceRegions
) -> np.ndarray:
    """Nothing outside the boundary is face; inside and from the brows up, all is but strands of hair."""
    strands = cv2.morphologyEx((unary < -1).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    face = (regions.up > regions.brow_up + 0.03) & ~strands | brows(regions)
    inside = np.where(face, np.maximum(probability, 0.6), probability)
    result = np.where(kept, inside, np.minimum(probability, 0.2))
    return np.where(regions.outline, result, 0).astype(np.float32)


def _tinted_objects(evidence: ColorEvidence, regions: FaceRegions) -> np.ndarray:
    """(H, W) bool: blue or green pixels that are neither eyes nor painted lips."""
    tinted = evidence.tinted & ~regions.eyes
    rim = grow(regions.lips, 7) & ~regions.lips
    # Where the pixels around the lips are tinted too, something covers the mouth.
    return tinted if rim.any() and tinted[rim].mean() >= 0.3 else tinted & ~regions.lips


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


def _tidy(probability: np.ndarray, crop: np.ndarray, height: float) -> np.ndarray:
    """Removes small islands, fills small holes and larger overexposed ones; the soft edge is kept."""
    mask = (probability > 0.5).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    keep = np.zeros(count, np.uint8)
    keep[1:] = stats[1:, cv2.CC_STAT_AREA] >= 0.04 * stats[1:, cv2.CC_STAT_AREA].sum()
    mask = keep[np.asarray(labels, np.intp)]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4)
    labels, areas = np.asarray(labels, np.intp), stats[:, cv2.CC_STAT_AREA]
    white = np.bincount(labels[crop.min(-1) > OVEREXPOSED], minlength=count)
    hole = areas < np.where(white > 0.5 * areas, 0.05, 0.008) * height * height
    hole[0] = False
    mask |= hole[labels].astype(np.uint8)
    return np.where(mask > 0, np.maximum(probability, 0.501), np.minimum(probability, 0.499)).astype(
        np.float32
    )
