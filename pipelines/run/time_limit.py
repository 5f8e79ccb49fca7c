"""Ends a worker process that is busy with one file for too long; another process then takes its place.

A decoder or a model that hangs in compiled code cannot be interrupted from Python, as it may never give back
the interpreter. So the system's timer ends the process: its signal, SIGALRM, is left without a handler.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_deadlines: dict[int, float] = {}
"""When the work of each thread must be done. A process has one timer, so its threads must share it."""

_lock = threading.Lock()


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Ends this process if the block takes longer than ``seconds``; None sets no limit.

    In a process that nobody replaces, such as that of the command itself, there is no limit.
    """
    if seconds is None or not _is_worker():
        yield
        return
    thread = threading.get_ident()
    _set(thread, time.monotonic() + seconds)
    try:
        yield
    finally:
        _set(thread, None)


def _set(thread: int, deadline: float | None) -> None:
    with _lock:
        if deadline is None:
            _deadlines.pop(thread, None)
        else:
            _deadlines[thread] = deadline
        left = min(_deadlines.values()) - time.monotonic() if _deadlines else 0.0
        signal.setitimer(signal.ITIMER_REAL, max(left, 0.001) if _deadlines else 0.0)


def _is_worker() -> bool:
    """Whether this process works for another one: as its child, or as a worker of a Dask cluster."""
    if multiprocessing.parent_process() is not None:
        return True
    if "distributed.worker" not in sys.modules:
        return False
    from distributed import get_worker

    with contextlib.suppress(ValueError):
        return get_worker() is not None
    return False
