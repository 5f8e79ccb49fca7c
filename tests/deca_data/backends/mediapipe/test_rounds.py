"""Several photos ask the same networks, and the networks answer all of them at once."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from deca_data.backends.mediapipe.rounds import MOST, Rounds


class Doubling:
    """Networks "a" and "b" that double a number; they keep the sizes of their batches."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, int]] = []
        self.rounds = Rounds(self.answer)

    def answer(self, network: str, questions: list[Any]) -> list[Any]:
        self.batches.append((network, len(questions)))
        if "bad" in questions:
            raise ValueError("bad")
        return [2 * question for question in questions]


def test_questions_are_collected_although_photos_need_different_numbers_of_them():
    networks = Doubling()

    def photo(number: int, times: int) -> int:
        for _ in range(times):
            number = networks.rounds.ask("a", number)
        return networks.rounds.ask("b", number) if times == 2 else number

    results = networks.rounds.each(photo, [1, 10, 100, 1000], [0, 1, 2, 3])
    assert results == [1, 20, 800, 8000]
    assert sorted(networks.batches) == sorted([("a", 3), ("a", 2), ("a", 1), ("b", 1)])


def test_the_order_in_a_batch_is_that_of_the_photos():
    batches: list[list[int]] = []
    rounds = Rounds(lambda _, questions: batches.append(questions) or questions)

    def photo(number: int, wait: float) -> int:
        time.sleep(wait)  # the first one asks last
        return rounds.ask("a", number)

    assert rounds.each(photo, [5, 3, 4], [0.1, 0.05, 0]) == [5, 3, 4]
    assert batches == [[5, 3, 4]]


def test_one_photo_and_none_need_no_threads():
    networks = Doubling()
    threads = threading.active_count()
    found = networks.rounds.each(
        lambda number: (networks.rounds.ask("a", number), threading.active_count()), [4]
    )
    assert found == [(8, threads)]
    assert networks.rounds.each(lambda number: number, []) == []
    assert networks.rounds.ask("b", 5) == 10  # outside of `each`, too


def test_many_photos_go_in_parts():
    networks = Doubling()
    count = 2 * MOST + 3
    assert networks.rounds.each(lambda n: networks.rounds.ask("a", n), range(count)) == [
        2 * n for n in range(count)
    ]
    assert networks.batches == [("a", MOST), ("a", MOST), ("a", 3)]


def test_an_error_of_one_photo_is_raised_after_the_others_have_ended():
    networks, ended = Doubling(), []

    def photo(number: int) -> None:
        if number == 1:
            raise KeyError("one")
        networks.rounds.ask("a", number)
        ended.append(number)

    with pytest.raises(KeyError, match="one"):
        networks.rounds.each(photo, [0, 1, 2])
    assert sorted(ended) == [0, 2]
    assert networks.rounds.each(lambda n: networks.rounds.ask("a", n), [1, 2]) == [2, 4]  # still usable


def test_an_error_of_a_network_reaches_all_that_asked_it():
    networks = Doubling()
    with pytest.raises(ValueError, match="bad"):
        networks.rounds.each(lambda question: networks.rounds.ask("a", question), ["bad", 1])
    with pytest.raises(ValueError, match="bad"):
        networks.rounds.ask("a", "bad")


def test_an_interrupt_ends_the_threads(monkeypatch):
    """Ctrl-C reaches the main thread only, while the others wait for one another."""
    networks, gate = Doubling(), threading.Event()

    def interrupted(_: Any) -> None:
        while len(networks.rounds._asked) < 2:  # the third photo holds the round up
            time.sleep(0.001)
        gate.set()
        raise KeyboardInterrupt

    def photo(number: int) -> int:
        if number == 2:
            gate.wait()
        return networks.rounds.ask("a", number)

    threads = threading.active_count()
    monkeypatch.setattr("deca_data.backends.mediapipe.rounds.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        networks.rounds.each(photo, [0, 1, 2])
    assert threading.active_count() == threads
    monkeypatch.undo()
    assert networks.rounds.each(photo, [0, 1]) == [0, 2]
