"""Turns videos into rows: writes chosen frames as images once, so that later stages need no video."""

from __future__ import annotations

import json
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from deca_data.sources.voxceleb2 import read_boxes
from deca_data.video import Frame, extract_frames
from manifests.files import write_atomic
from manifests.images.decode import Unreadable
from pipelines.run.cluster import Lost, executor
from pipelines.run.runner import after_death
from pipelines.run.scanning import rows_table
from pipelines.run.shard_task import Report
from pipelines.terminal.progress_bar import Progress
from pipelines.workspace.parts import digest, read_footer, read_part, write_part
from pipelines.workspace.workspace import Dataset, Shard, Workspace

FRAMES_PER_CLIP = 10
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
        marker, suspects, skip: see `ShardTask`; the rows are the videos.
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

    def run(self) -> Report:
        """Writes the frames and their rows; an unreadable video gets one failed row with the reason."""
        videos = read_part(self.videos).to_pylist()
        rows = []
        for index, video in enumerate(videos):
            if self.marker is not None:
                write_atomic(self.marker, str(index).encode())
            rows += self._rows_of(video, index in self.skip)
        write_part(self.rows, rows_table(rows), self._footer())
        return Report(self.shard.rows)

    def name_again(self) -> None:
        """Gives the rows the present identities of their videos, if these have changed since."""
        if read_footer(self.rows).get("videos") == self._footer()["videos"]:
            return
        table, videos = read_part(self.rows), read_part(self.videos, ["sample_id", "identity"]).to_pylist()
        names = {video["sample_id"]: video["identity"] for video in videos}
        of_rows = [
            names.get(name, names.get(name.rpartition("#")[0])) for name in table["sample_id"].to_pylist()
        ]
        place = table.column_names.index("identity")
        table = table.set_column(place, "identity", pa.array(of_rows, table["identity"].type))
        write_part(self.rows, table, self._footer())

    def _footer(self) -> dict[str, Any]:
        return {"fingerprint": self.rows.stem, "videos": read_footer(self.videos).get("rows")}

    def _rows_of(self, video: dict[str, Any], skip: bool) -> list[dict[str, Any]]:
        name = frames_folder(video["image"])
        base = {key: video[key] for key in ("dataset", "identity", "clip", "bytes", "mtime_ns")}
        try:
            if skip:
                raise Unreadable("a worker process died on this video")
            written = extract_frames(
                self.root / video["image"], self.frames / name, self.frames_per_clip, self.frame_step
            )
        except Unreadable as error:
            ended = {"status": "failed", "stage": "frames", "reason": str(error)}
            return [{**base, **ended, "sample_id": video["sample_id"], "image": video["image"]}]
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


def extract(
    workspace: Workspace, dataset: Dataset, workers: int, scheduler: str | None, shown: Progress
) -> int:
    """Extracts the frames of the videos of ``dataset`` and lists their rows as the dataset's shards.

    Returns:
        The number of rows.
    """
    tasks = _tasks(workspace, dataset)
    todo = deque(task for task in tasks if not task.rows.exists())
    shown.advance(sum(task.shard.rows for task in tasks if task.rows.exists()))
    deaths: Counter[str] = Counter()
    if todo:
        with executor(min(workers, len(todo)), scheduler) as execute:
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
