"""Decoding the images and masks of packs."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np

from manifests.errors import WorkFailed

_COLOUR = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_COLOR_8,
}
_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


class UnreadableImage(WorkFailed):
    """An image or mask of a pack cannot be read; the message names the shard."""


def decode_image(data: np.ndarray, reduction: int, name: str) -> np.ndarray:
    """The image of a file's bytes (N,), (H, W, 3) uint8 RGB at 1 / reduction of its size."""
    return _checked(cv2.imdecode(data, _COLOUR[reduction]), name, "image")


def decode_mask(data: np.ndarray, reduction: int, name: str) -> np.ndarray:
    """The mask, (H, W) uint8, like ``decode_image``."""
    mask = one_bit_png(data.tobytes())
    if mask is None:
        return _checked(cv2.imdecode(data, _GREY[reduction]), name, "mask")
    if reduction == 1:
        return mask
    size = (mask.shape[1] // reduction, mask.shape[0] // reduction)
    return cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR_EXACT)  # as OpenCV's reduced decoding


def one_bit_png(data: bytes) -> np.ndarray | None:
    """Decodes a black and white PNG as `deca-data pack` writes its masks, in a third of OpenCV's time.

    Only what is needed for that of the format (W3C, "Portable Network Graphics Specification"): one bit a
    pixel, grey, not interlaced, no row filters.

    Returns:
        (H, W) uint8, 0 and 255; None for any other file, also for a damaged one.
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33:
        return None
    width, height, *kind = struct.unpack_from(">IIBBBBB", data, 16)
    if kind != [1, 0, 0, 0, 0]:
        return None
    packed, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        if data[place + 4 : place + 8] == b"IDAT":
            packed.append(data[place + 8 : place + 8 + length])
        place += 12 + length
    try:
        rows = np.frombuffer(zlib.decompress(b"".join(packed)), np.uint8)
    except zlib.error:
        return None
    across = 1 + (width + 7) // 8  # a byte for the filter, then the pixels
    if rows.size != height * across or rows[::across].any():
        return None
    return np.unpackbits(rows.reshape(height, across)[:, 1:], axis=1, count=width) * np.uint8(255)


def _checked(image: np.ndarray | None, name: str, what: str) -> np.ndarray:
    if image is None:
        raise UnreadableImage(
            f"{name}: the {what} cannot be decoded; run deca-data pack again, then continue with --resume."
        )
    return image
