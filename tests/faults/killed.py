"""Runs a command that a signal hits at a chosen change of a file.

Just before the chosen one of all times that the command, or a process that it starts, opens a file for
writing, renames, makes, links or removes one below the working folder, the command gets the signal. So the
moments are the same in every run, and any of them can be chosen. See `hook/sitecustomize.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.e2e.conftest import environment

HOOK = Path(__file__).parent / "hook"

_START = """
import os, sys
os.environ["KILL_PROCESS"] = str(os.getpid())
sys.path.remove(os.environ["KILL_HOOK"])  # it stays in PYTHONPATH for the processes that are started
import cli
sys.argv = sys.argv[1:]
{"deca-data": cli.deca_data_main, "deca": cli.deca_main}[sys.argv[0]]()
"""


class Ended(NamedTuple):
    """How a command ended: its exit code (negative: a signal), what it printed, and the changes it made."""

    code: int
    err: str
    changes: int


def call(folder: Path, line: str, signal: str = "SIGKILL", number: int = 0) -> Ended:
    """Runs ``line`` in ``folder``; it gets ``signal`` just before change ``number``, counted from 1."""
    counter = folder.with_name(f"{folder.name}.changes")
    counter.write_bytes(b"")
    names = environment()
    names |= {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(HOOK) + os.pathsep + names["PYTHONPATH"],
        "KILL_HOOK": str(HOOK),
        "KILL_COUNTER": str(counter),
        "KILL_FOLDER": str(folder),
        "KILL_NUMBER": str(number),
        "KILL_SIGNAL": signal,
        "KILL_PROCESS": "0",
    }
    words = [sys.executable, "-c", _START, *line.split()]
    done = subprocess.run(words, cwd=folder, env=names, capture_output=True, text=True, timeout=300)
    return Ended(done.returncode, done.stderr, counter.stat().st_size)
