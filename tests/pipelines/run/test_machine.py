"""Faults of the machine end the run and leave the rows to be done; faults of one photo cost its row."""

from __future__ import annotations

import errno
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deca_data.sample import Sample
from manifests.machine_faults import MachineFault, NotWritten
from pipelines.demo.portraits import make_photos
from pipelines.run import frames, runner, shard_task
from pipelines.run.bring_up import Call, open_workspace, run_stages
from pipelines.run.runner import Options
from pipelines.run.status import ended_rows
from pipelines.workspace.workspace import Workspace


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Twelve whole photos of one person."""
    root = tmp_path / "raw/vggface2"
    make_photos(root)
    for path in sorted(root.rglob("*.jpg"))[12:]:
        path.unlink()
    return root


@contextmanager
def _here(*_: object) -> Iterator[Callable[[deque[Any]], Iterator[tuple[Any, Any]]]]:
    def each(tasks: deque[Any]) -> Iterator[tuple[Any, Any]]:
        while tasks:
            task = tasks.popleft()
            yield task, task.run()

    yield each


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tasks run in this process, where a test can put another stage in the place of a real one."""
    for module in (frames, runner):
        monkeypatch.setattr(module, "executor", _here)


class Stage:
    """Takes the place of detection: it raises ``error`` once there are that many samples, or always."""

    name, version, batch = "detect", 1, 4
    reads, writes = (), ("box_score",)

    def __init__(self, error: Exception, at_once: int = 1) -> None:
        self.error: Exception | None = error
        self.at_once = at_once

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        if self.error is not None and len(samples) >= self.at_once:
            raise self.error
        for sample in samples:
            sample.row["box_score"] = 1.0


def call(raw: Path | None, tmp_path: Path) -> Call:
    roots = [] if raw is None else [raw]
    return Call(tmp_path / "space", roots, options=Options(workers=1), quiet=True, say=lambda line: None)


def parts(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "space/parts/vggface2/detect").rglob("*.parquet"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NotWritten(errno.ENOSPC, "No space left on device", "/w/masks/a.png"), "/w/masks/a.png: No space"),
        (OSError(errno.EROFS, "Read-only file system"), "make it writable"),
        (NotWritten(errno.EACCES, "Permission denied", "/w/a.npy"), "allow writing there"),
        (OSError(errno.EIO, "Input/output error"), "check the drive"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "nvidia-smi"),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), "the GPU's memory is full"),
        (MemoryError("Unable to allocate 6 GiB"), "the memory is full"),
    ],
)
@pytest.mark.reliability("a drive, the memory or a GPU fails, then the same command")
def test_the_run_stops_and_the_same_call_goes_on(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, sentence: str
):
    stage = Stage(error)
    monkeypatch.setattr(shard_task, "make_stage", lambda spec: stage)
    with pytest.raises(MachineFault, match=sentence) as found:
        run_stages(call(raw, tmp_path), ["detect"])
    assert "the same call goes on from here" in str(found.value)
    assert parts(tmp_path) == []
    stage.error = None
    assert run_stages(call(None, tmp_path), ["detect"]).statuses == {"ok": 12}


@pytest.mark.reliability("out of memory for a batch")
def test_memory_for_one_photo_but_not_for_four_is_enough(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    stage = Stage(RuntimeError("CUDA out of memory."), at_once=2)
    monkeypatch.setattr(shard_task, "make_stage", lambda spec: stage)
    assert run_stages(call(raw, tmp_path), ["detect"]).statuses == {"ok": 12}


def test_a_reason_has_no_path_of_this_machine(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stage = Stage(ValueError(f"no face in {raw}/train/n1.jpg, see {tmp_path}/space/x and /opt/models/m.task"))
    monkeypatch.setattr(shard_task, "make_stage", lambda spec: stage)
    run_stages(call(raw, tmp_path), ["detect"])
    (ended,) = ended_rows(Workspace.open(tmp_path / "space"), 1)
    assert ended.reason == "ValueError: no face in train/n1.jpg, see x and m.task"


@pytest.mark.reliability("the dataset is gone, then the same command", tried=2)
def test_a_dataset_that_is_not_mounted_stops_the_run(raw: Path, tmp_path: Path):
    open_workspace(call(raw, tmp_path))
    aside = tmp_path / "aside"
    raw.rename(aside)
    with pytest.raises(MachineFault, match=r"vggface2: its folder .* is gone.*mounted"):
        run_stages(call(None, tmp_path), ["detect"])
    raw.mkdir()  # the mount point, with nothing mounted
    with pytest.raises(MachineFault, match=r"12 of 12 files of one shard cannot be opened"):
        run_stages(call(None, tmp_path), ["detect"])
    assert parts(tmp_path) == []
    raw.rmdir()
    aside.rename(raw)
    assert run_stages(call(None, tmp_path), ["detect"]).statuses == {"ok": 12}


@pytest.mark.reliability("photos are gone: their rows say so", tried=5)
def test_half_of_the_photos_may_be_missing_and_cost_their_rows(raw: Path, tmp_path: Path):
    open_workspace(call(raw, tmp_path))
    for path in sorted(raw.rglob("*.jpg"))[:5]:
        path.unlink()
    report = run_stages(call(None, tmp_path), ["detect"])
    assert report.statuses == {"ok": 7, "failed": 5}
    assert set(report.reasons) == {"decode: cannot read the file: No such file or directory"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to work as another user")
@pytest.mark.parametrize(("locked", "stops"), [(2, False), (12, True)])
@pytest.mark.reliability("a folder is read-only or forbidden")
def test_photos_that_may_not_be_read(raw: Path, tmp_path: Path, locked: int, stops: bool):
    for path in sorted(raw.rglob("*.jpg"))[:locked]:
        path.chmod(0)
    os.chmod(tmp_path, 0o777)
    for folder in tmp_path.parents:
        folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        if stops:
            with pytest.raises(MachineFault, match="may be read"):
                run_stages(call(raw, tmp_path), ["detect"])
        else:
            report = run_stages(call(raw, tmp_path), ["detect"])
            assert report.reasons == {"decode: cannot read the file: Permission denied": 2}
    finally:
        os.seteuid(0)


@pytest.mark.reliability("the dataset is gone, then the same command")
def test_videos_that_are_not_there_stop_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tmp_path / "vox2"
    for number in range(3):
        path = root / f"dev/mp4/id00001/clip/{number:05d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no video")
    real = frames.extract_frames
    removed = []

    def unmounted(video: Path, *rest: object) -> object:
        if not removed:
            removed.append(shutil.move(root, tmp_path / "aside"))
        return real(video, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(frames, "extract_frames", unmounted)  # the drive goes while the first is read
    with pytest.raises(MachineFault, match=r"its folder .* is gone"):
        open_workspace(call(root, tmp_path))
    shutil.move(tmp_path / "aside", root)
    workspace = open_workspace(call(root, tmp_path))
    assert sum(shard.rows for shard in workspace.shards("voxceleb2") or []) == 3
