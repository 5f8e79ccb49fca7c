"""What `failures` lists (status): what stages ended, what `build-manifest` dropped, and paths that exist."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from pipelines.curate.build import build_manifest
from pipelines.demo.portraits import make_photos
from pipelines.run.bring_up import Call, open_workspace
from pipelines.run.runner import Options
from pipelines.run.status import ended_rows, status
from pipelines.workspace.workspace import Workspace
from tests.pipelines.run.test_frames import write_video


def test_failures_knows_what_build_manifest_dropped(tmp_path: Path):
    make_photos(tmp_path / "raw")
    call = Call(tmp_path / "space", [tmp_path / "raw"], options=Options(workers=1), quiet=True)
    built = build_manifest(call, "deca-paper", {"identity_outliers": None}, tmp_path / "out")
    workspace = Workspace.open(tmp_path / "space")
    found = {(each.status, each.stage, each.reason): each.count for each in ended_rows(workspace, 1)}
    expected: Counter[tuple[str, ...]] = Counter()
    for *key, count in built.reasons:
        expected[tuple(key)] += count
    assert found == dict(expected)
    assert any(stage == "duplicates" for _, stage, _ in found)
    assert all(Path(path).is_file() for each in ended_rows(workspace, 0) for path in each.paths)
    (tmp_path / "out/train.parquet").unlink()
    (tmp_path / "space/built.json").write_text("[" * 3)
    assert sum(each.count for each in ended_rows(workspace, 1)) == 2  # those of the stages


def test_paths_of_frames_and_videos_exist(tmp_path: Path):
    root = tmp_path / "vox2"
    write_video(root / "dev/mp4/id00001/clip/00001.mp4", 6, (100, 100))
    (root / "dev/mp4/id00001/clip/00002.mp4").write_bytes(b"no video")
    call = Call(tmp_path / "space", [root], options=Options(workers=1), quiet=True)
    built = build_manifest(call, "strict", {"min_face_size": 5000, "identity_outliers": None}, tmp_path)
    found = ended_rows(Workspace.open(tmp_path / "space"), 0)
    assert sum(each.count for each in found) == sum(count for *_, count in built.reasons) == 7
    paths = [Path(path) for each in found for path in each.paths]
    assert all(path.is_file() for path in paths)
    assert {path.suffix for path in paths} == {".jpg", ".mp4"}


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path: Path):
    photo = tmp_path / "set/a.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"x")
    workspace = open_workspace(Call(tmp_path / "space", [tmp_path / "set"], quiet=True))
    workspace.set_fingerprints({"detect": "abc"})
    line = json.dumps({"stages": ["detect"], "rows": 10, "seconds": 2.0})
    (workspace.path / "runs.jsonl").write_text(f'{line}\n{line[:20]}\n3\n{{"rows": 1}}\n')
    assert [each.rate for each in status(workspace)] == [None, 5.0]
