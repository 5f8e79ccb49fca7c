"""Collects the questions of several photos, so that a network answers them in one batch.

What is done with a photo depends on what was found in it so far, so photos are worked on in threads. Each
thread stops where it needs a network. As soon as all of them have stopped or ended, the networks answer. So
the batches do not depend on how fast a thread is; nor does the order in them, which is that of the photos.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

MOST = 128
"""Photos that are worked on at the same time."""


class Rounds:
    """The rounds of one set of networks.

    Args:
        answer: takes a network's name and a list of questions, and returns as many answers.
    """

    def __init__(self, answer: Callable[[str, list[Any]], list[Any]]) -> None:
        self._answer = answer
        self._changed = threading.Condition()
        self._asked: list[_Question] = []
        self._threads = 0  # that have not ended
        self._ended = False
        self._own = threading.local()  # the number of a thread's photo

    def each(self, function: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
        """``function`` of each photo's values, in their order; it may call ``ask``.

        Raises:
            Exception: what ``function`` raised for the first photo for which it did, after all have ended.
        """
        rows = list(zip(*columns, strict=True))
        results = []
        for start in range(0, len(rows), MOST):
            results += self._together(function, rows[start : start + MOST])
        return results

    def ask(self, network: str, question: Any) -> Any:
        """The network's answer, after all other photos have asked too."""
        one = _Question(network, question, getattr(self._own, "number", 0))
        with self._changed:
            self._asked.append(one)
            self._answer_if_all_wait()
            while not one.answered:
                if self._ended:
                    raise RuntimeError("the work on these photos was ended")
                self._changed.wait()
        if one.error is not None:
            raise one.error
        return one.answer

    def _together(self, function: Callable[..., Any], rows: list[tuple[Any, ...]]) -> list[Any]:
        if len(rows) == 1:
            return [function(*rows[0])]
        self._threads = len(rows)
        try:
            with ThreadPoolExecutor(len(rows)) as pool:
                waiting = [pool.submit(self._one, function, *each) for each in enumerate(rows)]
                try:
                    wait(waiting)
                except BaseException:  # Ctrl-C: the threads must not wait for each other
                    with self._changed:
                        self._ended = True
                        self._changed.notify_all()
                    raise
        finally:
            self._asked, self._threads, self._ended = [], 0, False
        return [each.result() for each in waiting]

    def _one(self, function: Callable[..., Any], number: int, row: tuple[Any, ...]) -> Any:
        self._own.number = number
        try:
            return function(*row)
        finally:
            with self._changed:
                self._threads -= 1
                self._answer_if_all_wait()

    def _answer_if_all_wait(self) -> None:
        if not self._asked or len(self._asked) < self._threads or self._ended:
            return
        asked, self._asked = sorted(self._asked, key=lambda one: one.number), []
        for network in dict.fromkeys(one.network for one in asked):
            group = [one for one in asked if one.network == network]
            try:
                answers = self._answer(network, [one.question for one in group])
                for one, answer in zip(group, answers, strict=True):
                    one.answer = answer
            except Exception as error:  # it belongs to the threads that asked
                for one in group:
                    one.error = error
            for one in group:
                one.answered = True
        self._changed.notify_all()


class _Question:
    def __init__(self, network: str, question: Any, number: int) -> None:
        self.network, self.question, self.number = network, question, number
        self.answer: Any = None
        self.error: Exception | None = None
        self.answered = False
