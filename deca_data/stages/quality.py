"""Measures how good a photo of a face is: size, sharpness, light, pose, openness, and its hashes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deca_data.head_pose import eye_openness, head_angles, mouth_openness
from deca_data.sample import Sample

SIDE = 128
"""Pixels of the square on which sharpness and light are measured, whatever the face's size is."""

BLACK, BURNT = 4, 251
"""Grey values up to and from which a pixel is clipped."""


class QualitySettings(BaseModel):
    """Where the hash looks.

    Attributes:
        hash_margin: side of the hashed square over that of the landmarks' box.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hash_margin: float = Field(1.3, ge=1, le=3)


class QualityStage:
    """Writes scores only; which of them are good enough is for the recipe to say."""

    name = "quality"
    version = 1
    reads = ("landmarks",)
    writes = (
        *("face_size", "yaw", "pitch", "roll", "sharpness", "brightness", "clipping"),
        *("eye_openness", "mouth_openness", "content_hash", "phash"),
    )
    batch = 1
    Settings = QualitySettings

    def __init__(self, settings: QualitySettings) -> None:
        self.settings = settings

    def fingerprint(self) -> dict[str, Any]:
        """The settings; the measures change with the stage's version only."""
        return {"settings": self.settings.model_dump(mode="json")}

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns."""
        for sample in samples:
            points = np.asarray(sample.row["landmarks"], np.float32).reshape(68, 2)
            yaw, pitch, roll = head_angles(points)
            sample.row.update(
                face_size=face_size(points),
                yaw=yaw,
                pitch=pitch,
                roll=roll,
                eye_openness=eye_openness(points),
                mouth_openness=mouth_openness(points),
                phash=face_hash(sample.image, points, self.settings.hash_margin),
                **light(sample.image, points),
            )


def face_size(landmarks: np.ndarray) -> float:
    """Square root of the area of the landmarks' box, pixels."""
    width, height = np.ptp(landmarks, axis=0)
    return float(np.sqrt(max(width * height, 0.0)))


def light(image: np.ndarray, landmarks: np.ndarray) -> dict[str, float]:
    """Sharpness, brightness and clipping of the face.

    The landmarks' box is brought to 128 x 128 grey pixels; only pixels within the landmarks' hull count.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (68, 2) pixels.

    Returns:
        sharpness: variance of the Laplacian, grey levels squared (Pech-Pacheco et al., "Diatom
        autofocusing in brightfield microscopy", 2000); brightness: mean luma, 0 to 1; clipping: share of
        pixels that are black or burnt out, 0 to 1.
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    centre, side = (low + high) / 2, float(max((high - low).max(), 1.0))
    grey = _square(image, centre, side, SIDE)
    places = (landmarks - centre + side / 2) * (SIDE / side)
    hull = cv2.convexHull(np.round(places).astype(np.int32))
    inside = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(inside, hull, (255.0,))
    inside = cv2.erode(inside, np.ones((3, 3), np.uint8)) > 0
    values = grey[inside] if inside.any() else grey.reshape(-1)
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    chosen = edges[inside] if inside.any() else edges.reshape(-1)
    return {
        "sharpness": float(chosen.var()),
        "brightness": float(values.mean() / 255),
        "clipping": float(np.mean((values <= BLACK) | (values >= BURNT))),
    }


def face_hash(image: np.ndarray, landmarks: np.ndarray, margin: float = 1.3) -> str:
    """Perceptual hash of the square around the face: 16 hexadecimal digits.

    OpenCV's pHash: the signs of the lowest 8 x 8 cosine coefficients against their median (Zauner,
    "Implementation and benchmarking of perceptual image hash functions", 2010).
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    side = float(max((high - low).max(), 1.0)) * margin
    grey = _square(image, (low + high) / 2, side, SIDE)
    return cv2.img_hash.pHash(grey).tobytes().hex()


def _square(image: np.ndarray, centre: np.ndarray, side: float, size: int) -> np.ndarray:
    """A grey (size, size) copy of a square of the image; what lies outside repeats the border."""
    x0, y0 = np.floor(centre - side / 2).astype(int)
    x1, y1 = np.ceil(centre + side / 2).astype(int) + 1
    height, width = image.shape[:2]
    part = image[max(y0, 0) : max(y1, 1), max(x0, 0) : max(x1, 1)]
    pads = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0))
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    if any(pads):
        grey = cv2.copyMakeBorder(grey, *pads, cv2.BORDER_REPLICATE)
    way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(grey, (size, size), interpolation=way)
