"""Turns videos into rows: writes chosen frames as images once, so that later stages need no video."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from deca_data.sources.voxceleb2 import read_boxes
from deca_data.video import Frame, extract_frames
from manifests.cores import cpu_count
from manifests.files import write_atomic
from manifests.images.decode import NotOpened, Unreadable
from manifests.machine_faults import plain_reason, stop_at_machine_fault
from pipelines.run.cluster import Lost, executor
from pipelines.run.damage import lost_frame
from pipelines.run.missing_photos import check_opened, check_root
from pipelines.run.runner import Options, after_death
from pipelines.run.scanning import rows_table
from pipelines.run.shard_task import Report
from pipelines.run.time_limit import time_limit
from pipelines.terminal.progress_bar import Progress
from pipelines.workspace.parts import SIZES, digest, is_whole, read_footer, read_part, write_part
from pipelines.workspace.whole_files import file_sizes
from pipelines.workspace.workspace import Dataset, Shard, Workspace

FRAMES_PER_CLIP = 10
OF_PHOTO = 10
"""How many times as long as a photo a video may take."""

OF_VIDEO = ("dataset", "identity", "clip", "bytes", "mtime_ns")
"""Columns that the rows of a video's frames take from it."""

SQUARE = 1.02
"""VoxCeleb2's own clips are square crops around the face, but the boxes of its `txt` tree are of the whole
video. So the boxes are used only if the ratio of the video's longer to its shorter side is at least this."""


@dataclass(frozen=True)
class FrameTask:
    """The videos of one shard.

    Attributes:
        root: the raw folder.
        frames: the folder for the frames.
        videos: the part that lists the videos.
        rows: the scan part to write, one row per frame.
        shard: key and number of videos.
        frames_per_clip: maximum number of frames per video, evenly spread; None keeps all considered frames.
        frame_step: only every ``frame_step``-th frame is considered; None considers all.
        dataset: name of the dataset.
        marker, suspects, skip, late: see `ShardTask`; the rows are the videos.
        image_timeout: seconds that a worker may take for one video; None for no limit.
    """

    root: Path
    frames: Path
    videos: Path
    rows: Path
    shard: Shard
    frames_per_clip: int | None
    frame_step: int | None
    dataset: str = ""
    marker: Path | None = None
    suspects: tuple[int, ...] = ()
    skip: tuple[int, ...] = ()
    late: tuple[int, ...] = ()
    image_timeout: float | None = None

    def run(self) -> Report:
        """Writes the frames and their rows; an unreadable video gets one failed row with the reason."""
        videos = read_part(self.videos).to_pylist()
        rows, missing = [], 0
        for index, video in enumerate(videos):
            if self.marker is not None:
                write_atomic(self.marker, str(index).encode())
            try:
                _check_opens(self.root / video["image"])
            except NotOpened as error:
                check_root(video["dataset"], self.root)
                missing += 1
                rows.append(_failed(video, str(error)))
            else:
                late = index in self.late
                rows += (
                    [_failed(video, self._too_long())] if late else self._rows_of(video, index in self.skip)
                )
        check_opened(videos[0]["dataset"] if videos else "", self.root, len(videos), missing)
        frames = [row["image"] if row["status"] == "ok" else None for row in rows]
        sizes = {"image": file_sizes(self.frames, frames)}
        write_part(self.rows, rows_table(rows), self._footer(sizes))
        return Report(self.shard.rows)

    def _too_long(self) -> str:
        return f"it takes longer than {self.image_timeout:g} s (--image-timeout)"

    def name_again(self) -> None:
        """Gives the rows the present identities of their videos, if these have changed since."""
        if read_footer(self.rows).get("videos") == self._listed():
            return
        table, videos = read_part(self.rows), read_part(self.videos, ["sample_id", "identity"]).to_pylist()
        names = {video["sample_id"]: video["identity"] for video in videos}
        of_rows = [
            names.get(name, names.get(name.rpartition("#")[0])) for name in table["sample_id"].to_pylist()
        ]
        place = table.column_names.index("identity")
        table = table.set_column(place, "identity", pa.array(of_rows, table["identity"].type))
        write_part(self.rows, table, self._footer(read_footer(self.rows).get(SIZES, {})))

    def _footer(self, sizes: dict[str, Any]) -> dict[str, Any]:
        return {"fingerprint": self.rows.stem, "videos": self._listed(), SIZES: sizes}

    def _listed(self) -> str | None:
        """What tells the list of videos from one with other identities."""
        return read_footer(self.videos).get("rows")

    def _rows_of(self, video: dict[str, Any], skip: bool) -> list[dict[str, Any]]:
        name = frames_folder(video["image"])
        base = {key: video[key] for key in OF_VIDEO}
        try:
            if skip:
                raise Unreadable("a worker process died on this video")
            with time_limit(self.image_timeout):
                written = extract_frames(
                    self.root / video["image"], self.frames / name, self.frames_per_clip, self.frame_step
                )
        except Unreadable as error:
            return [_failed(video, plain_reason(str(error), self.root))]
        boxes = self._boxes(video, written)
        return [
            {
                **base,
                "sample_id": f"{video['sample_id']}#{frame.number:06d}",
                "image": f"{name}/{frame.path.name}",
                "frame": frame.number,
                "given_box": boxes.get(frame.number),
                "status": "ok",
            }
            for frame in written
        ]

    def _boxes(self, video: dict[str, Any], written: list[Frame]) -> dict[int, list[float]]:
        """Boxes by frame number of the clip; the file has the frame numbers of the whole video."""
        path = video.get("boxes_path")
        width, height = written[0].width, written[0].height
        if path is None or max(width / height, height / width) < SQUARE:
            return {}
        boxes = read_boxes(self.root / path, width, height)
        return {place: boxes[number] for place, number in enumerate(sorted(boxes))}


