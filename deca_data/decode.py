"""Decodes an image file, once, to an upright RGB array.

OpenCV decodes the common cases (two to three times as fast as Pillow); Pillow reads the header, so that
the size is known before any pixel is unpacked, and takes what OpenCV gets wrong: transparency, and
orientation in WebP.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 200_000_000
"""Larger images are refused: 200 megapixels are 600 MB unpacked; cameras make up to about 100."""

MIN_SIDE = 16
"""Smaller images are refused: no face can be read from them."""

_JPEG = {"JPEG", "MPO"}
_BY_OPENCV = _JPEG | {"PNG", "BMP", "TIFF"}
_ON_ITS_SIDE = {5, 6, 7, 8}  # EXIF orientations that exchange width and height
_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


class Unreadable(Exception):
    """The file is no image that can be used; the message says why, in words fit for the `reason` column."""


class Decoded(NamedTuple):
    """A decoded file.

    Attributes:
        image: (H, W, 3) uint8, RGB, upright.
        content_hash: see ``content_hash``.
        width, height: of the photo after the EXIF turn, in its own pixels: all positions of the manifest
            are in these.
        shrunk: 1, 2, 4 or 8: what the photo's sides were divided by, and rounded up, for ``image``.
    """

    image: np.ndarray
    content_hash: str
    width: int
    height: int
    shrunk: int = 1


Shrink = Callable[[int, int], int]
"""From a photo's width and height to 1, 2, 4 or 8: what its sides may be divided by."""


def decode_file(path: Path, max_pixels: int = MAX_PIXELS, shrink: Shrink | None = None) -> Decoded:
    """Reads and decodes ``path``; see ``decode_bytes``.

    Raises:
        Unreadable: also when the file is missing or may not be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot read the file: {error.strerror or error}") from error
    return decode_bytes(data, max_pixels, shrink)


def decode_bytes(data: bytes, max_pixels: int = MAX_PIXELS, shrink: Shrink | None = None) -> Decoded:
    """Decodes an image file's bytes.

    The EXIF orientation is applied, grey and palette images become RGB, 16 bits become 8 (the high byte),
    and transparent pixels are laid over white.

    Args:
        data: the whole file.
        max_pixels: a larger image is refused before it is unpacked.
        shrink: how far a JPEG may be reduced, which takes less time; other kinds never are, and None reduces
            nothing. It is asked with width and height, or with the two exchanged. A photo that EXIF turns is
            reduced by what divides its sides, at most.

    Raises:
        Unreadable: empty, truncated, damaged, not an image, too large or too small.
    """
    if not data:
        raise Unreadable("the file is empty")
    with warnings.catch_warnings():  # Pillow's own size warning: the bound below is the one that counts
        warnings.simplefilter("ignore")
        header = _header(data)
        width, height = header.size
        if width * height > max_pixels:
            raise Unreadable(f"too large: {width} x {height} pixels (at most {max_pixels})")
        if min(width, height) < MIN_SIDE:
            raise Unreadable(f"too small: {width} x {height} pixels (each side at least {MIN_SIDE})")
        if header.format in _BY_OPENCV and not _transparent(header):
            shrunk, turn = _reduction(header, shrink)
            image = _by_opencv(data, header.format in _JPEG, shrunk)
            if turn in _ON_ITS_SIDE:
                width, height = height, width
            if shrunk > 1 and image.shape[:2] != (-(-height // shrunk), -(-width // shrunk)):
                shrunk, image = 1, _by_opencv(data, True, 1)  # the two libraries read another EXIF turn
        else:
            shrunk, image = 1, _by_pillow(header)
    if shrunk == 1:
        height, width = image.shape[:2]
    return Decoded(image, content_hash(data), width, height, shrunk)


def content_hash(data: bytes) -> str:
    """32 hex digits, BLAKE2b-128: equal for equal files."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _header(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except UnidentifiedImageError as error:
        raise Unreadable("not an image, or its head is damaged") from error
    except Image.DecompressionBombError as error:
        raise Unreadable("too large: more pixels than any photo has") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Unreadable(f"damaged: {error}") from error


def _reduction(header: Image.Image, shrink: Shrink | None) -> tuple[int, int]:
    """What the sides are divided by; and the EXIF orientation, 1 where it is not needed."""
    width, height = header.size
    shrunk = shrink(width, height) if shrink is not None and header.format in _JPEG else 1
    if shrunk == 1:
        return 1, 1
    try:
        turn = header.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # whatever Pillow's reader of damaged EXIF throws: OpenCV has its own
        return 1, 1
    while turn != 1 and (width % shrunk or height % shrunk):
        shrunk //= 2  # else what is rounded up would lie before the first pixel of the upright image
    return shrunk, turn


def _transparent(header: Image.Image) -> bool:
    return header.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in header.info


def _by_opencv(data: bytes, jpeg: bool, shrunk: int) -> np.ndarray:
    # A download that stopped after its space was reserved ends in zeros, and decoders take those for
    # grey pixels; its end marker is missing.
    if jpeg and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise Unreadable("truncated: the JPEG has no end")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | _REDUCED[shrunk])
    except cv2.error as error:
        raise Unreadable("truncated or damaged") from error
    if image is None:
        raise Unreadable("truncated or damaged")
    return image


def _by_pillow(header: Image.Image) -> np.ndarray:
    try:
        image = ImageOps.exif_transpose(header)
        if _transparent(image):
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Unreadable(f"truncated or damaged: {error}") from error
