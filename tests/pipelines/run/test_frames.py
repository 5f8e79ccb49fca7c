"""Videos to rows (frames): every video has a row, every frame its number, and no frame comes twice."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from skimage import data

from pipelines.run.bring_up import Call, open_workspace
from pipelines.run.runner import Options, images_folder, plan, run
from pipelines.terminal.progress_bar import progress
from pipelines.workspace.parts import read_part
from pipelines.workspace.workspace import StageSpec, Workspace


def write_video(path: Path, frames: int, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, size)  # type: ignore[attr-defined]
    for number in range(frames):
        picture = cv2.resize(data.astronaut()[..., ::-1], size)
        cv2.putText(picture, str(number), (10, 60), cv2.FONT_HERSHEY_SIMPLEX, 2, (0, 0, 255), 3)
        writer.write(picture)
    writer.release()


@pytest.fixture
def vox(tmp_path: Path) -> Path:
    root = tmp_path / "vox2"
    write_video(root / "dev/mp4/id00001/abc/00001.mp4", 30, (160, 160))
    write_video(root / "dev/mp4/id00002/def/00007.mp4", 5, (320, 240))
    (root / "dev/mp4/id00002/def/00008.mp4").write_bytes(b"no video")
    boxes = root / "dev/txt/id00002/def/00007.txt"
    boxes.parent.mkdir(parents=True)
    lines = [f"{100 + n} \t 0.25 \t 0.10 \t 0.50 \t 0.60" for n in range(5)]
    boxes.write_text("Identity : id00002\n\nFRAME X Y W H\n" + "\n".join(lines) + "\n")
    return root


def rows(workspace: Workspace) -> list[dict]:
    keys = [shard.key for shard in workspace.shards("voxceleb2") or []]
    return [row for key in keys for row in read_part(workspace.scan_path("voxceleb2", key)).to_pylist()]


def call(tmp_path: Path, vox: Path, **options: int) -> Workspace:
    say = lambda line: None  # noqa: E731
    return open_workspace(Call(tmp_path / "space", [vox], clip_options=options, quiet=True, say=say))


def test_frames_are_spread_evenly_and_keep_their_number(tmp_path: Path, vox: Path):
    workspace = call(tmp_path, vox, frames_per_clip=4)
    found = rows(workspace)
    first = [row for row in found if row["identity"] == "id00001"]
    assert [row["frame"] for row in first] == [0, 10, 19, 29]
    assert len({row["sample_id"] for row in found}) == len(found) == 4 + 4 + 1
    folder = images_folder(workspace, workspace.datasets["voxceleb2"])
    for row in first:
        assert cv2.imread(str(folder / row["image"])).shape == (160, 160, 3)
        assert row["clip"] == "abc/00001"


def test_a_broken_video_keeps_a_row_that_says_why(tmp_path: Path, vox: Path):
    (broken,) = [row for row in rows(call(tmp_path, vox)) if row["status"] == "failed"]
    assert broken["image"] == "dev/mp4/id00002/def/00008.mp4"
    assert broken["stage"] == "frames"
    assert "video" in broken["reason"]


def test_boxes_of_a_whole_picture_are_used_and_those_of_a_cut_are_not(tmp_path: Path, vox: Path):
    found = rows(call(tmp_path, vox))
    wide = [row for row in found if row["clip"] == "def/00007"]
    assert [row["given_box"] for row in wide] == [pytest.approx([80, 24, 240, 168])] * 5
    assert all(row["given_box"] is None for row in found if row["identity"] == "id00001")


def test_videos_that_differ_in_their_ending_share_no_frames(tmp_path: Path, vox: Path):
    first = vox / "dev/mp4/id00002/def/00007.mp4"
    write_video(first.with_suffix(".avi"), 5, (200, 200))
    first.with_suffix(".MP4").write_bytes(first.read_bytes())
    workspace = call(tmp_path, vox, frames_per_clip=2)
    found = [row for row in rows(workspace) if row["status"] == "ok" and "00007" in row["image"]]
    assert len({row["image"] for row in found}) == len(found) == 6
    assert "dev/mp4/id00002/def/00007/000000.jpg" in {
        row["image"] for row in found
    }  # as VoxCeleb's always were
    folder = images_folder(workspace, workspace.datasets["voxceleb2"])
    shapes = [cv2.imread(str(folder / row["image"])).shape[:2] for row in found]
    assert sorted(shapes) == [(200, 200)] * 2 + [(240, 320)] * 4


def test_the_second_scan_reads_no_video_and_other_options_do(tmp_path: Path, vox: Path):
    workspace = call(tmp_path, vox, frames_per_clip=4)
    folder = images_folder(workspace, workspace.datasets["voxceleb2"])
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")}
    again = call(tmp_path, vox)
    assert len(rows(again)) == 9
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")} == before
    assert len(rows(call(tmp_path, vox, frames_per_clip=2))) == 5


def test_a_dataset_whose_videos_all_fail_goes_through_the_stages(tmp_path: Path):
    broken = tmp_path / "vox2/dev/mp4/id00001/abc/00001.mp4"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no video")
    workspace = call(tmp_path, tmp_path / "vox2")
    specs = [StageSpec(name="detect", backend="mediapipe")]
    with progress("detect", 1, "frames", quiet=True) as shown:
        report = run(workspace, plan(workspace, specs), Options(workers=1), shown)
    assert report.statuses == {"ended before": 1}
    assert plan(workspace, specs) == []
