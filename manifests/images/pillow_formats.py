"""The formats that Pillow may open, and its way from a file to upright RGB pixels.

Pillow knows some forty formats, and starts other programs for some of them (Ghostscript for PostScript). Here
it may open only those of photos. It tells them by the file's content.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
from functools import lru_cache
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, ImageOps

_FORMATS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "BMP": "Bmp",
    "TIFF": "Tiff",
    "WEBP": "WebP",
    "GIF": "Gif",
    "AVIF": "Avif",
    "JPEG2000": "Jpeg2K",
    "PPM": "Ppm",
}
"""Each format, and the module of Pillow that reads it. "JPEG" covers the files of several pictures (MPO)."""

_BAND = 256
"""Rows that are converted at a time; a whole picture in two or three modes takes several times its memory."""


def open_photo(file: BinaryIO | bytes) -> ImageFile.ImageFile:
    """Reads the head of a photo; no pixel is unpacked.

    Raises:
        Exception: any, as Pillow's readers do; `PIL.UnidentifiedImageError` if it is none of the formats.
    """
    return Image.open(io.BytesIO(file) if isinstance(file, bytes) else file, formats=_formats())


def what_it_needs(data: bytes) -> str | None:
    """Returns what is missing for a photo that Pillow does not know; None if nothing is: it is damaged."""
    brands = data[8 : min(int.from_bytes(data[:4], "big"), 64)] if data[4:8] == b"ftyp" else b""
    if b"avif" in brands or b"avis" in brands:  # beside `mif1`, which HEIC and AVIF share
        return None if "AVIF" in _formats() else "AVIF needs another Pillow: pip install --upgrade pillow"
    if any(brand in brands for brand in (b"heic", b"heix", b"hevc", b"mif1")) and "HEIF" not in _formats():
        return "HEIC needs another package: pip install 'deca-data[heic]'"
    return None


def is_transparent(header: Image.Image) -> bool:
    """Returns whether an image may have transparent pixels, by its header."""
    return header.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in header.info


def unpack(header: ImageFile.ImageFile) -> np.ndarray:
    """Unpacks a photo: (H, W, 3) uint8, RGB, upright, transparent pixels over white.

    Raises:
        Exception: any, as Pillow's readers do for damaged files.
    """
    header.load()
    with contextlib.suppress(Exception):  # a damaged EXIF block may raise anything; the pixels are whole
        ImageOps.exif_transpose(header, in_place=True)
    image = np.empty((header.height, header.width, 3), np.uint8)
    for top in range(0, header.height, _BAND):
        below = min(header.height, top + _BAND)
        image[top:below] = _shown(header.crop((0, top, header.width, below)))
    return image


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    for module in _FORMATS.values():
        importlib.import_module(f"PIL.{module}ImagePlugin")
    found = [name for name in _FORMATS if name in Image.OPEN]  # a Pillow may be built without a codec
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif  # type: ignore[import-not-found]  # an extra

        pillow_heif.register_heif_opener()
        found.append("HEIF")
    return found


def _shown(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):  # 16 bits grey, which Pillow's own conversion would clip
        deep = np.asarray(image)
        shown = np.where(deep == image.info.get("transparency"), 255, deep >> 8)
        return np.repeat(shown.astype(np.uint8)[..., None], 3, axis=2)
    if is_transparent(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))
