"""One row of a pack: the crop around a face, its landmarks and its mask (see `manifests/packs`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from manifests.errors import UsageError
from manifests.images.crop import cut_square, face_square, snap_larger
from manifests.images.kept import read_mask, read_mesh, read_photo
from manifests.packs.schema import encode_mask
from manifests.reading import Manifest

CARRIED = ("sample_id", "dataset", "identity", "clip", "frame", "split", "valence", "arousal", "expression")
"""Columns of the manifest that are copied into the pack."""

FARTHEST = 1e8
"""Pixels; the places and sides of crops are stored in 32 bits."""


class CropSettings(BaseModel):
    """What decides the pixels of a pack."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(default=256, ge=64, le=1024, description="pixels of a crop's sides")
    scale: float = Field(default=2.05, ge=1.4, description="side over the mean of the landmark box's sides")
    quality: int = Field(default=95, ge=50, le=100, description="JPEG quality")


def pack_row(manifest: Manifest, row: Mapping[str, Any], settings: CropSettings) -> dict[str, Any]:
    """Makes one row of the pack from a row of the manifest, whose landmarks are (68, 2) or 136 numbers.

    Raises:
        UsageError: the landmarks lie further outside the photo than a crop can reach.
        WorkFailed: the photo, its mask or its mesh cannot be read any more, or has another size than before.
    """
    points = np.array(row["landmarks"], np.float64).reshape(68, 2)
    if np.abs(points).max() > FARTHEST:
        raise UsageError(
            f"{manifest.path}: the landmarks of {row['sample_id']} lie far outside its photo; leave such "
            "rows out, or make the manifest again with `deca-data build-manifest`."
        )
    left, top, side = cut = snap_larger(face_square(points, settings.scale))
    way = cv2.INTER_AREA if side > settings.size else cv2.INTER_LINEAR
    size = (row["width"], row["height"]) if row["width"] else None
    image = read_photo(manifest.image_path(row["dataset"], row["image"]), size)
    crop = cut_square(image, cut, settings.size, interpolation=way)
    options = [cv2.IMWRITE_JPEG_QUALITY, settings.quality]
    packed = {name: row[name] for name in CARRIED}
    packed["image_jpeg"] = cv2.imencode(".jpg", crop[..., ::-1], options)[1].tobytes()
    placed = (points - (left, top) + 0.5) * (settings.size / side) - 0.5
    packed["landmarks"] = placed.astype(np.float32).reshape(-1)
    if row.get("dense_path") is not None:
        mesh = read_mesh(manifest.workspace_path(row["dense_path"]))
        flat = (mesh[:, :2] - (left, top) + 0.5) * (settings.size / side) - 0.5
        depth = mesh[:, 2:] * (settings.size / side)
        packed["dense"] = np.concatenate([flat, depth], axis=1).astype(np.float32).reshape(-1)
    packed["mask_zlib"] = None
    if row["mask_path"] is not None:
        mask = read_mask(manifest.workspace_path(row["mask_path"]), (image.shape[1], image.shape[0]))
        packed["mask_zlib"] = encode_mask(cut_square(mask, cut, settings.size, interpolation=way))
    packed.update(crop_left=left, crop_top=top, crop_side=side)
    return packed
