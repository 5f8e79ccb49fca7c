"""Perceptual hashes of two lengths: a short one to search by, and a long one to be sure.

Both are signs of low DCT coefficients of a small grey picture. 64 bits find every copy, but faces are alike:
of the 5 * 10^12 pairs in a dataset of 3 million some millions agree in all but four bits by chance. The long
hash, of 16 x 16 coefficients, tells those from copies.
"""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 64
"""Side of the grey picture that is hashed, pixels."""

LONG = 16
"""The long hash has the signs of LONG x LONG coefficients, but for the mean."""


def short_hash(grey: np.ndarray) -> bytes:
    """8 bytes: pHash (Zauner 2010), bit for bit as in OpenCV's img_hash module.

    That module is only in opencv-contrib-python, whose files opencv-python overwrites where both are
    installed, as MediaPipe makes one do; so the few lines stand here.

    Args:
        grey: (SIDE, SIDE) uint8.
    """
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_LINEAR_EXACT)
    low = cv2.dct(small.astype(np.float32))[:8, :8].copy()
    low[0, 0] = 0  # the mean brightness says nothing of the picture
    return np.packbits(low > low.mean(dtype=np.float64), axis=1, bitorder="little").tobytes()


def long_hash(grey: np.ndarray) -> bytes:
    """32 bytes: which of the low coefficients lie above their median; the last bit is always 0.

    Args:
        grey: (SIDE, SIDE) uint8.
    """
    low = cv2.dct(grey.astype(np.float32))[:LONG, :LONG].reshape(-1)[1:]
    return np.packbits(np.append(low > np.median(low), False)).tobytes()


def small_grey(image: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) uint8: the whole picture, squeezed to a square.

    Args:
        image: (H, W, 3) uint8 RGB.
    """
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
