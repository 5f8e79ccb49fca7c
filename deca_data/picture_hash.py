"""Perceptual hashes of two lengths: a short one to search for copies, and a long one to confirm them.

Both are ImageHash's pHash: one bit for each low DCT coefficient of a small grey image, set if it is above the
median (after Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010). 64 bits are
fast to search, but faces are similar: a dataset of 3 million photos has 5 * 10^12 pairs, and in some millions
of them all but four bits are equal by chance. The long hash, of 16 x 16 coefficients, separates these pairs
from copies.
"""

from __future__ import annotations

import cv2
import imagehash
import numpy as np
from PIL import Image

SIDE = 64
"""Side of the grey image that is hashed, pixels."""

SHORT, LONG = 8, 16
"""The hashes are of SHORT x SHORT and LONG x LONG coefficients."""


def perceptual_hash(grey: np.ndarray, side: int) -> bytes:
    """The hash of a (SIDE, SIDE) uint8 image: 8 bytes if ``side`` is SHORT, 32 if it is LONG."""
    return np.packbits(imagehash.phash(Image.fromarray(grey), hash_size=side).hash).tobytes()


def small_grey(image: np.ndarray) -> np.ndarray:
    """An (H, W, 3) uint8 RGB image, stretched to a grey square, (SIDE, SIDE) uint8."""
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
