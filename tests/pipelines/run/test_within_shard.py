"""Progress moves within a shard."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.run import within_shard
from pipelines.run.within_shard import ShardCounter, watching
from pipelines.terminal.progress_bar import Progress


def test_counters_are_added_and_a_finished_shard_is_not_counted_twice(tmp_path: Path):
    seen: list[int] = []
    shown = Progress(lambda done, rate, notes: seen.append(done), 0)
    first, second = tmp_path / ".done-1", tmp_path / ".done-2"
    first.write_text("60")  # left by a run that was killed
    with watching([first, second], shown) as watch:
        watch.look()
        first.write_text("30")
        second.write_text("12")
        watch.look()
        watch.finished(first)
        shown.advance(64)
        second.write_text("")  # half-written
        watch.look()
    shown.show()
    assert 60 not in seen
    assert 42 in seen
    assert max(seen) == 76
    assert seen[-1] == 64
    assert not list(tmp_path.iterdir())


def test_a_full_disk_costs_no_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(within_shard, "EVERY", 0)
    ShardCounter(tmp_path / "no folder" / "counter").say(3)
    ShardCounter(None).say(3)
    assert not list(tmp_path.iterdir())
