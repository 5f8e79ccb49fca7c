"""Videos in the commands that reconstruct faces: every frame's face becomes a part of one clip."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from deca_model.networks.model import Deca
    from deca_model.use.clips import Clip
    from deca_model.use.reconstruction_files import Outputs
    from pipelines.photo_faces import FaceFinder, FrameSource, PhotoFile


@dataclass(frozen=True)
class ReadClip:
    """A clip, and the number of its frames without a face."""

    clip: Clip
    without_face: int


def no_photo_suffices(videos: Sequence[PhotoFile]) -> contextlib.AbstractContextManager[Any]:
    """A context for the photos: that none of them has a face is an error only where there are no videos."""
    from pipelines.photo_faces import NoFace

    return contextlib.suppress(NoFace) if videos else contextlib.nullcontext()


def each_video(
    videos: Sequence[PhotoFile],
    finder: FaceFinder,
    alone: bool,
    work: Callable[[PhotoFile], dict[str, Any]],
) -> list[dict[str, Any]]:
    """What ``work`` tells of each video; one without a face, or that cannot be read, costs itself alone.

    Raises:
        NoFace, NoVideo: of a video that is ``alone``, the only file.
    """
    from pipelines.photo_faces import NoFace, NoVideo

    told = []
    for video in videos:
        before = len(finder.skipped)
        try:
            told.append(work(video))
        except (NoFace, NoVideo) as error:
            if alone:
                raise
            del finder.skipped[before:]  # its frames
            finder.skip(video, error)
    return told


def check_any(done: Collection[Any], listed: Sequence[PhotoFile]) -> None:
    """Checks that something was made.

    Raises:
        NoFace: nothing was.
    """
    from pipelines.photo_faces import NoFace

    if not done:
        raise NoFace(
            f"no face in any of the {len(listed)} photos and videos; give some that show it clearly."
        )


def read_clip(
    network: Deca, size: int, finder: FaceFinder, source: FrameSource, smooth: bool, quiet: bool
) -> ReadClip:
    """Finds and reconstructs the face of every frame with a trained model, and makes one clip of them."""
    from deca_model.use.clips import joined, make_clip
    from deca_model.use.photo_batches import reconstruct_faces
    from pipelines.terminal.progress_bar import progress

    number = {file.path: n for n, file in enumerate(source.files)}
    parts, squares, frames = [], [], []
    with progress("faces", len(source.files), "frames", quiet=quiet) as shown:
        for faces, found in reconstruct_faces(network, size, finder.find(source.files)):
            parts.append(found.posed.codes)
            squares += found.squares
            frames += [number[face.path] for face in faces]
            shown.advance(len(faces))
    clip = make_clip(joined(parts), squares, frames, len(source.files), source.per_second, smooth)
    return ReadClip(clip, len(source.files) - len(frames))


def write_clip(
    network: Deca,
    size: int,
    read: ReadClip,
    source: FrameSource,
    video: PhotoFile,
    out: Path,
    outputs: Outputs,
    quiet: bool,
) -> dict[str, Any]:
    """Writes the files of one video; returns what to tell of it."""
    from deca_model.use.clip_files import save_clip
    from pipelines.terminal.progress_bar import progress

    count = len(source.files)
    with progress("film", count, "frames", quiet=quiet) as shown:
        save_clip(
            network,
            size,
            read.clip,
            frame_reader(source),
            video.name,
            out,
            per_second=source.per_second,
            sound=video.path,
            outputs=outputs,
            each=lambda: shown.advance(1),
        )
    film = str(out / f"{video.name}.mp4")
    return {
        "video": str(video.path),
        "film": film,
        "frames": count,
        "without_face": read.without_face,
        "said": said(read),
    }


def frame_reader(source: FrameSource) -> Callable[[int], np.ndarray]:
    """Returns a function that reads the frame of a number."""
    from manifests.images.decode import decode_file

    return lambda number: decode_file(source.files[number].path).image


def said(read: ReadClip) -> str:
    """Says what was done to the codes of a clip."""
    from deca_model.use.clips import SMOOTHING

    over = (
        f"smoothed over {SMOOTHING} s (--no-smooth leaves it out)" if read.clip.smoothed else "not smoothed"
    )
    without = f", {read.without_face} without a face" * bool(read.without_face)
    return f"{len(read.clip.squares)} frames, one shape, {over}{without}"
