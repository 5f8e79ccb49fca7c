"""Runs a command that a signal hits at a chosen change of a file.

    python -m tests.faults.killed SIGNAL NUMBER deca-data pack --out packed

Just before the NUMBER-th time that the command's own process opens a file for writing, renames, makes, links
or removes one below the current folder, it gets the signal. So the moments are the same in every run, and
none of them is left out. With NUMBER 0 nothing happens; the number of changes then is the last line of
stderr.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def main() -> None:
    """Calls the command with the hook in place."""
    name, number, command, *words = sys.argv[1:]
    count, lock, here = [0], threading.Lock(), os.getcwd() + os.sep

    def watch(event: str, values: tuple[Any, ...]) -> None:
        if event == "open" and not _writes(values):
            return
        if event != "open" and event not in CHANGES:
            return
        path = values[0]
        if isinstance(path, int) or not os.path.abspath(os.fsdecode(path)).startswith(here):
            return
        with lock:
            count[0] += 1
            hit = count[0] == int(number)
        if hit:
            os.kill(os.getpid(), getattr(signal, name))

    import cli

    sys.addaudithook(watch)
    sys.argv = [command, *words]
    try:
        {"deca-data": cli.deca_data_main, "deca": cli.deca_main}[command]()
    finally:
        if number == "0":
            print(count[0], file=sys.stderr)


def _writes(values: tuple[Any, ...]) -> bool:
    path, mode, flags = values
    return not isinstance(path, int) and bool((flags or 0) & WRITES or set(mode or "") & set("wax+"))


if __name__ == "__main__":
    main()
