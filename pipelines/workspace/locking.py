"""One command at a time writes to a workspace, also on file systems without locks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from manifests.errors import UsageError
from manifests.machine_faults import stop_at_machine_fault

LOCK, LOCK_FILE = ".lock", ".lock-holder"
"""The file that is locked; and the file that stands for a lock where the file system has none."""

POLL = 0.1
"""Seconds between two tries."""

_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


@contextmanager
def lock(folder: Path, wait: float = 0.0) -> Iterator[bool]:
    """Holds the lock of a workspace; yields whether the last holder ended without giving it back.

    Args:
        folder: the workspace's folder.
        wait: seconds to wait for another command.

    Raises:
        UsageError: another command holds the lock.
    """
    with open(folder / LOCK, "a+") as file:
        stood_for = not _locked(file.fileno(), folder, wait)
        if stood_for:
            _take_lock_file(folder, wait)
        try:
            file.seek(0)
            killed = bool(file.read())
            _write(file, f"{os.getpid()}\n")
            yield killed
            _write(file, "")
        finally:
            if stood_for:
                (folder / LOCK_FILE).unlink(missing_ok=True)


def _write(file: IO[str], text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


def _locked(file: int, folder: Path, wait: float) -> bool:
    """Locks an open file; returns False if the file system has no locks."""
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            if error.errno not in _HELD:
                stop_at_machine_fault(error)
                raise UsageError(f"--workspace {folder}: it cannot be locked ({error.strerror}).") from error
        if time.monotonic() >= until:
            raise UsageError(
                f"--workspace {folder}: another deca-data command is working in it; wait for it, "
                "or name another workspace."
            )
        time.sleep(POLL)


def _take_lock_file(folder: Path, wait: float) -> None:
    """Makes the file that stands for a lock; that of a dead process of this host is replaced."""
    path, until = folder / LOCK_FILE, time.monotonic() + wait
    while True:
        try:
            made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            holder = _holder(path)
            if holder is not None and holder["host"] == platform.node() and not _alive(holder):
                _remove_stale(path, holder)
            elif time.monotonic() >= until:
                raise UsageError(_held_elsewhere(folder, path, holder)) from None
            else:
                time.sleep(POLL)
            continue
        with open(made, "w") as file:
            json.dump({"host": platform.node(), "process": os.getpid(), "begun": _begun(os.getpid())}, file)
        return


def _remove_stale(path: Path, holder: dict[str, Any]) -> None:
    """Removes the file of a dead process, but not one that another command has put in its place."""
    aside = path.with_name(f"{LOCK_FILE}-{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, aside)
        taken = _holder(aside)
        if taken is not None and taken != holder:  # another command replaced it in between: give it back
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink(missing_ok=True)


def _holder(path: Path) -> dict[str, Any] | None:
    """Reads who made the lock file; None if it is gone or its writer was killed within the write."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"host", "process"} <= set(found) else None


def _alive(holder: dict[str, Any]) -> bool:
    """Whether a process of this host still runs, and is the same that wrote the file."""
    process = holder["process"]
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # of another user, so it is there
    return process != os.getpid() and _begun(process) == holder.get("begun")


def _begun(process: int) -> str | None:
    """When a process began, in the kernel's ticks: numbers of processes are used again; None if unknown."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _held_elsewhere(folder: Path, path: Path, holder: dict[str, Any] | None) -> str:
    who = f"process {holder['process']} on {holder['host']}" if holder else "another command"
    return (
        f"--workspace {folder}: {who} is working in it, says {path}; this file system has no locks, so if "
        "that command is no longer running, remove this file; else wait, or name another workspace."
    )
