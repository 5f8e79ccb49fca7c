"""Reading image files: upright, small where that is enough, with one clear error."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

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
    return _checked(cv2.imread(str(path), _COLOUR[reduction]), path, reduction, size, "image")


def read_mask(path: Path, reduction: int, size: np.ndarray | None = None) -> np.ndarray:
    """Reads a mask like ``read_image``, grey uint8."""
    return _checked(cv2.imread(str(path), _GREY[reduction]), path, reduction, size, "mask")


def decode_image(data: np.ndarray, reduction: int, name: str) -> np.ndarray:
    """Like ``read_image``, from the bytes (N,) uint8 of a file; ``name`` says whose they are."""
    return _checked(cv2.imdecode(data, _COLOUR[reduction]), Path(name), reduction, None, "image")


def decode_mask(data: np.ndarray, reduction: int, name: str) -> np.ndarray:
    """Like ``read_mask``, from bytes."""
    return _checked(cv2.imdecode(data, _GREY[reduction]), Path(name), reduction, None, "mask")


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
