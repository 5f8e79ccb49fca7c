"""Videos in the commands that use a model: every frame's face becomes a part of one clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from deca_model.networks.model import Deca
    from deca_model.use.clips import Clip
    from pipelines.photo_faces import FaceFinder, FrameSource


def read_clip(
    network: Deca,
    size: int,
    finder: FaceFinder,
    source: FrameSource,
    smooth: bool,
    each: Callable[[], None] = lambda: None,
) -> Clip:
    """Finds and reconstructs the face of every frame, and makes one clip of them; ``each`` once a face."""
    from deca_model.use.clips import joined, make_clip
    from deca_model.use.photo_batches import reconstruct_faces

    number = {file.path: n for n, file in enumerate(source.files)}
    parts, squares, frames = [], [], []
    for faces, found in reconstruct_faces(network, size, finder.find(source.files)):
        parts.append(found.posed.codes)
        squares += found.squares
        for face in faces:
            frames.append(number[face.path])
            each()
    return make_clip(joined(parts), squares, frames, len(source.files), source.per_second, smooth)


def frame_reader(source: FrameSource) -> Callable[[int], np.ndarray]:
    """Returns a function that reads the frame of a number."""
    from manifests.images.decode import decode_file

    return lambda number: decode_file(source.files[number].path).image


def said(clip: Clip, smooth: bool) -> str:
    """Says what was done to the codes of a clip."""
    from deca_model.use.clips import SMOOTHING

    over = f"smoothed over {SMOOTHING} s (--no-smooth leaves it out)" if smooth else "not smoothed"
    return f"{len(clip.squares)} frames, one shape, {over}"
