"""Reading image files: upright, small where that is enough, with one clear error."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image

from manifests.errors import WorkFailed

_COLOUR = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


class UnreadableImage(WorkFailed):
    """An image or mask of the manifest cannot be read any more; the message names the file."""


def reduction_for(side: float, size: int) -> int:
    """The largest decoding reduction that still leaves ``size`` pixels in a crop of ``side`` pixels."""
    return max((factor for factor in _COLOUR if side >= factor * size), default=1)


def read_image(path: Path, reduction: int, size: np.ndarray | None = None) -> np.ndarray:
    """Reads an image upright (EXIF turned) at 1 / reduction of its size, BGR uint8.

    Args:
        path: the file.
        reduction: 1, 2, 4 or 8.
        size: width and height that the full image should have; 0 is not checked.

    Raises:
        UnreadableImage: the file cannot be decoded or has another size.
    """
    divided = size is not None and size.all() and not (size % reduction).any()
    if reduction > 1 and not divided and _turned(path):
        # Decoders reduce before they turn: what they round up would lie before the first pixel.
        whole = _checked(cv2.imread(str(path), _COLOUR[1]), path, 1, size, "image")
        return _reduced(whole, reduction)
    return _checked(cv2.imread(str(path), _COLOUR[reduction]), path, reduction, size, "image")


def read_mask(path: Path, reduction: int, size: np.ndarray | None = None) -> np.ndarray:
    """Reads a mask like ``read_image``, grey uint8."""
    return _checked(cv2.imread(str(path), _GREY[reduction]), path, reduction, size, "mask")


def decode_image(data: np.ndarray, reduction: int) -> np.ndarray | None:
    """Like ``read_image``, from the bytes (N,) uint8 of a file; None if they are damaged."""
    return cv2.imdecode(data, _COLOUR[reduction]) if data.size else None


def _turned(path: Path) -> bool:
    """Whether EXIF says that the image does not stand upright in the file."""
    try:
        with Image.open(path) as header:
            return header.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except Exception:  # whatever a damaged file brings about: the decoder says what is wrong
        return False


def _reduced(image: np.ndarray, reduction: int) -> np.ndarray:
    """An image at 1 / reduction of its size, counted from its first pixel; the last row and column repeat."""
    height, width = image.shape[:2]
    right, below = -width % reduction, -height % reduction
    padded = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    size = ((width + right) // reduction, (height + below) // reduction)
    return cv2.resize(padded, size, interpolation=cv2.INTER_AREA)


def _checked(
    image: np.ndarray | None, path: Path, reduction: int, size: np.ndarray | None, what: str
) -> np.ndarray:
    if image is None:
        state = "cannot be decoded" if path.is_file() else "is not there"
        raise UnreadableImage(
            f"{path}: the {what} {state}, though the manifest lists it; mend the file or run the data "
            "pipeline again, then continue with --resume."
        )
    if size is not None and size.all():
        expected = tuple(-(-int(n) // reduction) for n in size)
        found = image.shape[1::-1]
        # Decoders round a reduced size up or down.
        if any(abs(a - b) > (reduction > 1) for a, b in zip(found, expected, strict=True)):
            raise UnreadableImage(
                f"{path}: the {what} is {found[0] * reduction} x {found[1] * reduction} pixels, but the "
                f"manifest says {size[0]} x {size[1]}; run the data pipeline again."
            )
    return image
