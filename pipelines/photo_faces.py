"""Finds faces in photos and videos outside a workspace, for the use of a trained model on them."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from deca_data.backends import load_backend
from deca_data.sample import Sample
from deca_data.sources.walk import IMAGE_ENDINGS, VIDEO_ENDINGS, walk
from deca_data.stages.detect import DetectStage
from deca_data.video import choose_frames, extract_frames, frame_rate
from manifests.errors import UsageError, WorkFailed
from manifests.files import writable_folder
from manifests.images.decode import Unreadable, decode_file
from pipelines.photo_names import free_name, name_key
from pipelines.run.stage_plan import make_stage
from pipelines.terminal.printable import printable
from pipelines.workspace.workspace import StageSpec

PER_SECOND = 25.0
"""Frames per second of a film, if the source has no frame rate."""

SHOWN = 10
"""Number of skipped photos that are listed one by one; further ones are only counted."""

NO_PERSON = 0.5
"""Likeness to people below which a photo is said to show no human face, about as `deca-paper` drops it."""


class NoFace(WorkFailed):
    """No photo or frame that was looked at shows a face."""


class NoVideo(UsageError):
    """The file of a video cannot be read."""


class PhotoFile(NamedTuple):
    """A file that may show a face.

    ``name`` is for output files: unique, without spaces, with the sub-folders below a given folder.
    """

    name: str
    path: Path
    video: Path | None = None  # the video, if it is a frame of one

    @property
    def shown(self) -> str:
        """How lines name it: a frame is a passing file, so by its video."""
        return str(self.path) if self.video is None else f"{self.video}, frame {self.name}"


class FacePhoto(NamedTuple):
    """A photo and its face.

    The landmarks are in iBUG order, in pixels. If the photo has several ``faces``, this is the largest
    central one. ``name`` is that of ``PhotoFile``.
    """

    name: str
    path: Path
    image: np.ndarray  # (H, W, 3) uint8 RGB, upright
    box: np.ndarray  # (4,) xyxy in pixels
    landmarks: np.ndarray  # (68, 2) float32
    faces: int
    likeness: float = 1.0  # 0 to 1, to people; about 0 for animals


def is_video(path: Path) -> bool:
    """Returns whether this is the file of a video, by its ending."""
    return path.suffix.lower() in VIDEO_ENDINGS and path.is_file()


def list_photos(paths: Iterable[Path]) -> list[PhotoFile]:
    """Lists the photos in ``paths``, and all photos below the folders in ``paths``.

    Raises:
        UsageError: a path does not exist, or a folder holds no photo.
    """
    found, taken = [], set()
    for path in paths:
        if path.is_dir():
            below = [PurePosixPath(each.path) for each in walk(path, IMAGE_ENDINGS)]
            if not below:
                raise UsageError(f"{path}: this folder holds no photo.")
            found += [PhotoFile(free_name(each.with_suffix(""), taken), path / each) for each in below]
        elif path.exists():
            found.append(PhotoFile(free_name(PurePosixPath(path.stem), taken), path))
        else:
            raise UsageError(f"{path}: there is no such photo or folder.")
    return found


class FrameSource:
    """The photos that drive an animation, of a folder or a video; as a context it removes temporary frames.

    ``path`` is a folder, a video, a photo, or None for no files; at most ``at_most`` files, evenly spread.

    Attributes:
        files: the photos, in order.
        per_second: photos per second; 25 if ``path`` is not a video.

    Raises:
        UsageError: the path does not exist, or holds no photo.
        NoVideo: it is a video that cannot be read.
    """

    def __init__(self, path: Path | None, at_most: int | None) -> None:
        self.files: list[PhotoFile] = []
        self.per_second = PER_SECOND
        self._folder = tempfile.TemporaryDirectory()
        if path is None:
            return
        if is_video(path):
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
            raise NoVideo(f"{path}: {error}.") from error
        self.files = [PhotoFile(frame.path.stem, frame.path, path) for frame in frames]
        step = (frames[-1].number - frames[0].number) / max(len(frames) - 1, 1)
        rate = frame_rate(path)
        self.per_second = (rate if 1 <= rate <= 240 else PER_SECOND) / max(step, 1)


def _no_face(files: Sequence[PhotoFile], kind: str, reason: str) -> NoFace:
    place = "" if files[0].video is None else f"{files[0].video}: "
    what = f"{place}no face in any of the {len(files)} {kind}"
    if len(files) == 1:
        what = f"{files[0].shown}: {reason}"
    return NoFace(f"{what}; give photos that show a face clearly.")


class FaceFinder:
    """Finds one face and its landmarks in each photo, with the stages that make manifests.

    ``backend``, ``weights`` and ``device`` are those of the landmarks; MediaPipe finds the faces. MediaPipe's
    networks stay on the CPU: one photo at a time would keep a GPU waiting.

    Raises:
        UsageError: the backend is unknown, or a package or weight file is missing.
    """

    def __init__(self, backend: str = "mediapipe", weights: Path | None = None, device: str = "cpu") -> None:
        detect = make_stage(StageSpec(name="detect", backend="mediapipe"))
        assert isinstance(detect, DetectStage)
        self._detect = detect
        place = "cpu" if backend == "mediapipe" else device
        self._land = make_stage(StageSpec(name="landmarks", backend=backend, weights=weights, device=place))
        self._people = None if backend == "mediapipe" else load_backend("landmarker", "mediapipe")
        self.skipped: list[tuple[Path, str]] = []
        self.doubtful: list[Path] = []

    def find(
        self, files: Sequence[PhotoFile], *, every: bool = False, beside: Iterable[PhotoFile] = ()
    ) -> Iterator[FacePhoto]:
        """Yields the photos with a face; ``skipped`` gets the others, with the reason.

        ``doubtful`` gets the photos, and the videos by most of their frames, that probably show no human
        face; a line on standard error says so. They are yielded all the same: a rare face may be one of them.

        With ``every``, all faces of a photo are yielded, from left to right; where there are several, their
        names end in _face1, _face2, and so on, and in underscores where a file in ``files`` or ``beside`` has
        such a name.

        Raises:
            NoFace: no photo has one.
        """
        before, count, doubts = len(self.skipped), 0, 0
        taken = {name_key(file.name) for file in (*files, *beside)}
        for file in files:
            found = self._look_at_all(file, taken) if every else [self._look(file)]
            faces = [face for face in found if isinstance(face, FacePhoto)]
            count += len(faces)
            if any(face.likeness < NO_PERSON for face in faces):
                doubts += 1
                if file.video is None:
                    self._doubt(file.path, doubts <= SHOWN)
            yield from faces
            if faces:
                continue
            reason = str(found[0])
            self.skipped.append((file.path, reason))
            if len(self.skipped) - before <= SHOWN and len(files) > 1:
                print(printable(f"skipped {file.shown}: {reason}"), file=sys.stderr)
        video = files[0].video if files else None
        if video is not None and doubts > count / 2:
            self._doubt(video, True)
        elif video is None and doubts > SHOWN:
            print(f"{doubts - SHOWN} more photos probably show no upright human face", file=sys.stderr)
        skipped, kind = self.skipped[before:], "photos" if video is None else "frames"
        if len(skipped) > SHOWN:
            print(f"skipped {len(skipped) - SHOWN} more {kind}", file=sys.stderr)
        if not count:
            raise _no_face(files, kind, skipped[0][1])

    def skip(self, video: PhotoFile, error: NoFace | NoVideo) -> None:
        """Adds a video beside others to ``skipped``, and says so."""
        reason = "no face found" if isinstance(error, NoFace) else str(error).removeprefix(f"{video.path}: ")
        self.skipped.append((video.path, reason.rstrip(".")))
        print(printable(f"skipped {video.path}: {reason.rstrip('.')}"), file=sys.stderr)

    def _doubt(self, path: Path, shown: bool) -> None:
        self.doubtful.append(path)
        if shown:
            print(
                printable(f"{path}: probably shows no upright human face; its head is a guess"),
                file=sys.stderr,
            )

    def one(self, path: Path) -> FacePhoto:
        """Finds the face of one photo.

        Raises:
            UsageError: there is no such file.
            WorkFailed: the photo cannot be read, or shows no face.
        """
        if path.is_dir():
            raise UsageError(f"{path}: this is a folder; name one photo.")
        return next(self.find(list_photos([path])))

    def _look(self, file: PhotoFile, box: np.ndarray | None = None) -> FacePhoto | str:
        """Returns the face, or the reason why there is none; with ``box``, the face in this box."""
        try:
            image = decode_file(file.path).image
        except Unreadable as error:
            return str(error)
        row: dict[str, Any] = {"sample_id": "photo", "dataset": "photos", "image": "photo.jpg"}
        if box is not None:
            row["given_box"] = [float(value) for value in box]
        sample = Sample(image=image, row=row)
        with tempfile.TemporaryDirectory() as folder:  # for the landmark file, which is not needed here
            for stage in (self._detect, self._land):
                if sample.ok:
                    stage.run([sample], Path(folder))
        if not sample.ok:
            return str(row["reason"])
        landmarks = np.asarray(row["landmarks"], np.float32).reshape(68, 2)
        return FacePhoto(
            file.name,
            file.path,
            image,
            np.array(row["box"]),
            landmarks,
            int(row["faces"]),
            self._likeness(sample),
        )

    def _likeness(self, sample: Sample) -> float:
        """Likeness of a face to people; MediaPipe is asked, if another backend found the landmarks."""
        likeness = sample.scratch.get("likeness")
        if likeness is None and self._people is not None:
            found = self._people.landmarks([sample.image], [sample.box()])[0]
            likeness = None if found is None else found.likeness
        return 1.0 if likeness is None else likeness

    def _look_at_all(self, file: PhotoFile, taken: set[str]) -> list[FacePhoto | str]:
        """Returns every face, or the reason why there is none; keys of new names are added to ``taken``."""
        try:
            image = decode_file(file.path).image
        except Unreadable as error:
            return [str(error)]
        boxes = [face.box for face in self._detect.all_faces(Sample(image=image, row={}))]
        if len(boxes) < 2:
            return [self._look(file)]
        found: list[FacePhoto | str] = []
        for number, box in enumerate(boxes, 1):
            name = f"{file.name}_face{number}"
            while name_key(name) in taken:
                name += "_"
            taken.add(name_key(name))
            found.append(self._look(PhotoFile(name, file.path), box))
        return sorted(found, key=lambda face: isinstance(face, str))


def output_film(path: Path) -> Path:
    """Checks that a film can be written; makes its folder.

    Raises:
        UsageError: the ending is not .mp4 or .gif (a folder has none), or the place cannot be written.
    """
    if path.suffix.lower() not in (".mp4", ".gif", ""):
        raise UsageError(f"--out {path}: name a file that ends in .mp4 or .gif, or a folder for PNG frames.")
    if path.suffix and path.is_dir():
        raise UsageError(f"--out {path}: this is a folder; name a file.")
    writable_folder(path.parent if path.suffix else path, f"--out {path}")
    return path
