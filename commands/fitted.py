"""Fitted heads for `deca transfer` and `deca animate`, where there is no trained model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from commands.printing import say

if TYPE_CHECKING:
    import numpy as np

    from deca_model.use.fitting.fit import Fitter
    from deca_model.use.inference import Reconstruction
    from pipelines.photo_faces import FaceFinder, FacePhoto, FrameSource

BATCH = 8


class Film(NamedTuple):
    """The pictures of a film, how many a second, and the video that has its sound."""

    pictures: Iterator[np.ndarray]  # (H, W, 3) uint8 RGB
    per_second: float
    sound: Path | None


INSTEAD = "no --model and no run in ./runs: the open head is fitted, as by `deca fit`"


def open_fitter(details: bool, silent: bool) -> Fitter:
    """The fitter of the open head; says on standard error that it is used, and why."""
    from deca_model.use.fitting.fit import Fitter, fitting_model

    say(silent)(INSTEAD)
    return Fitter(fitting_model(), details=details)


def fitted(fitter: Fitter, faces: Iterable[FacePhoto]) -> Iterator[Reconstruction]:
    """The head of each face, one at a time."""
    from pipelines.fit_faces import MeshFinder

    for face in MeshFinder().add(faces):
        for _, found in fitter.fit_each([face]):
            yield found


def fitted_film(
    face: FacePhoto,
    finder: FaceFinder,
    drive: Path | None,
    driver: FrameSource,
    frames: int | None,
    smooth: bool,
    silent: bool,
) -> Film:
    """The film of `deca animate`: a head that turns, or that shows the expressions of a driver."""
    from deca_model.use.films import driven_head, turning_head
    from pipelines.photo_faces import is_video

    fitter = open_fitter(False, silent)
    person = next(fitted(fitter, [face]))
    if drive is None:
        return Film(turning_head(fitter.model, person, frames or 75), driver.per_second, None)
    if not is_video(drive):
        heads = fitted(fitter, finder.find(driver.files))
        return Film(driven_head(fitter.model, person, heads), driver.per_second, None)
    found, heads = _fitted_clip(fitter, finder, driver, smooth, silent)
    pace = driver.per_second * found / len(driver.files)  # frames without a face are left out
    return Film(driven_head(fitter.model, person, heads), pace, drive)


def _fitted_clip(
    fitter: Fitter, finder: FaceFinder, source: FrameSource, smooth: bool, quiet: bool
) -> tuple[int, Iterator[Reconstruction]]:
    """How many frames of a video have a face, and their heads in batches, with one shape."""
    from pipelines.fit_faces import MeshFinder
    from pipelines.terminal.progress_bar import progress

    views = []
    with progress("look at", len(source.files), "frames", quiet=quiet) as shown:
        for face in MeshFinder().add(finder.find(source.files)):
            views.append(fitter.view(face))
            shown.advance(1)
    codes = fitter.fit_clip(views, source.per_second, smooth)
    starts = range(0, len(views), BATCH)
    return len(views), (fitter.render(views[n : n + BATCH], codes[n : n + BATCH]) for n in starts)
