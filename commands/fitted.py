"""Fitted heads for `deca transfer` and `deca animate`, where there is no trained model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from commands.printing import say

if TYPE_CHECKING:
    from deca_model.use.fitting.fit import Fitter
    from deca_model.use.inference import Reconstruction
    from pipelines.fit_faces import FitPhoto
    from pipelines.photo_faces import FaceFinder, FacePhoto, FrameSource

BATCH = 8


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


def fitted_clip(
    fitter: Fitter, finder: FaceFinder, source: FrameSource, smooth: bool, quiet: bool
) -> tuple[Iterator[Reconstruction], int]:
    """The heads of a video's frames in batches, with one shape, and how many frames have a face."""
    views = [fitter.view(face) for face in faces_of_frames(finder, source, quiet)]
    codes = fitter.fit_clip(views, source.per_second, smooth)
    starts = range(0, len(views), BATCH)
    return (fitter.render(views[n : n + BATCH], codes[n : n + BATCH]) for n in starts), len(views)


def faces_of_frames(finder: FaceFinder, source: FrameSource, quiet: bool) -> Iterator[FitPhoto]:
    """The faces of a video's frames, with meshes and masks; a bar shows how far it is."""
    from pipelines.fit_faces import MeshFinder
    from pipelines.terminal.progress_bar import progress

    with progress("look at", len(source.files), "frames", quiet=quiet) as shown:
        for face in MeshFinder().add(finder.find(source.files)):
            yield face
            shown.advance(1)
