"""SIGKILL, again and again: what comes out in the end is what an uninterrupted run gives."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from pipelines.curate.build import build_manifest
from pipelines.demo.portraits import make_photos
from pipelines.run.bring_up import Call
from pipelines.run.runner import Options
from tests.e2e.conftest import environment
from tests.e2e.test_cluster import small_shards
from tests.e2e.test_data_commands import whole

KILLS = 10


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """58 photos of four persons, ten of them faulty, in VGGFace2's layout."""
    root = tmp_path_factory.mktemp("many") / "vggface2"
    make_photos(root)
    second = tmp_path_factory.mktemp("second") / "vggface2"
    make_photos(second, seed=1)
    for person in sorted((second / "train").iterdir()):
        number = int(person.name[1:]) + 2
        shutil.move(str(person), root / f"train/n{number:06d}")
    return root


@pytest.fixture(scope="module")
def expected(many: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The manifest of one process that nobody disturbs."""
    folder = tmp_path_factory.mktemp("expected")
    small_shards(folder, many, 64)
    return manifest(folder, many, 1)


def manifest(folder: Path, photos: Path, workers: int) -> pd.DataFrame:
    """All rows after a run to the end with so many workers."""
    quality = ["deca-data", "quality", str(photos), "--workers", str(workers)]
    done = subprocess.run(quality, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    call = Call(folder / "deca-workspace", options=Options(workers=1), quiet=True, say=lambda line: None)
    build_manifest(call, "deca-paper", {"identity_outliers": None}, folder)
    return whole(folder)


def test_workers_and_shards_make_no_difference(many: Path, expected: pd.DataFrame, tmp_path: Path):
    workspace = small_shards(tmp_path, many, 7)
    pd.testing.assert_frame_equal(manifest(tmp_path, many, 2), expected)
    assert len(workspace.shards("vggface2") or []) > 4


def test_ten_kills_change_nothing(many: Path, expected: pd.DataFrame, tmp_path: Path):
    """Two workers are killed, or the main process; four do the rest."""
    small_shards(tmp_path, many, 7)
    chance, killed = random.Random(0), []
    main: subprocess.Popen | None = None
    give_up = time.monotonic() + 300
    while len(killed) < KILLS and time.monotonic() < give_up:
        if main is None or main.poll() is not None:
            # What is done is done again, so that there is always something left to kill.
            shutil.rmtree(tmp_path / "deca-workspace/parts/vggface2/quality", ignore_errors=True)
            main = start(tmp_path, many)
        workers = workers_of(main)
        if len(workers) < 2:
            time.sleep(0.05)
            continue
        time.sleep(chance.uniform(0.0, 1.5))
        if chance.random() < 0.3:
            main.send_signal(signal.SIGKILL)
            main.wait()
            killed.append("main")
            assert gone(workers), "worker processes outlive the main process"
        else:
            victim = chance.choice(workers)
            if victim.is_running():
                victim.kill()
                killed.append("worker")
    assert len(killed) == KILLS
    assert {"main", "worker"} == set(killed)
    if main is not None and main.poll() is None:
        workers = workers_of(main)
        main.kill()
        main.wait()
        assert gone(workers)
    pd.testing.assert_frame_equal(manifest(tmp_path, many, 4), expected)


def start(folder: Path, photos: Path) -> subprocess.Popen:
    """The command, with two workers."""
    line = ["deca-data", "quality", str(photos), "--workers", "2", "--quiet"]
    return subprocess.Popen(line, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)


def workers_of(main: subprocess.Popen) -> list[psutil.Process]:
    """The worker processes of a running command: the children of multiprocessing's fork server."""
    try:
        servers = [
            each
            for each in psutil.Process(main.pid).children()
            if any("multiprocessing.forkserver" in word for word in each.cmdline())
        ]
        return [worker for server in servers for worker in server.children()]
    except psutil.Error:
        return []


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all have ended within ten seconds."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    return not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
