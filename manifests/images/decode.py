"""Decodes an image file to an upright RGB array: what the stages see is what the trainer learns from.

The rule:

- the EXIF orientation is applied;
- grey, palette and CMYK become RGB, and 16 bits become 8 (the high byte);
- transparent pixels are laid over white, in proportion to their alpha;
- of an animation, the first frame is taken;
- a JPEG may be unpacked at a half, a quarter or an eighth of its size, which takes less time;
- a JPEG of which libjpeg says that its insides are damaged is refused.

OpenCV decodes the common cases, two to three times as fast as Pillow. Pillow reads the header, so that the
size is known before any pixel is unpacked, and decodes what OpenCV gets wrong: transparency, orientation in
WebP, and animated PNGs. The format comes from the file's content, not from its name, and is one of a list.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from manifests.files import Refused, read_file
from manifests.images.c_warnings import decode_heard, decode_quietly
from manifests.images.jpeg_files import END, MAX_SCANS, damage, jpeg_marks
from manifests.images.pillow_formats import is_transparent, open_photo, unpack, what_it_needs
from manifests.images.png_files import is_animated, is_too_long
from manifests.machine_faults import stop_at_machine_fault

MAX_MEMORY = 1_000_000_000
"""Bytes that decoding one file may take. Files that need more, by the size in their header, are refused."""

_BYTES_PER_PIXEL = {"OpenCV": 6, "OpenCV, TIFF": 10, "Pillow": 25}
"""Measured peaks, so that at most 166, 100 and 40 megapixels are decoded; cameras make up to about 100."""

MIN_SIDE = 16
"""Smaller images are refused: no face can be read from them."""

_JPEG = {"JPEG", "MPO"}
_BY_OPENCV = _JPEG | {"PNG", "BMP", "TIFF"}
_ON_ITS_SIDE = {5, 6, 7, 8}  # EXIF orientations that exchange width and height
_REDUCED = {
    # Reduced, without the bit for BGR: newer OpenCV refuses it beside the one for RGB.
    **{2: cv2.IMREAD_REDUCED_COLOR_2 & ~cv2.IMREAD_COLOR, 4: cv2.IMREAD_REDUCED_COLOR_4 & ~cv2.IMREAD_COLOR},
    **{1: 0, 8: cv2.IMREAD_REDUCED_COLOR_8 & ~cv2.IMREAD_COLOR},
}


class Unreadable(Exception):
    """The file is no usable image; the message says why and becomes the row's `reason`."""


class NotOpened(Unreadable):
    """The file is missing or may not be read; where that is so for most files, the dataset is not there."""


class Decoded(NamedTuple):
    """A decoded file.

    Attributes:
        image: (H, W, 3) uint8, RGB, upright.
        width, height: of the upright photo in its own pixels, the unit of the manifest's positions.
        shrunk: 1, 2, 4 or 8: the photo's sides over those of ``image``.
        content_hash: 32 hex digits, BLAKE2b-128 of the file's bytes; None unless asked for.
    """

    image: np.ndarray
    width: int
    height: int
    shrunk: int = 1
    content_hash: str | None = None


Shrink = Callable[[int, int], int]
"""From a photo's width and height to 1, 2, 4 or 8: what its sides may be divided by."""


def decode_file(
    path: Path, *, shrink: Shrink | None = None, exactly: bool = False, hashed: bool = False
) -> Decoded:
    """Reads and decodes ``path``, see ``decode_bytes``; ``hashed`` adds the content hash.

    Raises:
        Unreadable: as ``decode_bytes``, and if the file is missing or may not be read.
    """
    data = read_bytes(path)
    decoded = decode_bytes(data, shrink=shrink, exactly=exactly)
    if not hashed:
        return decoded
    return decoded._replace(content_hash=hashlib.blake2b(data, digest_size=16).hexdigest())


def decode_bytes(data: bytes, *, shrink: Shrink | None = None, exactly: bool = False) -> Decoded:
    """Decodes an image file's bytes by the rule above.

    Args:
        data: the whole file.
        shrink: how far a photo may be reduced; None reduces nothing. It gets width and height, perhaps
            exchanged. Only JPEGs are reduced; one that EXIF turns only by a divisor of its sides. The sides
            are rounded up.
        exactly: whether to reduce every photo by what ``shrink`` says, even if that saves no time. The sides
            of photos that are no JPEGs are then rounded down, as those of their masks are.

    Raises:
        Unreadable: empty, truncated, damaged, not an image, too large or too small.
    """
    if not data:
        raise Unreadable("the file is empty")
    with warnings.catch_warnings():  # of Pillow, about sizes; the bounds below decide
        warnings.simplefilter("ignore")
        try:
            return _decoded(data, shrink, exactly)
        except Unreadable:
            raise
        except Exception as error:  # decoders raise any exception for a damaged file
            raise Unreadable(f"truncated or damaged: {_said(error)}") from error


def decode_jpeg(data: bytes, reduction: int = 1) -> np.ndarray:
    """Decodes a JPEG of a pack, with sides divided by ``reduction`` (1, 2, 4 or 8) and rounded up.

    Raises:
        Unreadable: truncated, damaged, or no JPEG.
    """
    if not data.startswith(b"\xff\xd8\xff"):
        raise Unreadable("not a JPEG")
    return _by_opencv(data, True, reduction)


def decode_as_stored(data: bytes) -> np.ndarray:
    """Decodes a JPEG or a plain PNG, (H, W, 3) uint8 RGB, without turning it or minding transparency.

    Raises:
        Unreadable: truncated, damaged, too large, or another format.
    """
    try:
        header = _header(data)
        jpeg = header.format in _JPEG
        if not jpeg and (header.format != "PNG" or is_animated(data) or is_too_long(data)):
            raise Unreadable("neither a JPEG nor a plain PNG")
        _check_size(header, by_opencv=True)
        return _by_opencv(data, jpeg, 1, cv2.IMREAD_IGNORE_ORIENTATION)
    except Unreadable:
        raise
    except Exception as error:  # as in ``decode_bytes``
        raise Unreadable(f"truncated or damaged: {_said(error)}") from error


