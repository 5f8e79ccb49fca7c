"""Where tasks run: in one child process, in a local cluster of processes, or on a running Dask cluster."""

from __future__ import annotations

import contextlib
import importlib
import logging
import queue
import signal
import sys
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from manifests.errors import UsageError, WorkFailed
from manifests.temporary_folder import check_socket_folder
from pipelines.run.child import Lost, run_in_child
from pipelines.run.shard_task import Report

if TYPE_CHECKING:
    from distributed import Client

AHEAD = 2
"""Tasks given to the scheduler per worker: one runs and one waits. The scheduler never holds more."""

POLL = 2.0
"""Seconds between two looks at whether there still are workers."""

GRACE = 120.0
"""Seconds without any worker after which the run gives up: time enough for a cluster to start some."""

ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
}
"""Environment of workers: there is a process per core already, so each has one thread."""

ANSWERS = 5.0
"""Seconds within which a scheduler must answer."""

GONE = "the Dask cluster cannot go on: "
GO_ON = "Finished parts are kept; fix the cluster, and the same command goes on from here."


class Task(Protocol):
    """Work that can be sent to another process: a `ShardTask`, a `FrameTask`."""

    def run(self) -> Report:
        """Does it."""
        ...


@contextlib.contextmanager
def executor(workers: int, scheduler: str | None, gpus: Sequence[str] = ()) -> Iterator[Any]:
    """A callable that takes a deque of tasks and yields (task, report or `Lost`) as they end.

    Tasks appended to the deque meanwhile are run too. An error in a task is raised.

    Args:
        workers: the number of processes; for 1, no Dask is needed.
        scheduler: address of a running Dask scheduler; ``workers`` is then ignored.
        gpus: the GPUs that local workers take in turns, one each.

    Raises:
        UsageError: the scheduler does not answer.
        WorkFailed: later, from the callable: all workers are gone, or the scheduler is.
    """
    if scheduler is None and workers <= 1:
        yield run_in_child
        return
    with _client(workers, scheduler) as client:
        if gpus and scheduler is None:
            from pipelines.run.gpus import OneGpu

            client.register_plugin(OneGpu(gpus))
        yield lambda tasks: _while_connected(_run_on(client, tasks))


