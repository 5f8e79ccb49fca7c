"""Runs benchmarks as processes and writes their tables into the document.

A benchmark prints Markdown on standard output, and progress and remarks on standard error. Exit code 0 says
that the table is good.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.provenance import provenance
from benchmarks.tables import write_table
from manifests.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]


class Job(NamedTuple):
    """A benchmark to run.

    Attributes:
        name: its markers in the document.
        shown: the command line as the document shows it, without paths of this machine.
        command: the command line.
        one_thread: run it with `OMP_NUM_THREADS=1`.
    """

    name: str
    shown: str
    command: Sequence[str]
    one_thread: bool = False


def run_all(jobs: Sequence[Job], document: Path) -> list[str]:
    """Runs the jobs one after the other; each table is written when its benchmark ends.

    Returns:
        The names of those that failed, or whose table could not be written; their old tables stay.
    """
    failed = []
    for job in jobs:
        print(f"\n$ {job.shown}", file=sys.stderr, flush=True)
        try:
            write_table(document, job.name, _measured(job))
        except (subprocess.CalledProcessError, UsageError) as error:
            print(error, file=sys.stderr)
            failed.append(job.name)
    return failed


def _measured(job: Job) -> str:
    """Command, table and provenance."""
    where = provenance(ROOT)  # before the benchmark itself loads the machine
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} if job.one_thread else None
    done = subprocess.run(job.command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    if "| --- |" not in done.stdout:
        raise UsageError(f"{job.shown}: this printed no table on standard output.")
    print(done.stdout, flush=True)
    return f"`{job.shown}`\n\n{done.stdout.strip()}\n\n{where}"
