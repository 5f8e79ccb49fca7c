"""The film of `deca animate`: a head that turns, or that shows the expressions of a driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from commands.printing import say

if TYPE_CHECKING:
    import numpy as np

    from deca_model.networks.model import Deca
    from deca_model.use.inference import Reconstruction
    from pipelines.photo_faces import FaceFinder, FacePhoto, FrameSource

TURN = 75
"""Frames of a head that turns, unless the user says how many."""


class Wanted(NamedTuple):
    """What the user asked for."""

    face: FacePhoto
    drive: Path | None  # a video or a folder of photos; None: the head turns
    frames: int | None
    smooth: bool
    silent: bool


class Film(NamedTuple):
    """The pictures of a film, how many a second, and the video that has its sound."""

    pictures: Iterator[np.ndarray]  # (H, W, 3) uint8 RGB
    per_second: float
    sound: Path | None


def film(
    wanted: Wanted,
    model: Deca,
    person: Reconstruction,
    driver: FrameSource,
    heads: Callable[[], Iterable[Reconstruction]],
    clip: Callable[[], tuple[Iterable[Reconstruction], int]],
) -> Film:
    """The film of one person.

    Args:
        wanted: the user's call.
        model: whose head it is.
        person: the head of the photo.
        driver: the driver's photos or frames.
        heads: gives those of a driver's photos.
        clip: gives those of a video's frames, and how many there are.
    """
    from deca_model.use.films import driven_head, turning_head
    from pipelines.photo_faces import is_video

    if wanted.drive is None:
        return Film(turning_head(model, person, wanted.frames or TURN), driver.per_second, None)
    if not is_video(wanted.drive):
        return Film(driven_head(model, person, heads()), driver.per_second, None)
    found, count = clip()
    pace = driver.per_second * count / len(driver.files)  # so that the sound fits where frames are left out
    return Film(driven_head(model, person, found), pace, wanted.drive)


def modelled_film(wanted: Wanted, opened: tuple[Deca, int], finder: FaceFinder, driver: FrameSource) -> Film:
    """The film by a trained model."""
    from commands.clips import frame_reader, read_clip, said
    from deca_model.use.clips import clip_faces
    from deca_model.use.photo_batches import reconstruct_face_list, reconstruct_faces

    network, size = opened

    def heads() -> Iterator[Reconstruction]:
        return (found for _, found in reconstruct_faces(network, size, finder.find(driver.files)))

    def clip() -> tuple[Iterable[Reconstruction], int]:
        read = read_clip(network, size, finder, driver, wanted.smooth, wanted.silent)
        say(wanted.silent)(f"{wanted.drive}: {said(read)}")
        numbers = range(len(driver.files))  # a frame without a face has that of its neighbours
        return clip_faces(network, size, read.clip, map(frame_reader(driver), numbers)), len(numbers)

    return film(wanted, network, reconstruct_face_list(network, size, [wanted.face]), driver, heads, clip)


def fitted_film(wanted: Wanted, finder: FaceFinder, driver: FrameSource) -> Film:
    """The film of fitted heads."""
    from commands.fitted import fitted, fitted_clip, open_fitter

    fitter = open_fitter(False, wanted.silent)

    def heads() -> Iterator[Reconstruction]:
        return fitted(fitter, finder.find(driver.files))

    def clip() -> tuple[Iterable[Reconstruction], int]:
        return fitted_clip(fitter, finder, driver, wanted.smooth, wanted.silent)

    return film(wanted, fitter.model, next(fitted(fitter, [wanted.face])), driver, heads, clip)
