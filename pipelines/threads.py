"""Work in threads whose results come in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pipelines.terminal.progress_bar import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    ahead: int,
    progress: Progress | None = None,
) -> Iterator[Result]:
    """The result of ``work`` for each item, in order.

    Args:
        work: what is done for one item; an error ends the iteration, and no further item is begun.
        items: are taken as the results are used.
        threads: number of threads.
        ahead: how many items may be taken before the result of the first is used; this bounds the memory.
        progress: advanced by one for each result.
    """
    waiting: deque[Future[Result]] = deque()

    def first() -> Result:
        result = waiting.popleft().result()
        if progress is not None:
            progress.advance(1)
        return result

    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > ahead:
                    yield first()
            while waiting:
                yield first()
        finally:
            for each in waiting:
                each.cancel()
