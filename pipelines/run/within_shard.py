"""How far unfinished shards are: their workers write it into small files, which the bar's process reads.

Files work alike for a child process, a local cluster and one of several machines: all see the workspace.
They are for show only, so a fault of writing or reading them changes nothing.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.terminal.progress_bar import Progress

EVERY = 0.5
"""Seconds between two writes, and two looks."""


class ShardCounter:
    """The worker's side: says how many photos of its shard are done; without a path it does nothing."""

    def __init__(self, path: Path | None):
        self._path, self._said = path, time.monotonic()
        self._before = 0

    def finished(self, count: int) -> None:
        """Adds a group of photos that are done."""
        self._before += count

    def say(self, done: float) -> None:
        """Says how many of the present group are done; writes the sum, if the last one is old enough."""
        now = time.monotonic()
        if self._path is None or now - self._said < EVERY:
            return
        self._said = now
        with contextlib.suppress(OSError):
            self._path.write_text(str(int(self._before + done)))


class Watch:
    """The other side: adds the photos of unfinished shards to the progress."""

    def __init__(self, paths: Iterable[Path], progress: Progress):
        self._paths, self._progress = set(paths), progress
        self._lock = threading.Lock()

    def look(self) -> None:
        """Reads all counters."""
        with self._lock:
            self._progress.set_part(sum(map(_read, self._paths)))

    def finished(self, path: Path | None) -> None:
        """Forgets a shard, whose photos are now counted as finished or are begun anew."""
        if path is None:
            return
        with self._lock:
            path.unlink(missing_ok=True)
            self._progress.set_part(sum(map(_read, self._paths)))


@contextmanager
def watching(paths: Iterable[Path], progress: Progress) -> Iterator[Watch]:
    """Looks at the counters from time to time, in a thread, until the block ends."""
    paths = list(paths)
    watch = Watch(paths, progress)
    for path in paths:
        path.unlink(missing_ok=True)  # of a run that was killed
    stop = threading.Event()

    def keep_looking() -> None:
        while not stop.wait(EVERY):
            watch.look()

    thread = threading.Thread(target=keep_looking, daemon=True)
    if paths:
        thread.start()
    try:
        yield watch
    finally:
        stop.set()
        if paths:
            thread.join()
        for path in paths:
            path.unlink(missing_ok=True)
        progress.set_part(0)


def _read(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not begun, or half-written
        return 0
