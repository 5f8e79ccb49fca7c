"""Writes a mask of the visible face of each photo as a PNG file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deca_data.backends.protocols import Parser
from deca_data.sample import Sample
from deca_data.sidecars import sidecar_path
from deca_data.stage import ModelStage, NoSettings
from manifests.files import write_atomic

# Masks compress well: the fastest setting gives files only a few per cent larger than the slowest.
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


class MaskStage(ModelStage):
    """Writes `masks/<dataset>/<image>.png`: one channel, 0 or 255, of the photo's size.

    A mask that shows little of the face does not end the row: `skin_fraction` has the share, and the recipe
    has the threshold.
    """

    name = "masks"
    version = 2
    reads = ("box", "landmarks")
    writes = ("mask_path", "skin_fraction")
    batch = 8
    Settings = NoSettings
    in_run = True
    backend_kind = "parser"
    default_backend = "mesh"
    command = ("masks", "Draw the mask of the visible face (PNG each).", "deca-data masks --workers 8")

    backend: Parser

    def fingerprint(self) -> dict[str, Any]:
        """The parser's name, versions, settings and weights."""
        return {"backend": self.backend.name, **self.backend.fingerprint()}

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        """Sets the columns, and leaves it to ``Sample.writes`` to write the masks below ``workspace``."""
        images = [sample.image for sample in samples]
        boxes = [sample.box() for sample in samples]
        landmarks = [sample.landmarks() for sample in samples]
        known: dict[str, Any] = {}
        if getattr(self.backend, "wants_mesh", False):
            known["meshes"] = [sample.scratch.get("mesh") for sample in samples]
        masks = self.backend.parse(images, boxes, landmarks, **known)
        for sample, points, mask in zip(samples, landmarks, masks, strict=True):
            sample.row["skin_fraction"] = skin_fraction(mask, points)
            path = sidecar_path("masks", sample.row["dataset"], sample.row["image"], ".png")
            sample.writes.append(partial(_write, sample, mask, workspace, path))


def _write(sample: Sample, mask: np.ndarray, workspace: Path, path: str) -> None:
    packed = cv2.imencode(".png", photo_sized(mask, sample), _PNG)[1]
    write_atomic(workspace / path, packed.tobytes(), synced=False)
    sample.unsynced.append(workspace / path)
    sample.row["mask_path"] = path


def photo_sized(mask: np.ndarray, sample: Sample) -> np.ndarray:
    """Enlarges the mask of a reduced image to the photo's size."""
    if sample.shrunk == 1:
        return mask
    # The reduced sides were rounded up, so the enlarged mask can be larger than the photo.
    whole = cv2.resize(mask, None, fx=sample.shrunk, fy=sample.shrunk, interpolation=cv2.INTER_LINEAR)
    width, height = sample.size
    return cv2.threshold(whole[:height, :width], 127, 255, cv2.THRESH_BINARY)[1]


def skin_fraction(mask: np.ndarray, landmarks: np.ndarray) -> float | None:
    """The share of the face's outline inside the image that the mask marks as visible face.

    The outline is the convex hull of the 68 landmarks: jaw line and brows, without the forehead, whose height
    differs between persons. A face that nothing covers has 1, from every side.

    Args:
        mask: (H, W) uint8, 255 on the visible face.
        landmarks: (68, 2) pixels.

    Returns:
        0 to 1, or None where the outline lies outside the image.
    """
    hull = np.round(cv2.convexHull(np.asarray(landmarks, np.float32))[:, 0]).astype(np.int32)
    (x0, y0), (x1, y1) = np.maximum([hull.min(0), hull.max(0) + 1], 0)
    part = mask[y0:y1, x0:x1]
    if not part.size:
        return None
    outline = cv2.fillConvexPoly(np.zeros_like(part), hull - np.array([x0, y0], np.int32), (255,))
    inside = cv2.countNonZero(outline)
    return cv2.countNonZero(cv2.bitwise_and(outline, part)) / inside if inside else None
