"""Where and when figures were measured, in one line."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from manifests.cores import cpu_count


def provenance(code: Path) -> str:
    """Machine, versions, date, commit of the checkout ``code``, and how busy the machine is now."""
    memory = psutil.virtual_memory().total / 1024**3
    machine = f"{_processor()}, {cpu_count()} cores, {memory:.0f} GiB, {_gpus() or 'no GPU'}"
    versions = f"Python {platform.python_version()}, torch {version('torch')}"
    date = datetime.date.today().isoformat()
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    return f"{machine}; {versions}; {date}, {_commit(code)}; {load}."


def _processor() -> str:
    """The CPU's model; Linux says it in a file only."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _gpus() -> str:
    if shutil.which("nvidia-smi") is None:
        return ""
    line = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    found = subprocess.run(line, capture_output=True, text=True)
    return " + ".join(found.stdout.splitlines()) if found.returncode == 0 else ""


def _commit(code: Path) -> str:
    name = _git(code, "rev-parse", "--short", "HEAD")
    if name is None:
        return "no commit known"
    # The document changes with each table; that is no change of the code.
    changes = _git(code, "status", "--porcelain", "--", ".", ":(exclude)BENCHMARKS.md")
    return f"commit {name}" + (" with uncommitted changes" if changes else "")


def _git(folder: Path, *words: str) -> str | None:
    """What git prints; None without git or outside a checkout."""
    try:
        found = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None
