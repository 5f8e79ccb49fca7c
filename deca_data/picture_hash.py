"""Perceptual hashes of two lengths: a short one to search by, and a long one to be sure.

Both are ImageHash's pHash: which of the low DCT coefficients of a small grey picture lie above their median
(after Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010). 64 bits are quick
to search, but faces are alike: of the 5 * 10^12 pairs in a dataset of 3 million some millions agree in all
but four bits by chance. The long hash, of 16 x 16 coefficients, tells those from copies.
"""

from __future__ import annotations

import cv2
import imagehash
import numpy as np
from PIL import Image

SIDE = 64
"""Side of the grey picture that is hashed, pixels."""

SHORT, LONG = 8, 16
"""The hashes have the signs of SHORT x SHORT and LONG x LONG coefficients."""


def short_hash(grey: np.ndarray) -> bytes:
    """8 bytes.

    Args:
        grey: (SIDE, SIDE) uint8.
    """
    return _phash(grey, SHORT)


def long_hash(grey: np.ndarray) -> bytes:
    """32 bytes.

    Args:
        grey: (SIDE, SIDE) uint8.
    """
    return _phash(grey, LONG)


def small_grey(image: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) uint8: the whole picture, squeezed to a square.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _phash(grey: np.ndarray, side: int) -> bytes:
    return np.packbits(imagehash.phash(Image.fromarray(grey), hash_size=side).hash).tobytes()
