"""What a scan leaves out is counted and named; plain folders of videos, and of links, are datasets too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from skimage import data

from manifests.errors import UsageError
from pipelines.run.bring_up import Call, open_workspace
from pipelines.run.left_out import MOST, OTHERS, LeftOut
from pipelines.workspace.parts import read_part
from pipelines.workspace.workspace import Workspace
from tests.manifests.images.photo_files import saved
from tests.pipelines.run.test_frames import write_video


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(saved(data.astronaut(), "JPEG"))
    return path


def scanned(tmp_path: Path, root: Path, **options: int) -> tuple[Workspace, list[str], dict]:
    lines: list[str] = []
    call = Call(tmp_path / "space", [root], clip_options=options, quiet=True, say=lines.append)
    workspace = open_workspace(call)
    return workspace, lines, {name: found["left_out"] for name, found in call.scanned.items()}


def rows(workspace: Workspace, name: str) -> list[dict]:
    keys = [shard.key for shard in workspace.shards(name) or []]
    return [row for key in keys for row in read_part(workspace.scan_path(name, key)).to_pylist()]


def test_the_rest_is_counted_by_kind_in_lines_and_for_programs(tmp_path: Path):
    root = tmp_path / "faces"
    photo(root / "p1/1.jpg")
    for name in ("a.xcf", "b.xcf", "c.mp4", "list.csv"):
        (root / "p1" / name).write_bytes(b"x")
    os.mkfifo(root / "p1/pipe.jpg")
    (root / "out.jpg").symlink_to(photo(tmp_path / "elsewhere.jpg"))
    _, lines, left_out = scanned(tmp_path, root)
    found = {reason.split(" (")[0]: each for reason, each in left_out["faces"].items()}
    assert found == {
        "not a photo, video or annotation": {"count": 2, "first": "p1/a.xcf"},
        "a video": {"count": 1, "first": "p1/c.mp4"},
        "not a file but a named pipe, a socket or a device": {"count": 1, "first": "p1/pipe.jpg"},
        "a symbolic link that leads out of the dataset folder": {"count": 1, "first": "out.jpg"},
    }
    said = [line for line in lines if "left out" in line]
    assert len(said) == 4
    assert said[0] == "faces: 2 left out: not a photo, video or annotation (.xcf); the first: p1/a.xcf"


def test_the_number_of_reasons_is_bounded():
    left_out = LeftOut()
    for number in range(2 * MOST):
        left_out.add("path", f"reason {number}")
    found = left_out.as_dict()
    assert len(found) == MOST + 1
    assert found[OTHERS]["count"] == MOST


def test_a_folder_of_links_is_read_where_asked_and_stays_so(tmp_path: Path):
    root = tmp_path / "snapshot"
    (root / "p1").mkdir(parents=True)
    (root / "p1/1.jpg").symlink_to(photo(tmp_path / "blobs/0a1b"))
    with pytest.raises(UsageError, match="--follow-links"):
        scanned(tmp_path, root)
    for options in ({"follow_links": 1}, {}):  # said once, it holds for later scans with --dataset
        call = Call(
            tmp_path / "space", [root], "folder", clip_options=options, quiet=True, say=lambda _: None
        )
        workspace = open_workspace(call)
        assert [(row["image"], row["identity"]) for row in rows(workspace, "snapshot")] == [
            ("p1/1.jpg", "p1")
        ]
    assert rows(scanned(tmp_path, root, follow_links=True)[0], "snapshot")
    with pytest.raises(UsageError, match="no photo"):
        call = Call(tmp_path / "space", [root], "folder", clip_options={"follow_links": 0}, quiet=True)
        open_workspace(call)


def test_a_folder_of_plain_videos_is_a_dataset(tmp_path: Path):
    root = tmp_path / "films"
    write_video(root / "ann/one.mp4", 6, (64, 48))
    write_video(root / "ann/one.avi", 6, (64, 48))
    write_video(root / "two.mov", 6, (64, 48))
    workspace, lines, _ = scanned(tmp_path, root, frames_per_clip=2)
    assert any("layout 'videos'" in line for line in lines)
    found = rows(workspace, "films")
    assert [(row["identity"], row["clip"]) for row in found[::2]] == [
        ("ann", "ann/one.avi"),
        ("ann", "ann/one.mp4"),
        (None, "two.mov"),
    ]
    assert len({row["image"] for row in found}) == len(found) == 6


def test_boxes_that_lie_outside_are_not_read(tmp_path: Path):
    root = tmp_path / "vox"
    write_video(root / "dev/mp4/id00001/abc/00001.mp4", 5, (320, 240))
    boxes = root / "dev/txt/id00001/abc/00001.txt"
    boxes.parent.mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("FRAME X Y W H\n" + "0 0.1 0.1 0.5 0.5\n" * 5)
    boxes.symlink_to(tmp_path / "secret.txt")
    workspace, _, left_out = scanned(tmp_path, root)
    assert [row["given_box"] for row in rows(workspace, "voxceleb2")] == [None] * 5
    assert any("leads out" in reason for reason in left_out["voxceleb2"])
    boxes.unlink()
    os.mkfifo(boxes)
    assert rows(scanned(tmp_path, root)[0], "voxceleb2")
