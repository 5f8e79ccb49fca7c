"""`deca train` as a user stops it: signals to the whole group of processes, and two commands at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from deca_model.training.records import read_metrics
from tests.deca_model.synthetic import make_manifest
from tests.e2e.conftest import environment, wait_for

LINE = """deca train --manifest train.parquet --preset cpu --stage pretrain --set pretrain.steps=STEPS
    --set pretrain.subjects=2 --set pretrain.images=2 --set data.size=64 --set data.workers=2
    --set model.input_size=null --set log.every=1
    --set log.pictures_every=100000 --set log.checkpoint_every=100000 --quiet --json"""


def start(folder: Path, steps: int, name: str = "first") -> subprocess.Popen[str]:
    with (folder / f"{name}.out").open("w") as out, (folder / f"{name}.err").open("w") as errors:
        return subprocess.Popen(
            LINE.replace("STEPS", str(steps)).split(),
            cwd=folder,
            env={**environment(), "OMP_NUM_THREADS": "1"},
            stdout=out,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


def steps_of(run: Path) -> list[int]:
    return [r["step"] for r in read_metrics(run / "metrics.jsonl") if r["kind"] == "train"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_group_loses_no_step_and_the_same_command_goes_on(tmp_path: Path, number: int):
    make_manifest(tmp_path, (4, 4, 3))
    run = tmp_path / "runs/001"
    first = start(tmp_path, 500)
    wait_for(lambda: len(steps_of(run)) > 3 or first.poll() is not None)
    os.killpg(first.pid, number)
    assert first.wait(timeout=30) == 130
    last = steps_of(run)[-1]
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"step-{last:08d}.pt"]
    said = (tmp_path / "first.err").read_text()
    assert f"runs/001: stopped at step {last} of 500" in said
    assert "Traceback" not in said
    # the same command; another signal ends it, and it has gone on from there
    second = start(tmp_path, 500, "second")
    wait_for(lambda: len(steps_of(run)) > last + 2 or second.poll() is not None)
    os.killpg(second.pid, number)
    assert second.wait(timeout=30) == 130
    steps = steps_of(run)
    assert steps == list(range(1, steps[-1] + 1))
    assert steps[-1] > last


@pytest.mark.slow
def test_two_commands_at_once_have_a_folder_each(tmp_path: Path):
    make_manifest(tmp_path, (4, 4, 3))
    both = [start(tmp_path, 3, str(n)) for n in range(2)]
    assert [each.wait(timeout=200) for each in both] == [0, 0]
    told = [json.loads((tmp_path / f"{n}.out").read_text()) for n in range(2)]
    assert sorted(each["run"] for each in told) == ["runs/001", "runs/002"]
    for each in told:
        assert steps_of(tmp_path / each["run"]) == [1, 2, 3]
