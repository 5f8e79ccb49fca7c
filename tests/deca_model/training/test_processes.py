from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deca_model.training.checkpoints import load_checkpoint
from deca_model.training.records import read_metrics
from tests.conftest import ALL
from tests.deca_model.synthetic import make_manifest

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = [
    "stage=coarse", "coarse.steps=3", "coarse.images=2", "data.size=64",
    "data.workers=0", "model.uv_size=64", "model.render_size=64", "run.frozen_norm=true",
    "run.device=cpu", "log.pictures_every=1000",
]  # fmt: skip


def start(manifest, out, subjects, environment, *more):
    script = str(ROOT / "tests/deca_model/training/two_processes.py")
    return subprocess.Popen(
        [sys.executable, script, str(manifest), str(out), *SETTINGS, f"coarse.subjects={subjects}", *more],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def world_of_two():
    """The variables that torchrun sets for each of two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [{**world, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]


def outputs(running):
    found = []
    for process in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        found.append(output)
    return found


def records(folder):
    return [r for r in read_metrics(folder / "metrics.jsonl") if r["kind"] == "train"]


def test_two_processes_give_the_losses_and_weights_of_one_with_the_doubled_batch(tmp_path):
    # Five people, two without masks, so that the two processes get different numbers of masks.
    manifest = make_manifest(tmp_path / "faces", (4, 4, 4, 4, 4), unmasked=(1, 3))
    running = [start(manifest, tmp_path / "one", 4, {})]
    running += [start(manifest, tmp_path / "two", 2, names) for names in world_of_two()]
    said = outputs(running)
    stated = "coarse: 2 processes with 2 x 2 photos each, 8 in a step"
    assert [stated in output for output in said] == [False, True, False]
    one, two = records(tmp_path / "one"), records(tmp_path / "two")
    assert len(one) == len(two) == 3
    for alone, shared in zip(one, two, strict=True):
        assert shared["faces_per_step"] == alone["faces_per_step"] == 8
        for name in ("landmark", "photometric", "shape_prior", "total", "gradient_norm"):
            assert shared[name] == pytest.approx(alone[name], rel=2e-3), (name, alone["step"])
    assert one[0]["total"] == pytest.approx(two[0]["total"], rel=1e-5)
    saved = [load_checkpoint(tmp_path / name) for name in ("one", "two")]
    assert [each["subjects"] for each in saved] == [4, 4]
    moved = [saved[0]["model"][name] - value for name, value in saved[1]["model"].items()]
    # three steps of Adam at 5e-4 x 1/5, 2/5, 3/5: a weight moves by 6e-4 at most
    assert max(float(each.abs().max()) for each in moved if each.is_floating_point()) < 2e-4
    if ALL:  # another number of processes goes on with the same batches
        outputs([start(manifest, tmp_path / "two", 4, {}, "coarse.steps=4", "--resume")])
        outputs([start(manifest, tmp_path / "one", 4, {}, "coarse.steps=4", "--resume")])
        last = [records(tmp_path / name)[-1] for name in ("one", "two")]
        assert [each["step"] for each in last] == [4, 4]
        assert last[0]["total"] == pytest.approx(last[1]["total"], rel=2e-3)


def test_two_processes_start_ten_times_and_have_one_new_folder_each_time(tmp_path):
    script = str(ROOT / "tests/deca_model/training/two_starts.py")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:10] == [f"runs/{number:03d} runs/{number:03d}" for number in range(1, 11)]
    said = "other: this folder already holds a run; continue it with --resume, or choose another --out."
    assert lines[10:] == [said, said]
