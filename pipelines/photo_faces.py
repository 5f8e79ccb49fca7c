"""Photos and videos outside any workspace: their faces, for using a trained model on them."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np

from deca_data.sample import Sample
from deca_data.sources.walk import IMAGE_ENDINGS, VIDEO_ENDINGS, walk
from deca_data.video import choose_frames, extract_frames
from manifests.errors import UsageError, WorkFailed
from manifests.files import write_atomic
from manifests.images.decode import Unreadable, decode_file
from pipelines.run.stage_plan import make_stage
from pipelines.workspace.workspace import StageSpec

PER_SECOND = 25.0
"""Frames a second of a film, where nothing says otherwise."""

SHOWN = 10
"""So many skipped photos are named one by one; then they are only counted."""


class PhotoFile(NamedTuple):
    """A file that may show a face.

    Attributes:
        name: for the files that are made of it: no spaces, no two alike, with the sub-folders of a folder.
        path: the file.
        given_box: (x0, y0, x1, y1) in pixels, where somebody else has found the face already.
    """

    name: str
    path: Path
    given_box: tuple[float, float, float, float] | None = None


class FacePhoto(NamedTuple):
    """A photo and its face.

    Attributes:
        name: see ``PhotoFile``.
        path: the file.
        image: (H, W, 3) uint8 RGB, upright.
        box: (4,) xyxy in pixels.
        landmarks: (68, 2) float32, iBUG order, pixels; None where only the box is known.
        faces: how many faces the photo shows; the largest central one is taken.
    """

    name: str
    path: Path
    image: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray | None
    faces: int


def list_photos(paths: Iterable[Path]) -> list[PhotoFile]:
    """The photos that are named, and all photos below the folders that are named.

    Raises:
        UsageError: a path is not there, or a folder holds no photo.
    """
    found, taken = [], set()
    for path in paths:
        if path.is_dir():
            below = [PurePosixPath(each.path) for each in walk(path, IMAGE_ENDINGS)]
            if not below:
                raise UsageError(f"{path}: this folder holds no photo.")
            found += [PhotoFile(_free_name(each.with_suffix(""), taken), path / each) for each in below]
        elif path.exists():
            found.append(PhotoFile(_free_name(PurePosixPath(path.stem), taken), path))
        else:
            raise UsageError(f"{path}: there is no such photo or folder.")
    return found


class FrameSource:
    """The photos that drive an animation: a folder's, or a video's frames; a context for those files.

    Args:
        path: a folder, a video or a photo; None has no files.
        at_most: so many files at most, evenly spread; None takes all.

    Attributes:
        files: the photos, in order.
        per_second: how fast they follow one another; 25 where it is no video.

    Raises:
        UsageError: there is no such path, no photo in it, or it is no video.
    """

    def __init__(self, path: Path | None, at_most: int | None) -> None:
        self.files: list[PhotoFile] = []
        self.per_second = PER_SECOND
        self._folder = tempfile.TemporaryDirectory()
        if path is None:
            return
        if path.suffix.lower() in VIDEO_ENDINGS and path.is_file():
            self._read_video(path, at_most)
        else:
            files = list_photos([path])
            self.files = [files[place] for place in choose_frames(len(files), at_most)]

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def _read_video(self, path: Path, at_most: int | None) -> None:
        try:
            frames = extract_frames(path, Path(self._folder.name), at_most)
        except Unreadable as error:
            self._folder.cleanup()
            raise UsageError(f"{path}: {error}.") from error
        self.files = [PhotoFile(frame.path.stem, frame.path) for frame in frames]
        step = (frames[-1].number - frames[0].number) / max(len(frames) - 1, 1)
        rate = cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS)
        self.per_second = (rate if 1 <= rate <= 240 else PER_SECOND) / max(step, 1)


class FaceFinder:
    """Finds one face and its landmarks in each photo, by the stages that make manifests.

    Args:
        backend: the landmark library; faces are found by MediaPipe.
        weights: the library's weight file, if it is not where the library looks.
        device: for libraries that use torch.

    Raises:
        UsageError: the backend is unknown, or a package or weight file is missing.
    """

    def __init__(self, backend: str = "mediapipe", weights: Path | None = None, device: str = "cpu") -> None:
        self._stages = [
            make_stage(StageSpec(name="detect", backend="mediapipe")),
            make_stage(StageSpec(name="landmarks", backend=backend, weights=weights, device=device)),
        ]
        self.skipped: list[tuple[Path, str]] = []

    def find(self, files: Sequence[PhotoFile]) -> Iterator[FacePhoto]:
        """The photos with a face, one after another; of the others ``skipped`` keeps the reason.

        Raises:
            WorkFailed: none has a face.
        """
        before, count = len(self.skipped), 0
        for file in files:
            face = self._look(file)
            if isinstance(face, FacePhoto):
                count += 1
                yield face
                continue
            self.skipped.append((file.path, face))
            if len(self.skipped) - before <= SHOWN and len(files) > 1:
                print(f"skipped {file.path}: {face}", file=sys.stderr)
        skipped = self.skipped[before:]
        if len(skipped) > SHOWN:
            print(f"skipped {len(skipped) - SHOWN} more photos", file=sys.stderr)
        if not count:
            path, reason = skipped[0]
            what = f"{path}: {reason}" if len(files) == 1 else f"no face in any of the {len(files)} photos"
            raise WorkFailed(f"{what}; give photos in which a face is well seen.")

    def one(self, path: Path) -> FacePhoto:
        """The face of one photo.

        Raises:
            UsageError: there is no such file.
            WorkFailed: it cannot be read, or shows no face.
        """
        if path.is_dir():
            raise UsageError(f"{path}: this is a folder; name one photo.")
        return next(self.find(list_photos([path])))

    def _look(self, file: PhotoFile) -> FacePhoto | str:
        """The face, or why there is none."""
        try:
            image = decode_file(file.path).image
        except Unreadable as error:
            return str(error)
        row = {"sample_id": "photo", "dataset": "photos", "image": "photo.jpg", "given_box": file.given_box}
        sample = Sample(image=image, row=row)
        with tempfile.TemporaryDirectory() as folder:  # the stage's own file, which nobody needs here
            for stage in self._stages:
                if sample.ok:
                    stage.run([sample], Path(folder))
        if not sample.ok and (file.given_box is None or row.get("box") is None):
            return str(row["reason"])
        landmarks = np.asarray(row["landmarks"], np.float32).reshape(68, 2) if sample.ok else None
        return FacePhoto(file.name, file.path, image, np.array(row["box"]), landmarks, int(row["faces"]))


def output_folder(path: Path) -> Path:
    """Makes the folder for results, and sees at once whether it can be written.

    Raises:
        UsageError: it is a file, or cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path}: this is a file; name a folder.")
    _check_writable(path, path)
    return path


