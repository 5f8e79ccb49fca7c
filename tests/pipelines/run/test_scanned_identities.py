"""What a scan says of persons and annotations, and the choice of `--identities` in a workspace."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cli import deca_data
from commands.exit_codes import run_app
from pipelines.run import scanning
from pipelines.run.bring_up import Call, open_workspace
from pipelines.workspace.parts import read_part
from pipelines.workspace.workspace import Workspace
from tests.pipelines.run.test_frames import write_video

Run = Callable[..., tuple[int, str, str]]


def photos(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(path.encode())
    return root


def batches(root: Path) -> Path:
    return photos(root, *(f"batch{1 + n % 2}/{n:02d}.jpg" for n in range(80)))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `deca-data` in this process, in ``tmp_path``: exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["deca-data", *words])
        with pytest.raises(SystemExit) as exit_:
            run_app(deca_data)
        captured = capsys.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    return call


def identities(folder: Path, name: str) -> list[str | None]:
    workspace = Workspace.open(folder / "deca-workspace")
    parts = [workspace.scan_path(name, shard.key) for shard in workspace.shards(name) or []]
    return [each for part in parts for each in read_part(part).column("identity").to_pylist()]


def test_the_scan_says_how_many_persons_it_found_and_how(tmp_path: Path, run: Run):
    batches(tmp_path / "mine")
    code, _, said = run("scan", "mine")
    assert code == 0
    assert "mine: 80 photos of 2 persons (from the sub-folder names)\n" in said
    photos(tmp_path / "one", "anna/1.jpg", "2.jpg")
    assert (
        "one: 2 photos of 1 person (from the sub-folder names), 1 of them of unknown persons\n"
        in run("scan", "one")[2]
    )
    _, out, _ = run("scan", "mine", "--json")
    assert json.loads(out)["datasets"]["mine"] == {
        "layout": "folder",
        "files": 80,
        "persons": 2,
        "unknown_person": 0,
        "identities": "the sub-folder names",
        "left_out": {},
    }


def test_the_scan_says_how_many_photos_have_annotations(tmp_path: Path, run: Run):
    root = photos(tmp_path / "affect", *(f"images/{n}.jpg" for n in range(6)))
    (root / "annotations").mkdir()
    for n in range(3):
        np.save(root / f"annotations/{n}_exp.npy", np.array(str(n)))
        np.save(root / f"annotations/{n}_val.npy", np.array("1.5"))
    _, _, said = run("scan", "affect")
    assert "affectnet: 6 photos of unknown persons\n" in said
    assert "affectnet: annotations for 3 of 6 photos (3 labels out of range left out)\n" in said
    found = json.loads(run("scan", "affect", "--json")[1])["datasets"]["affectnet"]
    assert (found["annotated"], found["labels_out_of_range"], found["files"]) == (3, 3, 6)


def test_another_choice_is_said_kept_and_costs_no_result(tmp_path: Path, run: Run):
    batches(tmp_path / "mine")
    run("scan", "mine")
    keys = Workspace.open(tmp_path / "deca-workspace").shards("mine")
    _, _, said = run("scan", "mine", "--identities", "none")
    assert "mine: --identities none from now on; it was folder\n" in said
    assert "mine: 80 photos of unknown persons (--identities none)\n" in said
    assert identities(tmp_path, "mine") == [None] * 80
    assert Workspace.open(tmp_path / "deca-workspace").shards("mine") == keys  # so all results stay valid
    _, _, said = run("scan", "mine")
    assert "from now on" not in said
    assert identities(tmp_path, "mine") == [None] * 80
    (tmp_path / "who.csv").write_text("batch1/00.jpg,Ann\nbatch2/01.jpg,Ann\n")
    _, _, said = run("scan", "mine", "--identities", "who.csv")
    assert "mine: 80 photos of 1 person (from who.csv), 78 of them of unknown persons\n" in said
    run("scan", "mine", "--identities", "folder")
    assert set(identities(tmp_path, "mine")) == {"batch1", "batch2"}


def test_a_choice_that_names_nobody_changes_nothing(tmp_path: Path, run: Run):
    batches(tmp_path / "mine")
    run("scan", "mine")
    state = (tmp_path / "deca-workspace/workspace.json").read_bytes()
    for text in ("7", "nothing(x)", "a)(b"):
        code, _, said = run("scan", "mine", "--identities", text)
        assert code == 2
        assert f"error: --identities {text}: " in said
        assert (tmp_path / "deca-workspace/workspace.json").read_bytes() == state
    assert set(identities(tmp_path, "mine")) == {"batch1", "batch2"}


def test_without_a_folder_the_choice_is_about_the_only_dataset(tmp_path: Path):
    root = batches(tmp_path / "mine")
    open_workspace(Call(tmp_path / "deca-workspace", [root], quiet=True, say=lambda line: None))
    open_workspace(
        Call(tmp_path / "deca-workspace", quiet=True, say=lambda line: None, identities=r"/(\d)\d\.jpg")
    )
    assert set(identities(tmp_path, "mine")) == set("01234567")


def test_a_scan_that_is_stopped_halfway_leaves_no_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = photos(tmp_path / "mine", *(f"b{n % 5}/{n:03d}.jpg" for n in range(400)))
    call = Call(tmp_path / "deca-workspace", [root], quiet=True, say=lambda line: None)
    workspace = open_workspace(call)
    keys = workspace.shards("mine") or []
    assert len(keys) > 3
    write, written = scanning.write_part, []

    def stop_at_the_third(*arguments: object) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(arguments)
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(scanning, "write_part", stop_at_the_third)
    changed = Call(call.workspace, [root], quiet=True, say=call.say, identities="none")
    with pytest.raises(KeyboardInterrupt):
        open_workspace(changed)
    assert not Workspace.open(call.workspace).shards("mine")
    monkeypatch.undo()
    open_workspace(changed)
    assert Workspace.open(call.workspace).shards("mine") == keys
    assert identities(tmp_path, "mine") == [None] * 400


def test_frames_follow_the_choice_for_their_videos(tmp_path: Path):
    root = tmp_path / "vox2"
    for person in ("id00001", "id00002"):
        write_video(root / f"dev/mp4/{person}/abc/00001.mp4", 5, (160, 160))
    workspace = tmp_path / "deca-workspace"
    options = {"frames_per_clip": 2}
    open_workspace(Call(workspace, [root], clip_options=options, quiet=True, say=lambda line: None))
    assert identities(tmp_path, "voxceleb2") == ["id00001"] * 2 + ["id00002"] * 2
    keys = Workspace.open(workspace).shards("voxceleb2")
    frames = {path: path.stat().st_mtime_ns for path in workspace.glob("frames/**/*.jpg")}
    for text, expected in (("none", [None] * 4), (r"id0000(\d)", ["1", "1", "2", "2"])):
        open_workspace(Call(workspace, [root], quiet=True, say=lambda line: None, identities=text))
        assert identities(tmp_path, "voxceleb2") == expected
    assert Workspace.open(workspace).shards("voxceleb2") == keys
    assert {path: path.stat().st_mtime_ns for path in workspace.glob("frames/**/*.jpg")} == frames
