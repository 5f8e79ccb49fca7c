"""One worker process beside this one, for runs of few photos: a file that kills it does not end the run."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from manifests.errors import WorkFailed


class Lost(Exception):
    """The worker process died on this task."""


class _Raised(NamedTuple):
    """An error of a task, and where it came from."""

    error: BaseException
    place: str


class _Child(NamedTuple):
    process: Any
    pipe: Connection


def run_in_child(tasks: deque[Any]) -> Iterator[tuple[Any, Any]]:
    """Runs tasks one after another in a child process; yields each with its report, or with `Lost`.

    The next task after a death gets a new child. Tasks appended to the deque meanwhile are run too. The child
    ends with the iterator, and also if this process is killed.

    Raises:
        Exception: what a task raises.
    """
    child: _Child | None = None
    try:
        while tasks:
            task = tasks.popleft()
            child = child or _start()
            outcome = _ask(child, task)
            if isinstance(outcome, Lost):
                _end(child)
                child = None
            yield task, outcome
    finally:
        if child is not None:
            _end(child)


def _start() -> _Child:
    # A fork would copy locks that other threads hold and models on a GPU; a spawned process starts afresh.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()  # else this process would not see that the child's end is closed
    return _Child(process, ours)


def _ask(child: _Child, task: Any) -> Any:
    try:
        child.pipe.send(task)
        outcome = child.pipe.recv()
    except (EOFError, ConnectionError):
        return Lost()
    if isinstance(outcome, _Raised):
        raise outcome.error from WorkFailed(outcome.place)
    return outcome


def _end(child: _Child) -> None:
    child.pipe.close()
    child.process.kill()  # it waits for a task, or its task is lost in any case
    child.process.join()


def _serve(pipe: Connection) -> None:
    """The child: runs what comes until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C here too; the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(
        EOFError, OSError
    ):  # the parent ended, or was killed: its end of the pipe is gone
        while True:
            task = pipe.recv()
            try:
                outcome = task.run()
            except BaseException as error:
                outcome = _Raised(_sendable(error), traceback.format_exc())
            pipe.send(outcome)


def _sendable(error: BaseException) -> BaseException:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # its class says how, and may do it wrong
        return WorkFailed(f"{type(error).__name__}: {error}")
    return error


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
