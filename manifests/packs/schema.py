"""The pack format: its number, its columns, its index, and how a mask is stored."""

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


DENSE = pa.field("dense", pa.list_(pa.float32()))
"""The dense mesh of a row, 478 x 3 numbers in pixels of its crop; only in shards of which a row has one."""


class Shard(BaseModel):
    """A shard in the index: file name, number of rows, and digest of its rows and settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rows: int
    fingerprint: str


class Index(BaseModel):
    """The index of a pack: `FORMAT`, the settings of the crops, and the shards in the order of the rows.

    A crop has ``size`` x ``size`` pixels; ``scale`` is its side over the mean side of the landmarks' box;
    ``manifest`` is the digest of all packed rows.
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
    """Packs one bit per pixel, set where the mask is above 127, row by row, with zlib at level 9."""
    return zlib.compress(np.packbits(mask > 127).tobytes(), 9)


def decode_mask(data: bytes, size: int) -> np.ndarray | None:
    """Reads the bytes of `encode_mask`: (size, size) uint8, 0 and 255; None if they are damaged."""
    try:
        length = (size * size + 7) // 8
        unpacker = zlib.decompressobj()
        bits = np.frombuffer(unpacker.decompress(data, length + 1), np.uint8)  # a bomb is not unpacked
    except zlib.error:
        return None
    if len(bits) != length or not unpacker.eof:
        return None
    mask = np.unpackbits(bits, count=size * size).reshape(size, size)
    mask *= 255
    return mask
