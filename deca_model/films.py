"""Films of one face: turning its head, or with the expressions of other photos; shape and texture beside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from deca_model.animate import head_turn, write_animation
from deca_model.codes import Codes
from deca_model.inference import Reconstruction
from deca_model.model import Deca
from deca_model.pictures import bytes_of, shape_pictures
from deca_model.reconstruct import photo_texture
from deca_model.transfer import transfer_expression
from deca_model.transfer_files import photo_pictures
from manifests.errors import UsageError
from manifests.files import atomic_path

SIDE = 256
"""Pixels of the side of one picture in a frame."""
_BATCH = 8


@torch.no_grad()
def turning_head(
    model: Deca, person: Reconstruction, frames: int
) -> Iterator[np.ndarray]:  # (SIDE, 2 * SIDE, 3)
    """The head from one side to the other and back: its shape, and beside it with the photo's texture.

    Args:
        model: the model.
        person: one face.
        frames: how many.
    """
    codes = head_turn(person.posed.codes, frames)
    for start in range(0, frames, _BATCH):
        part = Codes(*(value[start : start + _BATCH] for value in codes))
        count = len(part.shape)
        displacement = None
        if model.detail is not None:
            detail = model.encode_detail(person.photos)
            displacement = model.displacement(detail.expand(count, -1), part)
        photos = person.photos.expand(count, -1, -1, -1)
        found = Reconstruction(photos, person.squares * count, model.pose(part), displacement)
        yield from _frames(model, person, found)


@torch.no_grad()
def driven_head(
    model: Deca, person: Reconstruction, drivers: Iterable[Reconstruction]
) -> Iterator[np.ndarray]:  # (SIDE, 3 * SIDE, 3)
    """The person with the drivers' expressions, a frame each: driver, shape, and with the photo's texture.

    Args:
        model: the model.
        person: one face.
        drivers: batches of faces.
    """
    for batch in drivers:
        count = len(batch.photos)
        codes = Codes(*(value.expand(count, *value.shape[1:]) for value in person.posed.codes))
        photos = person.photos.expand(count, -1, -1, -1)
        repeated = Reconstruction(photos, person.squares * count, model.pose(codes), None)
        moved = transfer_expression(model, repeated, batch)
        for shown, frame in zip(bytes_of(batch.photos), _frames(model, person, moved), strict=True):
            yield np.concatenate([_square(shown), frame], axis=1)


def check_film(path: Path) -> None:
    """Sees before any work whether a film can be written.

    Raises:
        UsageError: an ending other than .mp4 or .gif (a folder has none), or the place cannot be written.
    """
    if path.suffix.lower() not in (".mp4", ".gif", ""):
        raise UsageError(f"--out {path}: a film ends in .mp4 or .gif, or is a folder for PNG frames.")
    if path.suffix and path.is_dir():
        raise UsageError(f"--out {path}: this is a folder; name a file.")
    if not path.suffix and path.is_file():
        raise UsageError(f"--out {path}: this is a file without an ending; name a folder, .mp4 or .gif.")
    try:
        folder = path.parent if path.suffix else path
        with atomic_path(folder / ".writable") as temporary:
            temporary.touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise UsageError(
            f"--out {path}: it cannot be written ({error.strerror}); name another place."
        ) from error


def write_film(path: Path, frames: Sequence[np.ndarray], per_second: float) -> None:
    """Writes frames (H, W, 3) uint8 RGB as .mp4, as an endless .gif, or as PNGs into a folder.

    Raises:
        UsageError: another ending, or no video encoder in this OpenCV.
    """
    if path.suffix.lower() != ".gif":
        write_animation(path, frames, per_second)
        return
    first, *others = (Image.fromarray(frame).quantize(128, dither=Image.Dither.NONE) for frame in frames)
    # GIF counts hundredths of a second, and viewers slow down what is faster than two of them
    duration = max(20, round(100 / per_second) * 10)
    with atomic_path(path) as temporary:
        first.save(temporary, save_all=True, append_images=others, duration=duration, loop=0)


def _frames(model: Deca, person: Reconstruction, found: Reconstruction) -> Iterator[np.ndarray]:
    blank = torch.ones(len(found.photos), 3, SIDE, SIDE, device=found.photos.device)
    shapes = bytes_of(shape_pictures(model, found.posed, blank, found.displacement))
    sized = Reconstruction(blank, found.squares, found.posed, found.displacement)
    textured = bytes_of(photo_pictures(model, sized, photo_texture(model, person)))
    for pair in zip(shapes, textured, strict=True):
        yield np.concatenate(pair, axis=1)


def _square(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
