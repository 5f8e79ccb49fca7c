"""Who may write to a workspace (locking), also where the file system has no locks."""

from __future__ import annotations

import errno
import fcntl
import json
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from manifests.errors import UsageError
from pipelines.run.bring_up import Call, open_workspace
from pipelines.workspace import locking
from pipelines.workspace.locking import LOCK_FILE, lock
from pipelines.workspace.workspace import Workspace


def raw(tmp_path: Path, name: str, photos: int = 3) -> Path:
    for number in range(photos):
        path = tmp_path / name / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / name


@pytest.mark.reliability("commands at once in one workspace", tried=5)
def test_five_scans_at_once_keep_all_datasets(tmp_path: Path):
    names = [f"set{number}" for number in range(5)]
    roots = [raw(tmp_path, name) for name in names]
    for number in range(6):
        space, together = tmp_path / f"space{number}", Barrier(5)

        def scan(root: Path, space: Path = space, together: Barrier = together) -> None:
            together.wait()
            open_workspace(Call(space, [root], quiet=True, say=lambda line: None, wait=30))

        with ThreadPoolExecutor(5) as pool:  # the lock is that of an open file, so threads are as processes
            list(pool.map(scan, roots))
        workspace = Workspace.open(space)
        assert list(workspace.datasets) == names
        assert [sum(shard.rows for shard in workspace.shards(name) or []) for name in names] == [3] * 5


def test_the_lock_comes_before_the_scan(tmp_path: Path):
    root, space = raw(tmp_path, "set"), Workspace.open(tmp_path / "space")
    with space.locked():
        with pytest.raises(UsageError, match="another deca-data command is working in it"):
            open_workspace(Call(tmp_path / "space", [root], quiet=True, say=lambda line: None))
    assert Workspace.open(tmp_path / "space").datasets == {}


@pytest.mark.reliability("commands at once in one workspace", tried=2)
def test_what_another_command_wrote_is_read_with_the_lock(tmp_path: Path):
    early = Workspace.open(tmp_path / "space")
    open_workspace(Call(tmp_path / "space", [raw(tmp_path, "set")], quiet=True, say=lambda line: None))
    assert early.datasets == {}
    with early.locked():
        assert list(early.datasets) == ["set"]


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks, such as some NFS and Lustre mounts."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.reliability("a file system without locks", tried=2)
def test_without_locks_a_file_stands_for_the_lock(tmp_path: Path, no_locks: None):
    with lock(tmp_path):
        holder = json.loads((tmp_path / LOCK_FILE).read_text())
        assert holder["host"] == platform.node()
        with pytest.raises(UsageError, match=r"process \d+ on .*this file system has no locks.*remove this"):
            with ThreadPoolExecutor(1) as other:
                # as another command sees it: its own process number does not count as alive
                holder["process"] = 1
                holder["begun"] = locking._begun(1)
                (tmp_path / LOCK_FILE).write_text(json.dumps(holder))
                other.submit(lambda: lock(tmp_path).__enter__()).result()
    assert not (tmp_path / LOCK_FILE).exists()
    with lock(tmp_path):
        pass


@pytest.mark.parametrize("begun", [None, "1"])
@pytest.mark.reliability("a file system without locks")
def test_the_file_of_a_dead_process_of_this_host_does_not_count(tmp_path: Path, no_locks: None, begun):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    # with "1", a process that has the number now, but began at another time
    process = ended.pid if begun is None else 1
    text = json.dumps({"host": platform.node(), "process": process, "begun": begun})
    (tmp_path / LOCK_FILE).write_text(text)
    with lock(tmp_path):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["process"] != process


@pytest.mark.parametrize("text", ['{"host": "other", "process": 1, "begun": null}', "", "[1]"])
@pytest.mark.reliability("a file system without locks")
def test_the_file_of_another_host_counts(tmp_path: Path, no_locks: None, text: str):
    (tmp_path / LOCK_FILE).write_text(text)
    with pytest.raises(UsageError, match="remove this file"), lock(tmp_path):
        pass
    assert (tmp_path / LOCK_FILE).read_text() == text


@pytest.mark.reliability("files that a killed command left")
def test_what_a_killed_command_left_is_removed_by_the_next(tmp_path: Path):
    workspace = Workspace.open(tmp_path / "space")
    (workspace.path / ".lock").write_text("4711\n")  # its holder did not give it back
    marker = workspace.marker_path("set", "abc")
    left = [
        workspace.path / "masks/set/.part-0a1b2c3d-1.png",
        workspace.path / ".part-0a1b2c3d-workspace.json",
        marker,
    ]
    own = [workspace.path / "masks/set/1.png", workspace.path / "masks/set/.at-home"]
    for path in [*left, *own]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    with workspace.locked():
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in own)
        marker.write_bytes(b"1")
    with workspace.locked():
        assert marker.exists()  # the last holder ended well, so there is no search
