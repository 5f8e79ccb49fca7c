"""What a command costs, with all the processes that it starts."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

import psutil

EVERY = 0.05
"""Seconds between two looks at the processes; of one that ends, at most so much is missed."""


class Cost(NamedTuple):
    """What a command took.

    Attributes:
        clock: seconds.
        cpu: seconds, of all processes.
        peak: GiB that all the processes had resident at once, summed.
        child: GiB that the largest of the processes it started had resident; 0 without any.
    """

    clock: float
    cpu: float
    peak: float
    child: float


def measure(command: list[str], cwd: Path) -> Cost:
    """Runs a command; its output is thrown away.

    Raises:
        RuntimeError: it failed.
    """
    start = time.perf_counter()
    process = psutil.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    watch = _Watch(process.pid)
    status = process.wait()
    clock = time.perf_counter() - start
    watch.stop()
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}")
    return Cost(clock, sum(watch.cpu.values()), watch.peak / 1024**3, watch.child / 1024**3)


class _Watch:
    """A thread that looks at a process and its descendants.

    The operating system adds up only those that are waited for, which a cluster's workers are not.
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
