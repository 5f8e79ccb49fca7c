"""Results that are not whole any more (damage): noticed, named, and made again by the same call."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from pipelines.demo.portraits import make_photos
from pipelines.run.bring_up import Call, open_workspace, run_stages
from pipelines.run.damage import lost_results
from pipelines.run.runner import Options
from pipelines.run.stage_plan import with_defaults
from pipelines.workspace.parts import SIZES, is_whole, read_footer, read_part, write_part
from pipelines.workspace.workspace import Workspace
from tests.pipelines.run.test_frames import write_video


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight photos and a workspace in which they have landmarks and masks."""
    folder = tmp_path_factory.mktemp("done")
    make_photos(folder / "raw")
    for path in sorted((folder / "raw").rglob("*.jpg"))[8:]:
        path.unlink()
    run(folder, ["masks"], folder / "raw")
    return folder


def run(folder: Path, names: list[str], *roots: Path) -> tuple[str, int]:
    said: list[str] = []
    call = Call(folder / "space", roots, name="set" if roots else None, say=said.append, quiet=True)
    call = Call(**{**vars(call), "options": Options(workers=1)})
    report = run_stages(call, names)
    return "\n".join(said), report.rows


@pytest.fixture
def folder(done: Path, tmp_path: Path) -> Path:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "space/workspace.json"
    path.write_text(path.read_text().replace(str(done), str(tmp_path)))
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in (folder / "space").rglob("*") if path.is_file() and path.parent.name != "space")
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_second_call_finds_nothing_to_do(folder: Path):
    said, rows = run(folder, ["masks"])
    assert ("nothing to do" in said, rows) == (True, 0)


@pytest.mark.parametrize("kind", ["masks", "landmarks"])
@pytest.mark.reliability("results are deleted, empty or cut off, then the same command")
def test_a_file_that_was_deleted_is_made_again(folder: Path, kind: str):
    before = files(folder)
    victim = sorted((folder / "space" / kind).rglob("*.*"))[3]
    victim.unlink()
    said, rows = run(folder, ["masks"])
    assert f"1 files of '{kind}' are missing or damaged and made again; the first: {victim}" in said
    assert rows > 0
    assert files(folder) == before


def lost(folder: Path) -> list[str]:
    """What the next call says about results that are not whole."""
    workspace, said = Workspace.open(folder / "space"), []
    lost_results(workspace, with_defaults(workspace.stages, ["masks"]), said.append)
    return said


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_is_empty_or_cut_off_is_noticed(folder: Path, known: bool):
    if not known:
        forget_sizes(folder)
    assert lost(folder) == []
    for kind in ("masks", "landmarks"):
        victim = sorted((folder / "space" / kind).rglob("*.*"))[3]
        data = victim.read_bytes()
        for left in (0, 7, 100, len(data) - 1):
            victim.write_bytes(data[:left])
            (line,) = lost(folder)
            assert line.endswith(
                f"1 files of '{kind}' are missing or damaged and made again; the first: {victim}"
            )
        victim.write_bytes(data)


@pytest.mark.reliability("results are deleted, empty or cut off, then the same command", tried=2)
def test_files_that_are_empty_or_cut_off_are_made_again(folder: Path):
    before = files(folder)
    for kind, left in (("masks", -1), ("landmarks", 0)):
        victim = sorted((folder / "space" / kind).rglob("*.*"))[3]
        victim.write_bytes(victim.read_bytes()[:left])
    said, rows = run(folder, ["masks"])
    assert said.count("1 files of") == 2
    assert rows > 0
    assert files(folder) == before


def forget_sizes(folder: Path) -> None:
    """Makes the parts those of a workspace in which sizes were not stored."""
    for path in (folder / "space/parts").rglob("*.parquet"):
        footer = read_footer(path)
        if footer.pop(SIZES, None) is not None:
            write_part(path, read_part(path), footer)


