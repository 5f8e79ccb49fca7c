"""The processes of the loader: how they start, how their batches arrive, and how they end.

Only the main process acts on Ctrl-C and SIGTERM, which a shell or a batch system sends to the whole group:
it takes its step to the end, writes a checkpoint and then ends the loader's processes itself.
"""

from __future__ import annotations

import multiprocessing
import queue
import shutil
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from manifests.errors import WorkFailed

PREFETCH = 4
"""Number of batches that each process loads ahead."""

PATIENCE = 300.0
"""Seconds to wait for a batch, if the settings say nothing else."""

SHARED_MEMORY = Path("/dev/shm")

_LOOK = 1  # second between looks at the processes
_TICK = 0.1  # seconds between looks at the wish to stop
_GRACE = 1.5  # seconds that the processes have to end by themselves
_END = object()
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
    """The wait for a batch was given up, because the run is to stop."""


def bytes_in_flight(faces: int, size: int, workers: int, dense: bool = False) -> int:
    """The most memory that batches of ``faces`` crops of ``size`` pixels take on their way."""
    points = 5120 if dense else 1024
    # image and mask; whole pages
    return workers * PREFETCH * (faces * (size * size * 4 + points) + 7 * 4096)


def fits_shared_memory(wanted: int, folder: Path = SHARED_MEMORY) -> bool:
    """Whether so many bytes, and as many again for another loader, fit into shared memory.

    Systems without the folder have no such limit.
    """
    try:
        return shutil.disk_usage(folder).free >= 2 * wanted
    except FileNotFoundError:
        return True


class Piped(Dataset):
    """Gives the batches of a dataset as arrays: they pass through a pipe, and need no shared memory."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: Any) -> Any:
        return _convert(self.dataset[index], Tensor, Tensor.numpy)


def unpiped(batch: Any) -> Any:
    """A batch of ``Piped`` with tensors again."""
    return _convert(batch, np.ndarray, torch.from_numpy)


def received(
    loader: DataLoader, patience: float = PATIENCE, stop: Callable[[], bool] = lambda: False
) -> Generator[Any, None, None]:
    """Yield what a loader loads; close the generator to end its processes.

    Args:
        loader: made with ``loader_options``.
        patience: seconds to wait for a batch.
        stop: asked ten times a second whether to give up waiting.

    Raises:
        Stopped: ``stop`` returned true while no batch was there.
        WorkFailed: no batch came in time, or a process has died.
    """
    if loader.num_workers == 0:
        yield from loader
        return
    stream, children = _start(loader)
    ready: queue.Queue = queue.Queue(1)
    closed = threading.Event()
    # A thread waits, because a stopped process can leave a read without end, which no signal interrupts.
    reader = threading.Thread(target=_read, args=(stream, ready, closed), daemon=True)
    del stream
    reader.start()
    try:
        while True:
            loaded = _next(ready, patience, stop)
            if loaded is _END:
                return
            if isinstance(loaded, Exception):
                died = "DataLoader" in str(loaded) or isinstance(loaded, (EOFError, ConnectionError))
                raise WorkFailed(_death(children)) if died else loaded
            yield loaded
    finally:
        closed.set()
        reader.join(_GRACE)  # it ends the processes; a stopped one does not end by itself
        _kill(children)


def loader_options(workers: int) -> dict[str, Any]:
    """The options of a DataLoader for ``received``."""
    if workers == 0:
        return {"num_workers": 0}
    return {
        "num_workers": workers,
        "prefetch_factor": PREFETCH,
        "timeout": _LOOK,
        "worker_init_fn": _only_load,
    }


@contextmanager
def few_cores() -> Iterator[None]:
    """Keeps torch's warning about fewer cores than processes away; the trainer says it in its own words."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


def _read(stream: Iterator[Any], ready: queue.Queue, closed: threading.Event) -> None:
    """Put what is loaded into ``ready``, then ``_END`` or the error that ended it."""
    loaded: Any = None
    while loaded is not _END and not isinstance(loaded, Exception) and not closed.is_set():
        try:
            loaded = next(stream, _END)
        except Exception as error:  # it is raised again in the main thread
            if "timed out" in str(error):
                continue
            loaded = error
        while not closed.is_set():
            try:
                ready.put(loaded, timeout=_TICK)
                break
            except queue.Full:
                continue


def _next(ready: queue.Queue, patience: float, stop: Callable[[], bool]) -> Any:
    begun = time.monotonic()
    while True:
        try:
            return ready.get(timeout=_TICK)
        except queue.Empty:
            pass
        if stop():
            raise Stopped
        if time.monotonic() - begun > patience:
            raise WorkFailed(
                f"no batch came from the loader for {patience:g} s: one of its processes is stopped, or "
                "the disk does not answer; repeat the command (data.timeout=SECONDS waits longer)."
            )


def _death(children: set[Any]) -> str:
    """Why processes died, and what to do."""
    if any(child.exitcode == -signal.SIGBUS for child in children):
        return (
            f"a process of the loader found no more space in {SHARED_MEMORY}; enlarge it (as with `docker "
            "run --shm-size=2g`) or set data.workers=0, then repeat the command."
        )
    return (
        "a process of the loader was killed, as by a system that is out of memory; lower data.workers, then "
        "repeat the command."
    )


def _start(loader: DataLoader) -> tuple[Iterator[Any], set[Any]]:
    """A new iterator over the loader, and its processes."""
    before = set(multiprocessing.active_children())
    # A forked process inherits OpenCV's thread pool without its threads and would wait for them for ever.
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # until ``_only_load`` ignores them
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        with few_cores():
            stream = iter(loader)
    except OSError as error:
        raise WorkFailed(
            f"the loader's processes cannot be started ({error.strerror}); set data.workers=0, then repeat "
            "the command."
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            # torch's handler would raise an error wherever the program is when a process is killed.
            signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        cv2.setNumThreads(threads)
    return stream, set(multiprocessing.active_children()) - before


def _kill(children: set[Any]) -> None:
    for child in children:
        if child.is_alive():
            child.kill()
            child.join()


def _only_load(_: int) -> None:
    """In each process of the loader: no action on signals, and one thread."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    cv2.setNumThreads(0)


def _convert(batch: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    changed = {name: change(value) for name, value in values.items() if isinstance(value, kind)}
    return replace(batch, **changed)
