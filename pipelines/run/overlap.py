"""Decoding ahead and writing behind, in threads, while a network works on a GPU.

On a CPU the network needs the cores itself, so there everything is done in turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from pipelines.workspace.workspace import StageSpec

THREADS = 8
"""Threads of a worker that has a GPU."""

AHEAD = 32
"""Photos that are decoded ahead, at most; this bounds the memory."""

Item = TypeVar("Item")


def threads_for(specs: Iterable[StageSpec]) -> int:
    """How many threads a worker gets for these stages: none if no stage uses a GPU."""
    return THREADS if any(spec.device.startswith("cuda") for spec in specs) else 0


def ahead(work: Callable[[Item], Item], items: Iterable[Item], threads: int) -> Iterator[Item]:
    """The result of ``work`` for each item, in order; with threads, the next ones are begun meanwhile.

    The first result does not wait for many others: with each result one more item is taken ahead.
    """
    if not threads:
        yield from map(work, items)
        return
    waiting: deque[Future[Item]] = deque()
    room = threads
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > room:
                    yield waiting.popleft().result()
                    room = min(room + 1, AHEAD)
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()


class Behind:
    """Does work later in threads, or, with none, at once. An error of it is raised by ``settle``."""

    def __init__(self, pool: ThreadPoolExecutor | None) -> None:
        self._pool = pool
        self._older: list[Future[None]] = []
        self._newer: list[Future[None]] = []

    def do(self, work: Callable[[], None]) -> None:
        """Do ``work``, now or later."""
        if self._pool is None:
            work()
        else:
            self._newer.append(self._pool.submit(work))

    def turn(self) -> None:
        """Wait for the work that was there at the last turn; errors as in ``settle``."""
        waiting, self._older, self._newer = self._older, self._newer, []
        _wait(waiting)

    def settle(self) -> None:
        """Wait for all work.

        Raises:
            Exception: the first error of the work, after all of it has ended.
        """
        waiting, self._older, self._newer = self._older + self._newer, [], []
        _wait(waiting)


def _wait(waiting: list[Future[None]]) -> None:
    errors = [error for each in waiting if (error := each.exception()) is not None]
    if errors:
        raise errors[0]


@contextmanager
def behind(threads: int) -> Iterator[Behind]:
    """Yield a ``Behind`` with its threads."""
    if not threads:
        yield Behind(None)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield Behind(pool)
