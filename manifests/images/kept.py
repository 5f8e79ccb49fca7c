"""Reads the photo, the mask and the mesh of a kept row again, long after the stages did.

The pipeline has read every file of a manifest before. If a file cannot be read now, or has another size, it
was changed and the manifest is wrong about it. So this is an error; the file is never skipped.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from manifests.array_files import NotArrays, read_array
from manifests.errors import WorkFailed
from manifests.images.c_warnings import decode_quietly
from manifests.images.decode import Unreadable, decode_file, read_bytes
from manifests.images.png_files import SIGNATURE, is_animated, is_too_long
from manifests.machine_faults import stop_at_machine_fault

_GREY = {
    1: cv2.IMREAD_GRAYSCALE,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_FAR = 1e6  # pixels
_AGAIN = "then repeat the command (`deca train` with --resume)"


def read_photo(path: Path, size: tuple[int, int] | None = None, reduction: int = 1) -> np.ndarray:
    """Reads a photo upright, (H, W, 3) uint8 RGB, at 1 / ``reduction`` (1, 2, 4 or 8) of its size.

    ``size`` is the manifest's width and height; None checks nothing.

    Raises:
        WorkFailed: the file cannot be read, or the photo has another size.
    """
    try:
        decoded = decode_file(path, shrink=lambda width, height: reduction, exactly=True)
    except Unreadable as error:
        raise WorkFailed(
            f"{path}: it was kept but cannot be read any more ({error}); restore the file or run deca-data "
            f"again, {_AGAIN}."
        ) from error
    if size is not None and (decoded.width, decoded.height) != size:
        raise WorkFailed(
            f"{path}: the image is {decoded.width} x {decoded.height} pixels, but the manifest says "
            f"{size[0]} x {size[1]}; run deca-data again and build the manifest again."
        )
    return decoded.image


def read_mask(path: Path, size: tuple[int, int] | None = None, reduction: int = 1) -> np.ndarray:
    """Reads a mask, (H, W) uint8, 255 on the visible face, at 1 / ``reduction`` (1, 2, 4 or 8) of its size.

    ``size`` is the photo's width and height; None checks nothing.

    Raises:
        WorkFailed: the file cannot be read, or the mask has another size than the photo.
    """
    try:
        mask = _decoded_png(read_bytes(path), reduction)
    except (Unreadable, cv2.error):
        mask = None
    if mask is None or (size is not None and _differ(mask, size, reduction)):
        raise WorkFailed(
            f"{path}: the mask is missing, damaged or of another size; remove the file if it is there, run "
            f"`deca-data masks`, {_AGAIN}."
        )
    return mask


def read_mesh(path: Path) -> np.ndarray:
    """Reads a dense mesh, (478, 3) float32, finite and at places that a photo can have.

    Raises:
        WorkFailed: the file cannot be read, or holds something else.
    """
    try:
        mesh = read_array(path)
    except (OSError, NotArrays) as error:
        stop_at_machine_fault(error)
        mesh = None
    if mesh is None or mesh.shape != (478, 3) or mesh.dtype != np.float32 or not (abs(mesh) <= _FAR).all():
        raise WorkFailed(
            f"{path}: the dense mesh is missing or damaged; remove the file if it is there, run `deca-data "
            f"landmarks --dense`, {_AGAIN}."
        )
    return mesh


def _decoded_png(data: bytes, reduction: int) -> np.ndarray | None:
    if not data.startswith(SIGNATURE) or is_animated(data) or is_too_long(data):
        return None  # other formats have other decoders, and these break OpenCV's
    return decode_quietly(lambda: cv2.imdecode(np.frombuffer(data, np.uint8), _GREY[reduction]))


def _differ(mask: np.ndarray, size: tuple[int, int], reduction: int) -> bool:
    """Returns whether the sides differ by more than the rounding of a reduced size."""
    return any(abs(a * reduction - b) >= reduction for a, b in zip(mask.shape[::-1], size, strict=True))
