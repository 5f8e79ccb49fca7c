"""`deca train` that a signal ends anywhere, and the same command again: the same weights and figures."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from deca_model.training.checkpoints import load_checkpoint
from deca_model.training.records import read_metrics
from tests.conftest import Count
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.test_training import flat
from tests.faults.killed import call
from tests.faults.test_kills import KILLS

LINE = (
    "deca train --manifest train.parquet --preset cpu --stage pretrain --quiet --set pretrain.steps=4 "
    "--set pretrain.subjects=2 --set pretrain.images=2 --set data.size=64 --set data.workers=0 "
    "--set model.input_size=null --set model.uv_size=64 --set model.render_size=64 --set log.every=1 "
    "--set log.checkpoint_every=1 --set log.keep=2 --set log.validation_gap=0 --set log.pictures_every=2"
)
TIMES = ("seconds", "images_per_second", "waiting_share")


def result(run: Path) -> dict[str, Any]:
    """The weights, states and figures of a run, and the names and bytes of its other files."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.suffix == ".pt":
            values = flat(load_checkpoint(path))
            values.pop("figures_due/")  # whether a stop came between the step and its figures
            found[name] = {key: v.tolist() if isinstance(v, torch.Tensor) else v for key, v in values.items()}
        elif path.name == "metrics.jsonl":
            lines = read_metrics(path)
            found[name] = [{k: v for k, v in line.items() if k not in TIMES} for line in lines]
        elif path.is_file() and "tensorboard" not in name:
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills-train") / "work"
    make_manifest(folder, (3, 3))
    make_manifest(folder, (2,), name="val", seed=4)
    return folder


@pytest.fixture(scope="module")
def whole(state: Path) -> tuple[int, dict[str, Any]]:
    """A run without a signal: how many changes of files it makes, and its result."""
    done = call(state, LINE)
    assert done.code == 0, done.err
    found = result(state / "runs/001")
    return done.changes, found


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_the_same_command_goes_on_after_any_signal(
    signal: str, state: Path, whole: tuple[int, dict[str, Any]], count: Count
):
    changes, expected = whole
    for number in random.Random(signal).sample(range(1, changes + 1), min(KILLS, changes)):
        place = f"{signal} at change {number} of {changes}"
        shutil.rmtree(state / "runs")
        hit = call(state, LINE, signal, number)
        assert "Traceback" not in hit.err
        if hit.code:  # 0: all steps were made when it came, and the command was about to end
            again = call(state, LINE)
            assert again.code == 0, f"{place}: {again.err}"
        assert [each.name for each in (state / "runs").iterdir() if each.is_dir()] == ["001"], place
        assert result(state / "runs/001") == expected, place
        count(f"train: {signal}, then the same command", 1)
