"""Worker processes on this machine: what they are started with, and that Ctrl-C does not end them."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import pytest
from distributed import KilledWorker

from pipelines.run.child import Lost
from pipelines.run.cluster import _outcome

LOOK = """
import os, signal, time
from collections import deque
from pipelines.run.cluster import Lost, executor

class Die:
    def run(self):
        os._exit(1)

class Look:
    def run(self):
        time.sleep(0.2)
        return os.getpid(), os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]

def seen(execute):
    return {found for _, found in execute(deque(Look() for _ in range(12)))}

if __name__ == "__main__":
    with executor(2, None) as execute:
        first = seen(execute)
        print(len(first), {threads for _, *both in first for threads in both})
        for pid, *_ in first:
            os.kill(pid, signal.SIGINT)
        print(seen(execute) == first)
        print([type(found) is Lost for _, found in execute(deque([Die()]))])
        while len(second := seen(execute)) < 2:  # both workers ran it, so both are new
            pass
        print(len(second & first))
        for pid, *_ in second:
            os.kill(pid, signal.SIGINT)
        print(seen(execute) == second)
"""


def test_workers_have_one_thread_each_and_outlive_a_ctrl_c(tmp_path: Path):
    script = tmp_path / "look.py"
    script.write_text(LOOK)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["2 {'1'}", "True", "[True]", "0", "True"]


NO_WORKER: Any = None


@pytest.mark.parametrize("error", [KilledWorker("run", NO_WORKER, 1), CancelledError("run")])
def test_a_result_that_its_worker_took_along_is_lost(error: Exception):
    """A worker may die after a task's end, before it has sent the result."""

    class Ended:
        status = "finished"

        def result(self) -> int:
            raise error

    assert type(_outcome(Ended())) is Lost