def _while_connected(outcomes: Iterator[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    """The same; a scheduler that is gone in the middle of a call is one sentence."""
    from distributed.comm.core import CommClosedError

    try:
        yield from outcomes
    except CommClosedError as error:
        raise WorkFailed(f"{GONE}the connection to the scheduler is lost. {GO_ON}") from error


def _run_on(client: Client, tasks: deque[Task]) -> Iterator[tuple[Any, Any]]:
    running: dict[Any, Task] = {}
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def fill() -> None:
        slots = AHEAD * max(1, _threads(client))
        while tasks and len(running) < slots:
            task = tasks.popleft()
            future = client.submit(task.run, pure=False, retries=0)
            running[future] = task
            future.add_done_callback(finished.put)

    fill()
    while running:
        future = _next_finished(client, finished)
        task = running.pop(future)
        if future.status == "cancelled" and client.status != "running":
            raise WorkFailed(f"{GONE}the connection to the scheduler is lost. {GO_ON}")
        yield task, _outcome(future)
        future.release()
        fill()


def _outcome(future: Any) -> Any:
    """What a task gave, or that its workers died, perhaps only after its end and before they had sent it."""
    from distributed import KilledWorker

    try:
        return future.result()
    except (KilledWorker, CancelledError):
        return Lost()


def _next_finished(client: Client, finished: queue.SimpleQueue[Any]) -> Any:
    """The next task that ended; it raises WorkFailed after ``GRACE`` seconds without a worker."""
    seen = time.monotonic()
    while True:
        try:
            return finished.get(timeout=POLL)
        except queue.Empty:
            if _threads(client):
                seen = time.monotonic()
            elif time.monotonic() - seen > GRACE:
                raise WorkFailed(f"{GONE}no worker for {GRACE:g} s. {GO_ON}") from None


def _threads(client: Client) -> int:
    """Threads of all workers; 0 if the scheduler does not answer."""
    try:
        threads: Any = client.nthreads()
    except (OSError, TimeoutError):
        return 0
    return sum(threads.values())


def check_scheduler(address: str) -> None:
    """Makes sure that a Dask scheduler answers at an address.

    Other programs may listen there and never answer, such as the scheduler's own dashboard.

    Raises:
        UsageError: none does, within `ANSWERS` seconds.
    """
    import asyncio

    with _dask_settings():
        from distributed.core import rpc

        async def ask() -> str:
            async with rpc(address, timeout=ANSWERS) as scheduler:
                found: Any = await scheduler.identity()
                return found["type"]

        try:
            with ThreadPoolExecutor(1) as thread:  # a notebook has an event loop of its own in this one
                kind = thread.submit(lambda: asyncio.run(asyncio.wait_for(ask(), ANSWERS))).result()
            found = None if kind == "Scheduler" else f"it is a {kind.lower()}"
        except asyncio.TimeoutError:  # which Python 3.10 does not call TimeoutError
            found = f"no answer in {ANSWERS:g} s"
        except Exception as error:  # whatever another program's answer is taken for
            found = str(error) or type(error).__name__
    if found is not None:
        raise UsageError(
            f"--scheduler {address}: no Dask scheduler answers there ({found}); give the address that it "
            "prints as `Scheduler at` (not its dashboard), start one with `dask scheduler`, or leave the "
            "option out."
        )


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Client]:
    with _dask_settings():
        from distributed import Client

        if scheduler is None:
            with _local(workers) as client:
                yield client
            return
        check_scheduler(scheduler)
        client = Client(scheduler, timeout=ANSWERS, set_as_default=False)
        try:
            yield client
        finally:
            with contextlib.suppress(OSError, TimeoutError):  # the scheduler may be gone
                client.close()


@contextlib.contextmanager
def _dask_settings() -> Iterator[None]:
    """The settings under which Dask is used here.

    Raises:
        UsageError: a settings file of Dask is damaged.
    """
    try:
        import dask.config

        importlib.import_module("distributed")  # it reads its own settings
    except ImportError:
        raise
    except Exception as error:  # of the YAML library, or of Dask about what stands in the file
        raise UsageError(_damaged_settings(error)) from error
    _quiet()
    # When a worker dies, its tasks are lost; the runner finds out which photo was the cause.
    settings = {
        "distributed.nanny.pre-spawn-environ": ONE_THREAD,
        "distributed.scheduler.allowed-failures": 1,
        "distributed.worker.multiprocessing-method": "forkserver",  # workers import Dask once, not each
        # It samples all threads a hundred times a second; CPython 3.11 may then hang when a thread starts or
        # ends.
        "distributed.worker.profile.enabled": False,
        # By default each of Dask's servers wakes fifty times a second to check itself: 7 % of a core.
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "10s",
        "distributed.comm.timeouts.connect": "5s",
    }
    with dask.config.set(settings):
        yield


def _damaged_settings(error: Exception) -> str:
    """What to say of Dask's settings: the file of the user's, if one is known."""
    said = " ".join(str(error).split())[:200]
    return (
        f"the settings of Dask cannot be read ({said}); correct or remove the file (~/.config/dask/*.yaml)."
    )


@contextlib.contextmanager
def _local(workers: int) -> Iterator[Client]:
    """A client of a cluster of processes on this machine.

    If the block raises, nothing is closed: the workers end when this process ends.
    """
    from multiprocessing import resource_tracker

    from distributed import Client, LocalCluster

    check_socket_folder()
    # After Ctrl-C this process ends at once, and its tracker removes what is left. It takes over this setting
    # and then does so without a warning.
    sys.warnoptions.append("ignore:resource_tracker:UserWarning")
    resource_tracker.ensure_running()  # its start unblocks Ctrl-C, so it must run first
    # A terminal sends Ctrl-C to all processes, but only the main one should react. So it is blocked in this
    # thread, and in all threads and processes that it starts.
    blocked = (signal.SIG_BLOCK, {signal.SIGINT})
    thread = ThreadPoolExecutor(1, initializer=signal.pthread_sigmask, initargs=blocked)
    cluster = thread.submit(
        LocalCluster,
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,  # pyright: ignore[reportArgumentType]  (None switches it off)
        memory_limit=0,
        silence_logs=logging.CRITICAL,
    ).result()
    client = thread.submit(Client, cluster, set_as_default=False).result()
    thread.shutdown()
    yield client
    with contextlib.suppress(Exception):  # it ends in any case; a slow end is no failure
        client.close(timeout=1)
    with contextlib.suppress(Exception):
        cluster.close(timeout=1)


def _quiet() -> None:
    """Silences Dask, whose loggers have levels of their own: what is wrong is said by an error of ours."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith(("distributed", "tornado"))]
    for name in ("distributed", "tornado", *names):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="distributed")
