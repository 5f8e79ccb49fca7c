"""Progress of long work: a bar in a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from pipelines.terminal.bar_line import bar_lines, clock
from pipelines.terminal.printable import printable

EVERY = 10.0
"""Seconds between two lines if there is no terminal."""

Show = Callable[[int, float, Mapping[str, object]], None]
"""Shows the number of finished items, items per second, and notes."""


class Progress:
    """Counts finished items and shows them, at most every ``every`` seconds.

    Args:
        show: shows the state.
        every: seconds between two calls of it; infinity for none.
        passes: how often each item is counted until it is finished.
        done: items that were finished before the work began.
    """

    def __init__(self, show: Show, every: float, passes: int = 1, done: int = 0):
        self._show, self._every = show, every
        self._passes, self._before = passes, done
        self._counted, self._part = 0, 0
        self._start = self._shown = time.monotonic()
        self._notes: Mapping[str, object] = {}
        self._lock = threading.Lock()

    @property
    def wanted(self) -> bool:
        """Whether anybody sees it."""
        return self._every < math.inf

    def advance(self, count: int, notes: Mapping[str, object] | None = None) -> None:
        """Adds ``count`` finished items; ``notes`` are shown after them."""
        self._counted += count
        self._notes = notes or self._notes
        self._show_in_time()

    def set_part(self, count: int) -> None:
        """Says how many items of unfinished work are done, to be shown too; any thread may call it."""
        self._part = count
        if count:
            self._show_in_time()

    def show(self) -> None:
        """Shows the present state."""
        with self._lock:
            self._shown = time.monotonic()
            done = self._counted // self._passes + self._part
            rate = done / max(self._shown - self._start, 1e-6)
            self._show(self._before + done, rate, self._notes)

    def _show_in_time(self) -> None:
        if time.monotonic() - self._shown >= self._every:
            self.show()


@contextmanager
def progress(
    title: str, total: int | None, unit: str, *, quiet: bool = False, passes: int = 1, done: int = 0
) -> Iterator[Progress]:
    """Shows progress on standard error.

    Args:
        title: name of the work.
        total: number of items; None if unknown.
        unit: name of the items ("photos").
        quiet: whether to show nothing.
        passes: how often each item is counted until it is finished.
        done: items that were finished before.
    """
    title = printable(title)  # it may name a dataset
    if quiet:
        yield Progress(lambda *_: None, math.inf)
    elif sys.stderr.isatty():
        with _bar(title, total, unit, done) as show:
            yield Progress(show, 0, passes, done)
    else:
        shown = Progress(partial(_print_line, title, total, unit), EVERY, passes, done)
        yield shown
        shown.show()


def _print_line(
    title: str, total: int | None, unit: str, done: int, rate: float, notes: Mapping[str, object]
) -> None:
    of = "" if total is None else f"/{total}"
    left = f", {clock((total - done) / rate)} left" if total is not None and 0 < done < total and rate else ""
    after = "".join(f", {name} {value}" for name, value in notes.items())
    print(f"{title}: {done}{of} {unit}, {rate:.1f}/s{left}{after}", file=sys.stderr, flush=True)


@contextmanager
def _bar(title: str, total: int | None, unit: str, done: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    console = Console(stderr=True)

    class Lines(ProgressColumn):
        """All of a bar: what fits into the terminal's width."""

        def render(self, task: Task) -> Text:
            lines = bar_lines(
                title,
                (int(task.completed), total),
                unit,
                task.fields["rate"],
                task.elapsed or 0.0,
                task.fields["notes"],
                console.width - 1,
                console.encoding.lower().startswith("utf"),
            )
            return Text("\n").join(Text.from_markup(line) for line in lines)

    with Bars(Lines(), console=console, refresh_per_second=8) as shown:
        task = shown.add_task(title, total=total, completed=done, rate=0.0, notes={})

        def show(done: int, rate: float, notes: Mapping[str, object]) -> None:
            shown.update(task, completed=done, rate=rate, notes=notes)

        yield show


def as_notes(counts: Counter[str]) -> dict[str, int]:
    """Returns counts by status in a fixed order."""
    return {name: counts[name] for name in ("ok", "dropped", "failed", "ended before") if counts[name]}
