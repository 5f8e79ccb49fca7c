"""One row of a pack: the crop around a face, its landmarks and its mask (see `manifests/packs`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from deca_data.decode import Unreadable, decode_file
from manifests.errors import WorkFailed
from manifests.packs.schema import encode_mask
from manifests.reading import Manifest

CARRIED = ("sample_id", "dataset", "identity", "clip", "frame", "split", "valence", "arousal", "expression")
"""Columns of the manifest that stand in the pack as they are."""


class CropSettings(BaseModel):
    """What decides the pixels of a pack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=256, ge=64, le=1024, description="pixels of a crop's sides")
    scale: float = Field(default=2.05, ge=1.4, description="side over the mean of the landmark box's sides")
    quality: int = Field(default=95, ge=50, le=100, description="JPEG quality")


def pack_row(manifest: Manifest, row: Mapping[str, Any], settings: CropSettings) -> dict[str, Any]:
    """One row of the pack.

    Args:
        manifest: says where the files lie.
        row: columns of the manifest; landmarks as (68, 2) or 136 numbers.
        settings: the crop.

    Raises:
        WorkFailed: the photo or its mask cannot be read any more, or has another size than before.
    """
    points = np.array(row["landmarks"], np.float64).reshape(68, 2)
    left, top, side = crop_square(points, settings.scale)
    path = manifest.image_path(row["dataset"], row["image"])
    try:
        image = decode_file(path).image
    except Unreadable as error:
        raise WorkFailed(f"{path}: it was kept but cannot be read any more ({error}).") from error
    if (row["width"], row["height"]) not in ((image.shape[1], image.shape[0]), (None, None)):
        raise WorkFailed(
            f"{path}: it has another size than when its landmarks were found; run the stages again."
        )
    crop = _cut(image, (left, top, side), settings.size)
    options = [cv2.IMWRITE_JPEG_QUALITY, settings.quality]
    packed = {name: row[name] for name in CARRIED}
    packed["image_jpeg"] = cv2.imencode(".jpg", crop[..., ::-1], options)[1].tobytes()
    placed = (points - (left, top) + 0.5) * (settings.size / side) - 0.5
    packed["landmarks"] = placed.astype(np.float32).reshape(-1)
    packed["mask_zlib"] = None
    if row["mask_path"] is not None:
        mask = _read_mask(manifest.workspace_path(row["mask_path"]), image.shape[:2])
        packed["mask_zlib"] = encode_mask(_cut(mask, (left, top, side), settings.size))
    packed.update(crop_left=left, crop_top=top, crop_side=side)
    return packed


def crop_square(points: np.ndarray, scale: float) -> tuple[int, int, int]:  # (68, 2) -> left, top, side
    """The square around a face, whole pixels: its side is ``scale`` x the mean side of the landmark box."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(1, int(np.ceil((high - low).mean() * scale)))
    left, top = (int(np.floor(centre + 0.5 - side / 2 + 0.5)) for centre in (low + high) / 2)
    return left, top, side


def _cut(image: np.ndarray, square: tuple[int, int, int], size: int) -> np.ndarray:
    """(size, size, ...) uint8; black beyond the photo."""
    left, top, side = square
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    cut = image[y0:y1, x0:x1]
    if cut.shape[:2] != (side, side):
        cut = np.zeros((side, side, *image.shape[2:]), np.uint8)
        if x1 > x0 and y1 > y0:
            cut[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(cut, (size, size), interpolation=way)


def _read_mask(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    data = path.read_bytes() if path.is_file() else b""
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if mask is None or mask.shape != shape:
        raise WorkFailed(f"{path}: the mask is missing, damaged or of another size; run `deca-data masks`.")
    return mask
