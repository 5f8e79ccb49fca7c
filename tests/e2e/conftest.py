"""The demo's photos, and a way to call the commands as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.demo_photos import make_photos

REPOSITORY = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    """The environment of a user's shell in which the commands are on the path."""
    folder = str(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DECA_")}
    return {**kept, "PATH": folder + os.pathsep + os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's raw folder in VGGFace2's layout: 37 photos, five of them faulty."""
    root = tmp_path_factory.mktemp("raw") / "vggface2"
    make_photos(root)
    return root


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command line in an empty folder and returns the finished process."""

    def call(line: str, timeout: float = 300, **names: object) -> subprocess.CompletedProcess[str]:
        words = [word.format(**names) for word in line.split()]
        return subprocess.run(
            words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=timeout
        )

    return call
