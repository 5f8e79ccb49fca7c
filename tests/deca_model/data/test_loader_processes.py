from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch

from deca_model.data import loading
from deca_model.data.faces import open_table
from deca_model.data.loader_processes import Stopped, bytes_in_flight, fits_shared_memory
from deca_model.data.loading import FaceDataset, training_batches
from deca_model.data.sampler import SubjectSampler
from manifests.errors import WorkFailed
from tests.deca_model.synthetic import make_manifest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("faces"), (4, 4))


def parts(manifest):
    table = open_table([manifest])
    return FaceDataset(table, 64), SubjectSampler(
        table.subjects, table.datasets, subjects=2, images=2, seed=5
    )


def send(number: int) -> list:
    """Sends a signal to the loader's processes, when they have been given some time to get ready."""
    children = multiprocessing.active_children()
    for child in children:
        os.kill(child.pid or 0, number)
    return children


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_processes_leave_signals_to_the_main_process(manifest, number):
    with closing(training_batches(*parts(manifest), workers=2)) as stream:
        next(stream)
        children = send(number)
        for batch in itertools.islice(stream, 12):  # more than are loaded ahead
            assert len(batch.images) == 4
        assert len(children) == 2
        assert all(child.is_alive() for child in children)
    assert not any(child.is_alive() for child in children)


@pytest.mark.reliability("a worker process is stopped")
def test_a_stopped_process_ends_the_run_with_a_sentence_and_is_ended(manifest):
    stream = training_batches(*parts(manifest), workers=1, patience=2)
    next(stream)
    children = send(signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(WorkFailed, match=r"no batch came from the loader for 2 s.*repeat the command"):
        list(itertools.islice(stream, 20))
    assert time.monotonic() - begun < 8
    assert not any(child.is_alive() for child in children)


@pytest.mark.reliability("a worker process is stopped")
def test_the_wait_for_a_stopped_process_can_be_given_up(manifest):
    asked = []
    stream = training_batches(*parts(manifest), workers=1, stop=lambda: bool(asked))
    next(stream)
    children = send(signal.SIGSTOP)
    begun = time.monotonic()
    asked.append(True)
    with pytest.raises(Stopped):
        list(itertools.islice(stream, 20))
    assert time.monotonic() - begun < 4
    assert not any(child.is_alive() for child in children)


@pytest.mark.reliability("a worker process is killed")
def test_a_killed_process_is_said_with_what_to_do(manifest):
    stream = training_batches(*parts(manifest), workers=1)
    next(stream)
    send(signal.SIGKILL)
    with pytest.raises(WorkFailed, match=r"was killed.*lower data\.workers, then repeat the command"):
        list(itertools.islice(stream, 20))


def test_what_batches_need_and_whether_it_fits(tmp_path):
    # 4 processes x 4 batches x 64 faces of 224 pixels in four bytes
    assert 205e6 < bytes_in_flight(64, 224, 4) < 208e6
    assert bytes_in_flight(64, 224, 0) == 0
    assert fits_shared_memory(1, tmp_path)
    assert not fits_shared_memory(1 << 60, tmp_path)
    assert fits_shared_memory(1 << 60, tmp_path / "no such folder")


@pytest.mark.reliability("little shared memory")
def test_without_room_in_shared_memory_the_same_batches_come_through_pipes(manifest, monkeypatch):
    usual = list(itertools.islice(training_batches(*parts(manifest), workers=2), 6))
    monkeypatch.setattr(loading, "fits_shared_memory", lambda wanted: False)
    with closing(training_batches(*parts(manifest), workers=2)) as stream:
        for first, second in zip(usual, stream, strict=False):
            assert first.sample_ids == second.sample_ids
            for name in ("images", "masks", "landmarks", "squares", "has_mask", "subjects"):
                assert torch.equal(getattr(first, name), getattr(second, name)), name
            assert not second.images.is_shared()


PROGRAM = """
import itertools, resource, sys
from pathlib import Path
from deca_model.data import loading
from deca_model.data.loading import training_batches
from tests.deca_model.data.test_loader_processes import parts

loading.fits_shared_memory = lambda wanted: sys.argv[2] == "shared"
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))  # a shared batch is a file of 49,152 bytes
for batch in itertools.islice(training_batches(*parts(Path(sys.argv[1])), workers=1, patience=2), 3):
    print(len(batch.images))
"""


@pytest.mark.parametrize(("way", "count"), [("pipes", 3), ("shared", 0)])
def test_pipes_work_where_shared_memory_does_not(manifest, way, count):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(manifest), way],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split() == ["4"] * count
    assert (done.returncode == 0) == (count > 0), done.stderr
