"""SIGKILL, again and again: what comes out in the end is what an uninterrupted run gives."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import psutil
import pytest

from pipelines.curate.build import build_manifest
from pipelines.demo.portraits import make_photos
from pipelines.run.bring_up import Call
from pipelines.run.runner import Options
from tests.e2e.conftest import environment, small_shards, wait_for
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


@pytest.mark.reliability("run: ten kills of workers and of the main process, then the same command", tried=10)
def test_ten_kills_change_nothing(many: Path, expected: pd.DataFrame, tmp_path: Path):
    """Two workers are killed, or the main process, each when some more parts are there; four do the rest."""
    small_shards(tmp_path, many, 7)
    parts = tmp_path / "deca-workspace/parts/vggface2/quality"
    chance, killed = random.Random(0), []
    main = start(tmp_path, many)
    while len(killed) < KILLS:
        victim = "main" if chance.random() < 0.3 else "worker"
        # A worker that dies before the cluster is up ends the run; a part says that it is.
        wait_until_at_work(main, parts, chance.randrange(3) if victim == "main" else chance.randrange(1, 3))
        workers = workers_of(main)
        if main.poll() is not None:
            assert main.returncode == 0
            # What is done is done again, so that there is always something left to kill.
            shutil.rmtree(parts)
            main = start(tmp_path, many)
        elif victim == "main":
            kill(main, workers)
            killed.append("main")
            main = start(tmp_path, many)
        elif workers:
            with contextlib.suppress(psutil.NoSuchProcess):  # it ends with the command
                chance.choice(workers).kill()
                killed.append("worker")
    assert {"main", "worker"} == set(killed)
    kill(main, workers_of(main))
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


def wait_until_at_work(main: subprocess.Popen, parts: Path, more: int) -> None:
    """Waits for two workers, then until so many more parts are there, or until the command ends."""
    wait_for(lambda: len(workers_of(main)) == 2 or main.poll() is not None)
    enough = len(list(parts.glob("*/*.parquet"))) + more
    wait_for(lambda: len(list(parts.glob("*/*.parquet"))) >= enough or main.poll() is not None)


def kill(main: subprocess.Popen, workers: list[psutil.Process]) -> None:
    """Kills the command, and sees its workers end with it."""
    main.kill()
    main.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE], "workers outlive the main"
