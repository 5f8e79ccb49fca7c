"""The process that local workers are forked from, and how Ctrl-C passes them by."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence

ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
}
"""Environment of workers: the processes share the cores out already."""

BY_DEFAULT = (
    "pipelines.run.shard_task",
    *(f"deca_data.stages.{name}" for name in ("detect", "landmarks", "consistency", "quality", "masks")),
    *(f"deca_data.backends.{name}" for name in ("mediapipe_detector", "mediapipe_landmarker", "mesh_parser")),
    "deca_data.backends.mediapipe.graphs",
    "scipy.fftpack",
)
"""What `deca-data run` needs if no backend is named; stated here, as finding it out takes many imports."""


def cpu_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def may_fork(workers: int | None, scheduler: str | None) -> bool:
    """Whether enough work would go to processes of this machine, with the options that the user gave."""
    return scheduler is None and (workers or cpu_count()) > 1


def start_fork_server(imports: Sequence[str]) -> None:
    """Starts the process whose forks the workers are, so that all of them import once.

    It begins as a fresh Python, not as a fork of this process, whose threads and models a fork would break;
    and it only imports, so that nothing in it runs when it forks. That takes a second, in which this process
    goes on. Where it runs already, it stays as it is.

    Args:
        imports: modules that the workers need.
    """
    from multiprocessing import forkserver, set_forkserver_preload

    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)  # read by libraries when they are imported
    set_forkserver_preload(["pipelines.run.local_worker", *imports])
    try:
        with interrupt_later():
            forkserver.ensure_running()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextlib.contextmanager
def interrupt_later() -> Iterator[None]:
    """Holds a Ctrl-C back until the block is done, and has processes born in it never see one.

    A terminal sends Ctrl-C to all processes; only the main one should answer it. Threads and processes
    that start while the signal is blocked inherit that.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it unblocks the signal when it starts, so it must run before
    came: list[int] = []
    old = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, old)
    if came:
        kill_workers()
        raise KeyboardInterrupt


def kill_workers() -> None:
    """Ends the fork server and all its forks at once."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("multiprocessing.forkserver" in word for word in process.cmdline()):
                process.kill()
