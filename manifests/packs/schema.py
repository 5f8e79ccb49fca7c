"""The parts of the pack format: its number, its columns, its index, and how a mask is stored."""

from __future__ import annotations

import zlib

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

FORMAT = 2
"""Rises with every change that an older reader cannot read. Format 1 was Parquet shards."""

KEY = b"deca-pack"
"""The key of a shard's metadata that holds what it was made from."""

ENDING = ".arrow"

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("sample_id", "dataset", "identity", "clip")),
        pa.field("frame", pa.int32()),
        pa.field("split", pa.string()),
        *(pa.field(name, pa.float32()) for name in ("valence", "arousal")),
        pa.field("expression", pa.int32()),
        pa.field("image_jpeg", pa.binary(), nullable=False),
        pa.field("landmarks", pa.list_(pa.float32(), 136), nullable=False),
        pa.field("mask_zlib", pa.binary()),
        *(pa.field(name, pa.int32(), nullable=False) for name in ("crop_left", "crop_top", "crop_side")),
    ]
)


class Shard(BaseModel):
    """A line of the index: a file beside it, its rows, and the digest of what it was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int
    fingerprint: str


class Index(BaseModel):
    """What the index of a pack says.

    Attributes:
        format: `FORMAT`.
        size: pixels of a crop's sides.
        scale: a crop's side over the mean side of the box of its landmarks.
        quality: JPEG quality.
        split: the manifest's split, where it has one.
        manifest: digest of all packed rows.
        rows: number of all packed rows.
        shards: the files, in the order of the rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    size: int
    scale: float
    quality: int
    split: str | None
    manifest: str
    rows: int
    shards: tuple[Shard, ...]


def encode_mask(mask: np.ndarray) -> bytes:  # (size, size) uint8
    """One bit a pixel, set where the mask is above 127, row by row; then zlib at its highest level."""
    return zlib.compress(np.packbits(mask > 127).tobytes(), 9)


def decode_mask(data: bytes, size: int) -> np.ndarray | None:
    """The mask (size, size) uint8, 0 and 255, of the bytes of `encode_mask`; None if they are damaged."""
    try:
        bits = np.frombuffer(zlib.decompress(data), np.uint8)
    except zlib.error:
        return None
    if len(bits) != (size * size + 7) // 8:
        return None
    mask = np.unpackbits(bits, count=size * size).reshape(size, size)
    mask *= 255
    return mask
