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
    """Yields the result of ``work`` for each item, in order.

    An error of ``work`` ends the iteration, and no further item is begun.

    Args:
        work: the function of one item.
        items: taken as the results are used.
        threads: number of threads.
        ahead: maximum number of items taken before the first result is used; this bounds the memory.
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
