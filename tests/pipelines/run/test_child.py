"""The one worker process: results, errors, deaths, and that it never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import pytest

from manifests.errors import UsageError
from pipelines.run import frames
from pipelines.run.bring_up import Call, open_workspace
from pipelines.run.child import Lost, run_in_child
from pipelines.run.frames import FrameTask
from pipelines.run.runner import Options
from pipelines.workspace.parts import read_part
from tests.pipelines.run.test_frames import write_video


@dataclass(frozen=True)
class Doing:
    """A task that gives its process, or dies, or raises."""

    what: str = ""
    image_timeout: float | None = 1.0

    def run(self) -> int:
        if self.what == "dies":
            os.abort()
        if self.what == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "is stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.what == "misused":
            raise UsageError("the call was wrong")
        if self.what == "raises":
            raise Odd("a", "b")
        return os.getpid()


class Odd(Exception):
    """An exception that cannot be unpickled."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def outcomes(*what: str) -> list[object]:
    return [outcome for _, outcome in run_in_child(deque(map(Doing, what)))]


@pytest.mark.reliability("a worker process is killed", tried=2)
def test_tasks_share_one_other_process_until_it_dies():
    first, second, lost, third, killed = outcomes("", "", "dies", "", "is killed")
    assert first == second != third
    assert os.getpid() not in (first, third)
    assert isinstance(lost, Lost)
    assert isinstance(killed, Lost)


@pytest.mark.reliability("a worker process is stopped")
def test_a_stopped_process_is_ended_after_the_time_for_one_photo():
    first, lost, third = outcomes("", "is stopped", "")
    assert isinstance(lost, Lost)
    assert first != third


def test_tasks_that_come_meanwhile_are_run():
    tasks = deque([Doing()])
    seen = []
    for _, outcome in run_in_child(tasks):
        seen.append(outcome)
        if len(seen) < 3:
            tasks.append(Doing())
    assert len(seen) == 3


def test_errors_come_here_with_their_class_and_place():
    with pytest.raises(UsageError, match="the call was wrong") as found:
        outcomes("misused")
    assert "in run" in str(found.value.__cause__)
    with pytest.raises(Exception, match="Odd: ab"):
        outcomes("raises")


@pytest.mark.reliability("the main process is killed: its workers end")
def test_the_child_ends_with_its_parent(tmp_path: Path):
    lines = (
        "import os, sys; from collections import deque; from pipelines.run.child import run_in_child",
        "from tests.pipelines.run.test_child import Doing",
        "for _, process in run_in_child(deque([Doing(), Doing()])):",
        "    print(process, flush=True); os.kill(os.getpid(), 9)",
    )
    root = Path(__file__).resolve().parents[3]
    call = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(call, cwd=root, capture_output=True, text=True, timeout=60)
    child = int(done.stdout)
    give_up = time.monotonic() + 20
    while Path(f"/proc/{child}/cmdline").exists() and b"spawn" in Path(f"/proc/{child}/cmdline").read_bytes():
        assert time.monotonic() < give_up, "the child goes on without its parent"
        time.sleep(0.05)


class DeadlyTask(FrameTask):
    """Dies on one video, as a broken decoder would."""

    def _rows_of(self, video, skip):
        if "deadly" in video["image"] and not skip:
            os.abort()
        return super()._rows_of(video, skip)


@pytest.mark.reliability("a video kills its process: its row alone is lost, and said")
def test_a_video_that_kills_its_process_costs_its_own_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = tmp_path / "films"
    for name in ("a", "deadly", "z"):
        write_video(root / f"p1/{name}.mp4", 4, (64, 48))
    monkeypatch.setattr(frames, "FrameTask", DeadlyTask)
    call = Call(tmp_path / "space", [root], options=Options(workers=1), quiet=True, say=lambda line: None)
    workspace = open_workspace(call)
    keys = [shard.key for shard in workspace.shards("films") or []]
    rows = [row for key in keys for row in read_part(workspace.scan_path("films", key)).to_pylist()]
    failed = [row for row in rows if row["status"] == "failed"]
    assert [(row["image"], row["reason"]) for row in failed] == [
        ("p1/deadly.mp4", "a worker process died on this video")
    ]
    assert len(rows) == 4 + 1 + 4
