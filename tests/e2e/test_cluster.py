"""A Dask cluster of real processes: a scheduler and two workers, of which one or all are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from manifests.errors import WorkFailed
from pipelines.run import cluster
from pipelines.run.runner import plan
from pipelines.workspace.workspace import StageSpec
from tests.conftest import ALL
from tests.e2e.conftest import Run, environment, small_shards, wait_for
from tests.e2e.test_data_commands import whole


class Cluster(NamedTuple):
    address: str
    scheduler: subprocess.Popen
    workers: list[subprocess.Popen]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler on a free port of this machine, and two worker processes without a nanny."""
    dask, log = [sys.executable, "-m", "dask"], tmp_path / "scheduler.log"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
    with log.open("w") as file:
        started = [subprocess.Popen([*dask, "scheduler", *options], stderr=file, env=environment())]
    try:
        address = _address(log)
        options = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path)]
        for _ in range(2):
            words = [*dask, "worker", address, *options]
            started.append(subprocess.Popen(words, stderr=subprocess.DEVNULL, env=environment()))
        yield Cluster(address, started[0], started[1:])
    finally:
        for process in started:
            process.kill()
            process.wait()


def _address(log: Path) -> str:
    found = wait_for(lambda: re.search(r"Scheduler at:\s+(tcp://\S+)", log.read_text()))
    assert found is not None
    return found[1]


@pytest.mark.reliability("a worker process is killed")
def test_a_lost_worker_changes_nothing(running: Cluster, photos: Path, run: Run, tmp_path: Path):
    one = tmp_path / "one"
    one.mkdir()
    small_shards(one, photos)
    done = run("deca-data quality {photos} --workers 1 --workspace one/deca-workspace", photos=photos)
    assert done.returncode == 0, done.stderr
    small_shards(tmp_path, photos)
    line = ["deca-data", "quality", str(photos), "--scheduler", running.address]
    process = subprocess.Popen(line, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    parts = tmp_path / "deca-workspace/parts/vggface2/quality"
    wait_for(lambda: list(parts.glob("*/*.parquet")) or process.poll() is not None)
    assert process.poll() is None, "the run was over before a worker could be killed"
    running.workers[0].send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    for place in (".", "one"):
        line = f"deca-data build-manifest --workers 1 --workspace {place}/deca-workspace --out {place}"
        assert run(f"{line} --set identity_outliers=null").returncode == 0
    pd.testing.assert_frame_equal(whole(tmp_path), whole(one))


@pytest.mark.reliability("all workers of a cluster are gone")
def test_without_any_worker_the_run_ends_with_a_sentence(
    running: Cluster, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from pipelines.run.scanning import scan

    workspace = small_shards(tmp_path, photos)
    scan(workspace, workspace.datasets["vggface2"], lambda count: None)
    jobs = plan(workspace, [StageSpec(name="detect", backend="mediapipe")])
    monkeypatch.setattr(cluster, "GRACE", 1.0)
    monkeypatch.setattr(cluster, "POLL", 0.2)
    with cluster.executor(1, running.address) as execute:
        for worker in running.workers:
            os.kill(worker.pid, signal.SIGKILL)
            worker.wait()
        with pytest.raises(WorkFailed, match=r"no worker for 1 s.*the same command goes on"):
            for _, outcome in execute(deque(jobs)):
                assert isinstance(outcome, Exception)


@pytest.mark.reliability("the scheduler is killed, then the same command")
@pytest.mark.skipif(not ALL, reason="takes long: it is part of make test-all")
def test_without_its_scheduler_the_run_ends_with_a_sentence_and_goes_on(
    running: Cluster, photos: Path, run: Run, tmp_path: Path
):
    workspace = small_shards(tmp_path, photos)
    line = ["deca-data", "quality", str(photos), "--scheduler", running.address]
    process = subprocess.Popen(line, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    parts = tmp_path / "deca-workspace/parts/vggface2/quality"
    wait_for(lambda: list(parts.glob("*/*.parquet")) or process.poll() is not None)
    running.scheduler.kill()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("error: the Dask cluster cannot go on: ")
    shards = len(workspace.shards("vggface2") or [])
    assert 0 < len(list(parts.glob("*/*.parquet"))) < shards
    again = run("deca-data quality {photos} --workers 1", photos=photos)
    assert again.returncode == 0, again.stderr
    assert len(list(parts.glob("*/*.parquet"))) == shards
