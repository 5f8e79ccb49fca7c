"""Writing pictures as PNG files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from manifests.files import write_atomic


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a picture completely or not at all.

    Args:
        path: the file.
        image: (H, W, 3) uint8 RGB, or (H, W) uint8 or uint16.
    """
    _, data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    write_atomic(path, data.tobytes())
