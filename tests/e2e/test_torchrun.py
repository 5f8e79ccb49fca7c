"""`deca train` under torchrun, as the how-to page has it: one run folder, one line of output, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ALL
from tests.deca_model.synthetic import make_manifest
from tests.e2e.conftest import environment, wait_for
from tests.e2e.test_train_signals import LINE, steps_of

PAGE = Path(__file__).parents[2] / "docs/how-to/train.md"
STARTS = 10
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not ALL, reason="two minutes; `make test-all` runs it")]


def start(folder: Path, steps: int) -> subprocess.Popen[str]:
    found = re.search(r"^\$ (torchrun .* --no-python) deca train", PAGE.read_text(), re.MULTILINE)
    assert found is not None
    line = f"{found[1]} {LINE.replace('STEPS', str(steps)).replace('--quiet', '')}"
    line = line.replace("--nproc-per-node gpu", "--nproc-per-node 2") + " --set run.device=cpu"
    return subprocess.Popen(
        line.replace("data.workers=2", "data.workers=0").split(),
        cwd=folder,
        env={**environment(), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_start_ten_times_in_one_folder_each(tmp_path: Path):
    make_manifest(tmp_path, (4, 4, 4, 4))
    for number in range(1, STARTS + 1):
        process = start(tmp_path, 1)
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert [json.loads(line)["run"] for line in out.splitlines()] == [f"runs/{number:03d}"]
        assert errors.count("pretrain: 2 processes with 2 x 2 photos each, 8 in a step") == 1
        assert steps_of(tmp_path / f"runs/{number:03d}") == [1]
    assert len(list((tmp_path / "runs").iterdir())) == STARTS


def test_ctrl_c_keeps_the_steps_and_the_same_command_goes_on(tmp_path: Path):
    make_manifest(tmp_path, (4, 4, 4, 4))
    run, process = tmp_path / "runs/001", start(tmp_path, 500)
    wait_for(lambda: len(steps_of(run)) > 3 or process.poll() is not None)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    last = steps_of(run)[-1]
    assert [path.name for path in (run / "checkpoints").iterdir()] == [f"step-{last:08d}.pt"], errors
    process = start(tmp_path, 500)
    wait_for(lambda: len(steps_of(run)) > last or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert f"it goes on from step {last}" in errors
    assert steps_of(run)[last] == last + 1
