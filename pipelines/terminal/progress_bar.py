"""Progress of long work: a bar in a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

EVERY = 10.0
"""Seconds between two lines if there is no terminal."""

Show = Callable[[int, float, Mapping[str, object]], None]
"""Shows the number of finished items, items per second, and notes."""


class Progress:
    """Counts finished items and shows them, at most every ``every`` seconds."""

    def __init__(self, show: Show, every: float):
        self._show, self._every = show, every
        self._done = 0
        self._start = self._shown = time.monotonic()
        self._notes: Mapping[str, object] = {}

    def advance(self, count: int, notes: Mapping[str, object] | None = None) -> None:
        """Adds ``count`` finished items; ``notes`` are shown after them."""
        self._done += count
        self._notes = notes or self._notes
        if time.monotonic() - self._shown >= self._every:
            self.show()

    def show(self) -> None:
        """Shows the present state."""
        self._shown = time.monotonic()
        self._show(self._done, self._done / max(self._shown - self._start, 1e-6), self._notes)


@contextmanager
def progress(title: str, total: int | None, unit: str, *, quiet: bool = False) -> Iterator[Progress]:
    """Shows progress on standard error.

    Args:
        title: name of the work.
        total: number of items; None if unknown.
        unit: name of the items ("images").
        quiet: whether to show nothing.
    """
    if quiet:
        yield Progress(lambda *_: None, math.inf)
    elif sys.stderr.isatty():
        with _bar(title, total, unit) as show:
            yield Progress(show, 0)
    else:
        shown = Progress(partial(_print_line, title, total, unit), EVERY)
        yield shown
        shown.show()


def _print_line(
    title: str, total: int | None, unit: str, done: int, rate: float, notes: Mapping[str, object]
) -> None:
    of = "" if total is None else f"/{total}"
    left = f", {_clock((total - done) / rate)} left" if total is not None and 0 < done < total else ""
    after = "".join(f", {name} {value}" for name, value in notes.items())
    print(f"{title}: {done}{of} {unit}, {rate:.1f}/s{left}{after}", file=sys.stderr, flush=True)


@contextmanager
def _bar(title: str, total: int | None, unit: str) -> Iterator[Show]:
    from rich import progress as parts
    from rich.console import Console

    columns = (
        parts.TextColumn("{task.description}"),
        parts.BarColumn(bar_width=30),
        parts.MofNCompleteColumn() if total is not None else parts.TextColumn("{task.completed}"),
        parts.TextColumn(unit + " {task.fields[rate]}"),
        parts.TimeElapsedColumn(),
        parts.TextColumn("left"),
        parts.TimeRemainingColumn(elapsed_when_finished=False),
        parts.TextColumn("[dim]{task.fields[notes]}"),
    )
    with parts.Progress(*columns, console=Console(stderr=True), refresh_per_second=8) as shown:
        task = shown.add_task(title, total=total, rate="", notes="")

        def show(done: int, rate: float, notes: Mapping[str, object]) -> None:
            text = "  ".join(f"{name} {value}" for name, value in notes.items())
            shown.update(task, completed=done, rate=f"{rate:.1f}/s", notes=text)

        yield show


def as_notes(counts: Counter[str]) -> dict[str, int]:
    """Returns counts by status in a fixed order."""
    return {name: counts[name] for name in ("ok", "dropped", "failed", "ended before") if counts[name]}


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
