"""Photos as files that every reader sees upright and in colour."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from deca_data.decode import Unreadable, decode_file
from manifests.errors import WorkFailed

QUALITY = 95
_ORIENTATION = 0x0112


def as_it_is(path: Path, kind: str) -> bool:
    """True if a plain reader gets the same pixels from the file: right format, RGB, not turned by EXIF.

    Args:
        path: the photo.
        kind: "JPEG" or "PNG".

    Raises:
        WorkFailed: the file cannot be read.
    """
    try:
        with Image.open(path) as image:
            return (image.format, image.mode) == (kind, "RGB") and image.getexif().get(_ORIENTATION, 1) == 1
    except (OSError, UnidentifiedImageError) as error:
        raise WorkFailed(f"{path}: it was kept but cannot be read any more ({error}).") from error


def encoded(path: Path, kind: str) -> bytes:
    """The photo upright and in RGB, as JPEG of quality 95 or as PNG.

    Raises:
        WorkFailed: the file cannot be read.
    """
    try:
        image = decode_file(path).image
    except Unreadable as error:
        raise WorkFailed(f"{path}: it was kept but cannot be read any more ({error}).") from error
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if kind == "JPEG" else []
    _, data = cv2.imencode(".jpg" if kind == "JPEG" else ".png", image[..., ::-1], options)
    return data.tobytes()


def file_bytes(path: Path, kind: str) -> bytes:
    """The file itself where that will do, else the photo encoded again."""
    return path.read_bytes() if as_it_is(path, kind) else encoded(path, kind)


def read_mask(path: Path) -> np.ndarray:
    """(H, W) bool, True on the visible face.

    Raises:
        WorkFailed: the file is missing or no image.
    """
    data = path.read_bytes() if path.is_file() else b""
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if mask is None:
        raise WorkFailed(f"{path}: the mask is missing or damaged; make it again with `deca-data masks`.")
    return mask > 127
