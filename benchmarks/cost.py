"""Time and memory of a command and all the processes that it starts."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

import psutil

from manifests.errors import WorkFailed

EVERY = 0.05
"""Seconds between two readings; at most this much CPU time of a process that ends is missed."""


class Cost(NamedTuple):
    """What a command used.

    Attributes:
        clock: wall-clock seconds.
        cpu: CPU seconds of all processes.
        peak: GiB, the largest sum of the resident memory of all processes.
        child: GiB, the largest resident memory of a process that the command started; 0 if it started none.
    """

    clock: float
    cpu: float
    peak: float
    child: float


def measure(command: list[str], cwd: Path) -> Cost:
    """Runs a command and discards its standard output.

    Raises:
        WorkFailed: the command failed; its standard error has said why.
    """
    start = time.perf_counter()
    process = psutil.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL)
    watch = _Watch(process.pid)
    status = process.wait()
    clock = time.perf_counter() - start
    watch.stop()
    if status:
        raise WorkFailed(f"`{' '.join(command)}` ended with exit code {status}.")
    return Cost(clock, sum(watch.cpu.values()), watch.peak / 1024**3, watch.child / 1024**3)


class _Watch:
    """A thread that reads CPU time and memory of a process and its descendants.

    The operating system sums only children that their parent waits for; Dask's workers are not such.
    """

    def __init__(self, pid: int) -> None:
        self.cpu: dict[tuple[int, float], float] = {}
        self.peak = self.child = 0
        self._root = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            memory = 0
            with contextlib.suppress(psutil.Error):
                for process in [self._root, *self._root.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error), process.oneshot():
                        times = process.cpu_times()
                        self.cpu[process.pid, process.create_time()] = times.user + times.system
                        resident = process.memory_info().rss
                        memory += resident
                        if process.pid != self._root.pid:
                            self.child = max(self.child, resident)
            self.peak = max(self.peak, memory)