def output_film(path: Path) -> Path:
    """Sees at once whether a film can be written; makes its folder.

    Raises:
        UsageError: an ending other than .mp4 or .gif (a folder has none), or the place cannot be written.
    """
    if path.suffix.lower() not in (".mp4", ".gif", ""):
        raise UsageError(f"--out {path}: a film ends in .mp4 or .gif, or is a folder for PNG frames.")
    if path.suffix and path.is_dir():
        raise UsageError(f"--out {path}: this is a folder; name a file.")
    if not path.suffix:
        return output_folder(path)
    _check_writable(path.parent, path)
    return path


def _check_writable(folder: Path, path: Path) -> None:
    try:
        write_atomic(folder / ".writable", b"")
        (folder / ".writable").unlink()
    except OSError as error:
        raise UsageError(
            f"--out {path}: it cannot be written ({error.strerror}); name another place."
        ) from error


def _free_name(path: PurePosixPath, taken: set[str]) -> str:
    """A name that no other photo has, nor a file that is made of another photo."""
    plain = "/".join(re.sub(r"[^\w.-]+", "_", part) for part in path.parts)
    name, number = plain, 1
    while (key := re.sub(r"(_detail|_texture)$", "", name.casefold())) in taken:
        number += 1
        name = f"{plain}_{number}"
    taken.add(key)
    return name
