"""Decoding and writing in threads, as on a GPU: the same rows and files, and they do go on meanwhile."""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deca_data.backends import load_backend
from deca_data.sample import Sample
from deca_data.stage import NoSettings
from deca_data.stages import quality
from manifests.machine_faults import MachineFault
from pipelines.demo.portraits import make_photos
from pipelines.run import shard_task, stage_plan
from pipelines.run.bring_up import Call, open_workspace
from pipelines.run.overlap import THREADS, threads_for
from pipelines.run.runner import plan
from pipelines.run.shard_task import ShardTask
from pipelines.run.stage_plan import GPU_BATCH, fingerprints, make_stage
from pipelines.workspace.parts import read_part
from pipelines.workspace.workspace import StageSpec

STAGES = [
    StageSpec(name="detect", backend="mediapipe", batch=2),
    StageSpec(name="landmarks", backend="mediapipe", batch=2),
    StageSpec(name="masks", backend="mesh", batch=2),
]


def shard(folder: Path, specs: Sequence[StageSpec], **changes: Any) -> ShardTask:
    """The first shard of the demo's photos."""
    make_photos(folder / "vggface2")
    workspace = open_workspace(Call(folder / "space", [folder / "vggface2"], quiet=True, say=print))
    return replace(plan(workspace, specs)[0], **changes)


def results(task: ShardTask) -> dict[str, Any]:
    """The parts of a task, by stage, and the bytes of its files."""
    task.run()
    files = {
        str(path.relative_to(task.workspace)): path.read_bytes() for path in task.workspace.rglob("*.png")
    }
    return {name: read_part(task.parts[name]).to_pylist() for name in task.todo} | {"files": files}


def test_threads_change_no_row_and_no_file(tmp_path):
    turn = results(shard(tmp_path / "turn", STAGES, threads=0))
    threads = results(shard(tmp_path / "threads", STAGES, threads=3))
    assert threads == turn
    assert len(turn["files"]) == sum(row["mask_path"] is not None for row in turn["masks"]) > 3


def test_the_next_photos_are_decoded_while_a_stage_works(tmp_path, monkeypatch):
    task = shard(tmp_path, [StageSpec(name="detect", backend="mediapipe", batch=1)], threads=2)
    begun, decode = threading.Semaphore(0), shard_task.decode_file
    seen = []

    def counted(*arguments: Any, **options: Any) -> Any:
        begun.release()
        return decode(*arguments, **options)

    stage = make_stage(task.specs[0])
    work = stage.run

    def wait(samples: Sequence[Sample], workspace: Path) -> None:
        if not seen:  # two photos at least: this one and the next
            seen.append([begun.acquire(timeout=10) for _ in range(2)])
        work(samples, workspace)

    monkeypatch.setattr(shard_task, "decode_file", counted)
    monkeypatch.setattr(stage, "run", wait)
    task.run()
    assert seen == [[True, True]]


class Late:
    """A stage whose file is written later, with an error for the first photo."""

    name, version, batch, Settings = "quality", 1, 2, NoSettings
    reads: tuple[str, ...] = ()
    writes = ("sharpness",)
    error: Exception = ValueError("no such colour")

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def run(self, samples: Sequence[Sample], workspace: Path) -> None:
        for sample in samples:
            sample.writes.append(lambda row=sample.row: self.write(row))

    def write(self, row: dict[str, Any]) -> None:
        if row["image"].endswith("0001_01.jpg"):
            raise self.error
        row["sharpness"] = 1.0


@pytest.mark.parametrize("threads", [0, 2])
def test_an_error_of_a_late_file_costs_its_row_and_a_full_disk_stops_the_shard(
    threads, tmp_path, monkeypatch
):
    detect = STAGES[0]
    task = shard(tmp_path, [detect, STAGES[1], StageSpec(name="quality")], threads=threads)
    stage = Late()
    make = shard_task.make_stage
    monkeypatch.setattr(
        shard_task, "make_stage", lambda spec: stage if spec.name == "quality" else make(spec)
    )
    monkeypatch.setattr(quality.QualityStage, "workspace_columns", ())
    task.run()
    rows = read_part(task.parts["quality"]).to_pylist()
    failed = [row for row in rows if row["status"] == "failed"]
    assert [row["reason"] for row in failed] == ["ValueError: no such colour"] * len(failed)
    assert len(failed) >= 1
    assert [row["sharpness"] for row in rows if row["status"] == "ok"] == [1.0] * (
        sum(row["status"] == "ok" for row in rows)
    )
    stage.error = OSError(errno.ENOSPC, "No space left on device")
    task.parts["quality"].unlink()
    with pytest.raises(MachineFault):
        task.run()
    assert not task.parts["quality"].exists()


def test_the_batch_is_a_setting_that_redoes_nothing_and_is_larger_on_a_gpu(tmp_path, monkeypatch):
    plain, larger = (StageSpec(name="masks", backend="mesh", batch=batch) for batch in (None, 24))
    assert [make_stage(spec).batch for spec in (plain, larger)] == [8, 24]
    with monkeypatch.context() as patch:  # the size follows from the device; the parser itself has none
        patch.setattr(stage_plan, "load_backend", lambda kind, name, device, **_: load_backend(kind, name))
        assert make_stage(plain.model_copy(update={"device": "cuda"})).batch == GPU_BATCH
    stage_plan._make.cache_clear()
    before = [spec for spec in STAGES if spec.name != "masks"]
    assert fingerprints([*before, plain]) == fingerprints([*before, larger])
    assert threads_for([plain]) == 0
    assert threads_for([plain, plain.model_copy(update={"device": "cuda:1"})]) == THREADS