@pytest.mark.parametrize("known", [True, False])
def test_a_mask_that_the_user_painted_over_is_kept(folder: Path, known: bool):
    if not known:
        forget_sizes(folder)
    mask = sorted((folder / "space/masks").rglob("*.png"))[3]
    mask.write_bytes(cv2.imencode(".png", np.full_like(cv2.imread(str(mask), 0), 255))[1].tobytes())
    marks = sorted((folder / "space/landmarks").rglob("*.npy"))[3]
    np.save(marks, np.load(marks).astype(np.float64))
    assert lost(folder) == []


@pytest.mark.reliability("results are deleted, empty or cut off, then the same command", tried=8)
def test_a_folder_of_masks_that_was_deleted_is_made_again(folder: Path):
    before = files(folder)
    shutil.rmtree(folder / "space/masks")
    assert "8 files of 'masks' are missing" in run(folder, ["masks"])[0]
    assert files(folder) == before


@pytest.mark.parametrize("left", [0, 3, 200, -1])
@pytest.mark.parametrize("stage", ["detect", "masks", "scan"])
@pytest.mark.reliability("results are deleted, empty or cut off, then the same command")
def test_a_part_that_is_empty_or_cut_off_is_made_again(folder: Path, stage: str, left: int):
    before = files(folder)
    victim = sorted((folder / "space/parts/set" / stage).rglob("*.parquet"))[0]
    data = victim.read_bytes()
    victim.write_bytes(data[:left])
    said, rows = run(folder, ["masks"])
    assert str(victim) in said
    assert (rows > 0) == (stage != "scan")
    assert files(folder) == before


@pytest.mark.reliability("results are deleted, empty or cut off, then the same command", tried=4)
def test_a_list_of_shards_that_is_damaged_is_made_again(folder: Path):
    before = files(folder)
    for text in ("", "[1", '{"a": 1}', "[[1]]"):
        (folder / "space/parts/set/shards.json").write_text(text)
        assert "is scanned again" in run(folder, ["masks"])[0]
        assert files(folder) == before


@pytest.mark.reliability("results are deleted, empty or cut off, then the same command", tried=5)
def test_frames_that_were_deleted_are_taken_again(tmp_path: Path):
    root = tmp_path / "vox2"
    for number in range(2):
        write_video(root / f"dev/mp4/id00001/clip/{number:05d}.mp4", 8, (160, 160))
    call = Call(tmp_path / "space", [root], quiet=True, say=lambda line: None)
    open_workspace(call)
    frames = sorted((tmp_path / "space/frames").rglob("*.jpg"))
    before = {path: path.read_bytes() for path in frames}
    for roots, left in ([root], None), ([], None), ([root], 0), ([], 0), ([], -1):
        if left is None:
            frames[3].unlink()
        else:
            frames[3].write_bytes(before[frames[3]][:left])
        open_workspace(Call(**{**vars(call), "roots": roots}))
        assert {path: path.read_bytes() for path in frames} == before


def test_photos_of_similar_names_do_not_share_results(tmp_path: Path, done: Path):
    """`a.jpe` and `a.jpe.jpg`, and `b.jpg` beside a folder `b.png/`: six different photos."""
    photos = sorted((done / "raw").rglob("*.jpg"))
    names = ["a.jpe", "a.jpe.jpg", "b.jpg", "b.png/b.jpg", "b.npy/c.jpg", "b.png~/b.jpg"]
    for name, photo in zip(names, photos, strict=False):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, path)
    _, rows = run(tmp_path, ["masks"], tmp_path / "raw")
    assert rows == len(names)
    workspace = Workspace.open(tmp_path / "space")
    parts = [path for path in (workspace.path / "parts/set").rglob("*.parquet") if is_whole(path)]
    found = pd.concat(
        [read_part(path).to_pandas() for path in parts if path.parents[1].name in ("landmarks", "masks")]
    )
    assert set(found["status"]) == {"ok"}
    marks = found.dropna(subset=["landmark_path"])
    assert marks["landmark_path"].nunique() == found["mask_path"].nunique() == len(names)
    for path, points in zip(marks["landmark_path"], marks["landmarks"], strict=True):
        assert np.array_equal(np.load(workspace.path / path).reshape(-1), points)
