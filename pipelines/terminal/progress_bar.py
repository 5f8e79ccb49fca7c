"""Progress of long work: a bar in a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

EVERY = 10.0
"""Seconds between two lines if there is no terminal."""


class Progress(Protocol):
    """Counts finished items."""

    def advance(self, count: int, notes: Mapping[str, object] | None = None) -> None:
        """Adds ``count`` finished items; ``notes`` are shown after the bar."""
        ...


@contextmanager
def progress(title: str, total: int | None, unit: str, *, quiet: bool = False) -> Iterator[Progress]:
    """A progress display on standard error.

    Args:
        title: name of the work.
        total: number of items; None if unknown.
        unit: name of the items ("images").
        quiet: whether to show nothing.
    """
    if quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        with _bar(title, total, unit) as bar:
            yield bar
    else:
        lines = _Lines(title, total, unit)
        yield lines
        lines.last()


class _Silent:
    def advance(self, count: int, notes: Mapping[str, object] | None = None) -> None:
        """Does nothing."""


class _Lines:
    """One plain line every ten seconds, and one at the end."""

    def __init__(self, title: str, total: int | None, unit: str):
        self._title, self._total, self._unit = title, total, unit
        self._done = 0
        self._start = self._shown = time.monotonic()
        self._notes: Mapping[str, object] = {}

    def advance(self, count: int, notes: Mapping[str, object] | None = None) -> None:
        self._done += count
        self._notes = notes or self._notes
        if time.monotonic() - self._shown >= EVERY:
            self._show()

    def last(self) -> None:
        self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        seconds = self._shown - self._start
        rate = self._done / seconds if seconds > 0 else 0.0
        of = "" if self._total is None else f"/{self._total}"
        left = ""
        if self._total is not None and rate > 0 and self._done < self._total:
            left = f", {_clock((self._total - self._done) / rate)} left"
        notes = "".join(f", {name} {value}" for name, value in self._notes.items())
        text = f"{self._title}: {self._done}{of} {self._unit}, {rate:.1f}/s{left}{notes}"
        print(text, file=sys.stderr, flush=True)


@contextmanager
def _bar(title: str, total: int | None, unit: str) -> Iterator[Progress]:
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
        yield _Bar(shown, task)


class _Bar:
    def __init__(self, shown: object, task: object):
        self._shown, self._task = shown, task
        self._start, self._done = time.monotonic(), 0

    def advance(self, count: int, notes: Mapping[str, object] | None = None) -> None:
        self._done += count
        rate = self._done / max(time.monotonic() - self._start, 1e-6)
        fields = {"rate": f"{rate:.1f}/s"}
        if notes is not None:
            fields["notes"] = "  ".join(f"{name} {value}" for name, value in notes.items())
        self._shown.update(self._task, advance=count, **fields)  # type: ignore[attr-defined]


def as_notes(counts: Counter[str]) -> dict[str, int]:
    """Counts by status in a fixed order."""
    return {name: counts[name] for name in ("ok", "dropped", "failed", "ended before") if counts[name]}


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
