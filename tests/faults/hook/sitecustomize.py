"""Python imports this file at its start where this folder is on its path: it counts changes of files.

`tests.faults.killed` puts the folder there for a command and for the processes that the command starts.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
MADE: dict[str, object] = {}
"""Folders that were counted: several threads may try to make the same one, and only one of them does."""


def watch(event: str, values: tuple[Any, ...]) -> None:
    """Counts a change below the watched folder, and sends the signal at the chosen one."""
    if event == "open":
        path, mode, flags = values
        if not ((flags or 0) & WRITES or set(mode or "") & set("wax+")):
            return
    elif event in CHANGES:
        path = values[0]
    else:
        return
    if isinstance(path, int) or not os.path.abspath(os.fsdecode(path)).startswith(FOLDER):
        return
    own = object()
    if event == "os.mkdir" and MADE.setdefault(os.path.abspath(os.fsdecode(path)), own) is not own:
        return
    # One file for all processes, each change a byte: its length is the number of this change.
    counter = os.open(os.environ["KILL_COUNTER"], os.O_WRONLY | os.O_APPEND)
    os.write(counter, b".")
    count = os.lseek(counter, 0, os.SEEK_CUR)
    os.close(counter)
    if count == int(os.environ["KILL_NUMBER"]):
        os.kill(int(os.environ["KILL_PROCESS"]), getattr(signal, os.environ["KILL_SIGNAL"]))


if "KILL_COUNTER" in os.environ:
    FOLDER = os.path.join(os.environ["KILL_FOLDER"], "")
    sys.addaudithook(watch)
