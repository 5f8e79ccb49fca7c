from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deca_model.training.checkpoints import load_checkpoint
from deca_model.training.records import read_metrics
from tests.deca_model.synthetic import make_manifest

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = [
    "stage=coarse", "coarse.steps=3", "coarse.subjects=4", "coarse.images=2", "data.size=64",
    "data.workers=0", "model.uv_size=64", "model.render_size=64", "run.frozen_norm=true",
    "run.device=cpu", "log.pictures_every=1000",
]  # fmt: skip


def start(manifest, out, environment):
    script = str(ROOT / "tests/deca_model/training/two_processes.py")
    return subprocess.Popen(
        [sys.executable, script, str(manifest), str(out), *SETTINGS],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_processes_give_the_losses_of_one_with_the_doubled_batch(tmp_path):
    # Five people, two without masks, so that the two processes get different numbers of masks.
    manifest = make_manifest(tmp_path / "faces", (4, 4, 4, 4, 4), unmasked=(1, 3))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    running = [start(manifest, tmp_path / "one", {})]
    running += [
        start(manifest, tmp_path / "two", {**world, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]
    for process in running:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    one, two = (
        [r for r in read_metrics(tmp_path / name / "metrics.jsonl") if r["kind"] == "train"]
        for name in ("one", "two")
    )
    assert len(one) == len(two) == 3
    for alone, shared in zip(one, two, strict=True):
        for name in ("landmark", "photometric", "shape_prior", "total", "gradient_norm"):
            assert shared[name] == pytest.approx(alone[name], rel=2e-3), (name, alone["step"])
    assert one[0]["total"] == pytest.approx(two[0]["total"], rel=1e-5)
    weights = [load_checkpoint(tmp_path / name)["model"]["coarse.layers.2.bias"] for name in ("one", "two")]
    assert float((weights[0] - weights[1]).abs().max()) < 2e-4