def frames_folder(video: str) -> PurePosixPath:
    """Where the frames of a video lie: only `.mp4` is left off, so that no two videos share a folder."""
    path = PurePosixPath(video)
    return path.with_suffix("") if path.suffix == ".mp4" else path


def _failed(video: dict[str, Any], reason: str) -> dict[str, Any]:
    """The one row of a video that gives no frames."""
    kept = {key: video[key] for key in (*OF_VIDEO, "sample_id", "image")}
    return {**kept, "status": "failed", "stage": "frames", "reason": reason}


def _check_opens(path: Path) -> None:
    """Raises `NotOpened` for a video that is missing or may not be read; FFmpeg would call it damaged."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would be waited for
        try:
            os.read(file, 1)
        finally:
            os.close(file)
    except BlockingIOError:
        return  # a pipe: what opens it refuses it
    except OSError as error:
        stop_at_machine_fault(error)
        raise NotOpened(f"cannot read the file: {error.strerror or error}") from error


def _tasks(workspace: Workspace, dataset: Dataset) -> list[FrameTask]:
    """One task per shard of videos; a task is done if its ``rows`` file exists."""
    count = dataset.options.get("frames_per_clip", FRAMES_PER_CLIP)
    step = dataset.options.get("frame_step")
    frames = workspace.path / "frames" / dataset.name
    tasks = []
    for shard in workspace.videos(dataset.name):
        rows = workspace.scan_path(dataset.name, digest([shard.key, count, step]))
        videos = workspace.videos_path(dataset.name, shard.key)
        tasks.append(FrameTask(dataset.root, frames, videos, rows, shard, count, step, dataset.name))
    return tasks


def extract(workspace: Workspace, dataset: Dataset, options: Options, shown: Progress) -> int:
    """Extracts the frames of the videos of ``dataset`` and lists their rows as the dataset's shards.

    A video may take `OF_PHOTO` times as long as a photo.

    Returns:
        The number of rows.
    """
    tasks = _tasks(workspace, dataset)
    done = {
        task for task in tasks if is_whole(task.rows) and not lost_frame(workspace, dataset.name, task.rows)
    }
    limit = None if options.image_timeout is None else OF_PHOTO * options.image_timeout
    todo = deque(replace(task, image_timeout=limit) for task in tasks if task not in done)
    workers = options.workers or cpu_count()
    shown.advance(sum(task.shard.rows for task in done))
    deaths: Counter[str] = Counter()
    if todo:
        with executor(min(workers, len(todo)), options.scheduler) as execute:
            for task, outcome in execute(todo):
                if isinstance(outcome, Lost):
                    todo.append(after_death(workspace, task, deaths))
                else:
                    shown.advance(outcome.rows)
    for task in tasks:
        task.name_again()
    shards = [Shard(task.rows.stem, read_part(task.rows, ["image"]).num_rows) for task in tasks]
    write_atomic(workspace.shards_path(dataset.name), json.dumps(shards).encode())
    return sum(shard.rows for shard in shards)
