"""Photos as files that every reader sees upright and in colour."""

from __future__ import annotations

from pathlib import Path

import cv2
from PIL import ExifTags

from manifests.files import open_file, read_file
from manifests.images.kept import read_photo
from manifests.images.pillow_formats import is_transparent, open_photo

QUALITY = 95


def as_it_is(path: Path, kind: str) -> bool:
    """Returns whether the file is an RGB image of the format ``kind`` that EXIF does not turn.

    ``kind`` is "JPEG" or "PNG". False also for a file that cannot be read; `encoded` then says why.
    """
    try:
        with open_file(path) as file, open_photo(file) as image:
            plain = (image.format, image.mode) == (kind, "RGB") and not is_transparent(image)
            return plain and image.getexif().get(ExifTags.Base.Orientation, 1) == 1
    except Exception:  # Pillow may raise any exception for a damaged header
        return False


def encoded(path: Path, kind: str) -> bytes:
    """Encodes the photo, upright and in RGB, as JPEG of quality 95 or as PNG.

    Raises:
        WorkFailed: the file cannot be read.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if kind == "JPEG" else []
    _, data = cv2.imencode(".jpg" if kind == "JPEG" else ".png", read_photo(path)[..., ::-1], options)
    return data.tobytes()


def file_bytes(path: Path, kind: str) -> bytes:
    """Returns the file's bytes if every reader sees it right, else the photo encoded again."""
    return read_file(path) if as_it_is(path, kind) else encoded(path, kind)