def read_bytes(path: Path) -> bytes:
    """Reads a file.

    Raises:
        NotOpened: the file is missing or may not be read.
        Unreadable: it is no regular file, or is too large.
        MachineFault: the drive, or a limit of the machine, is at fault.
    """
    try:
        return read_file(path)
    except Refused as error:
        raise Unreadable(str(error.strerror)) from error
    except OSError as error:
        stop_at_machine_fault(error)
        raise NotOpened(f"cannot read the file: {error.strerror or error}") from error


def _decoded(data: bytes, shrink: Shrink | None, exactly: bool) -> Decoded:
    header = _header(data)
    width, height = header.size
    by_opencv, jpeg = _opencv_can(header, data), header.format in _JPEG
    _check_size(header, by_opencv)
    wanted = 1 if shrink is None else shrink(width, height)
    if by_opencv:
        shrunk, turn = _reduction(header, wanted) if jpeg else (1, 1)
        image = _by_opencv(data, jpeg, shrunk)
        if turn in _ON_ITS_SIDE:
            width, height = height, width
        if shrunk > 1 and image.shape[:2] != (-(-height // shrunk), -(-width // shrunk)):
            shrunk, image = 1, _by_opencv(data, True, 1)  # the two libraries read another EXIF turn
    else:
        shrunk, image = 1, decode_quietly(lambda: unpack(header))
    if shrunk == 1:
        height, width = image.shape[:2]
    if exactly and shrunk < wanted:
        image, shrunk = _reduced(image, wanted // shrunk, jpeg), wanted
    return Decoded(image, width, height, shrunk)


def _header(data: bytes) -> ImageFile.ImageFile:
    try:
        if data.startswith(b"\xff\xd8"):  # Pillow reads the head of a JPEG without a C library
            return open_photo(data)
        return decode_quietly(lambda: open_photo(data))
    except UnidentifiedImageError as error:
        said = what_it_needs(data) or "not an image, or its head is damaged"
        raise Unreadable(said) from error
    except Image.DecompressionBombError as error:
        raise Unreadable("too large: more pixels than any photo has") from error


def _opencv_can(header: ImageFile.ImageFile, data: bytes) -> bool:
    if header.format not in _BY_OPENCV or is_transparent(header):
        return False
    if header.format == "PNG" and is_too_long(data):
        raise Unreadable("damaged: a chunk is longer than the file")
    return header.format != "PNG" or not is_animated(data)


def _check_size(header: ImageFile.ImageFile, by_opencv: bool) -> None:
    width, height = header.size
    decoder = "Pillow" if not by_opencv else "OpenCV, TIFF" if header.format == "TIFF" else "OpenCV"
    most = MAX_MEMORY // _BYTES_PER_PIXEL[decoder]
    if width * height > most:
        raise Unreadable(f"too large: {width} x {height} pixels (at most {most} in this format)")
    if min(width, height) < MIN_SIDE:
        raise Unreadable(f"too small: {width} x {height} pixels (each side at least {MIN_SIDE})")


def _reduction(header: Image.Image, shrunk: int) -> tuple[int, int]:
    """Returns what a JPEG's sides are divided by, and the EXIF orientation (1 if it is not needed)."""
    if shrunk == 1:
        return 1, 1
    width, height = header.size
    try:
        turn = header.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block may raise anything; OpenCV has its own reader
        return 1, 1
    while turn != 1 and (width % shrunk or height % shrunk):
        shrunk //= 2  # else the padding would lie before the first pixel of the upright image
    return shrunk, turn


def _by_opencv(data: bytes, jpeg: bool, shrunk: int, flags: int = 0) -> np.ndarray:
    kind = cv2.IMREAD_COLOR_RGB | _REDUCED[shrunk] | flags
    if not jpeg:
        return _unpacked(decode_quietly(lambda: cv2.imdecode(np.frombuffer(data, np.uint8), kind)))
    marks = jpeg_marks(data)
    if marks.scans > MAX_SCANS:
        raise Unreadable(f"not a photo: a JPEG of {marks.scans} scans (at most {MAX_SCANS})")
    # A JPEG that lacks only its end mark is whole. A download that stopped after its space was reserved ends
    # in zeros, and libjpeg takes those for grey pixels.
    if not (marks.ends or marks.complete):
        raise Unreadable("truncated: the JPEG has no end")
    whole = np.frombuffer(data if marks.ends else data + END, np.uint8)
    image, lines = decode_heard(lambda: cv2.imdecode(whole, kind))
    wrong = damage(lines)
    if not marks.ends and (image is None or wrong):
        raise Unreadable("truncated: the JPEG has no end")
    if wrong:
        raise Unreadable(f"damaged inside: {wrong}")
    return _unpacked(image)


def _unpacked(image: np.ndarray | None) -> np.ndarray:
    if image is None:
        raise Unreadable("truncated or damaged")
    return image


def _said(error: Exception) -> str:
    """What an error says, without places in memory, which differ from run to run."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)[:200]


def _reduced(image: np.ndarray, factor: int, jpeg: bool) -> np.ndarray:
    """Returns the image at 1 / factor of its size."""
    height, width = image.shape[:2]
    if not jpeg:
        return cv2.resize(image, (width // factor, height // factor), interpolation=cv2.INTER_LINEAR_EXACT)
    right, below = -width % factor, -height % factor  # the last column and row are repeated
    image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    size = (image.shape[1] // factor, image.shape[0] // factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
