"""The demo's photos, a model trained on them, and ways to call the commands as a user does."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import pytest

from cli import deca
from commands.exit_codes import run_app
from pipelines.demo.portraits import make_photos
from pipelines.workspace.workspace import Dataset, Workspace

REPOSITORY = Path(__file__).resolve().parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]
Found = TypeVar("Found")
PERSON, DRIVER = "vggface2/train/n000001/0001_01.jpg", "vggface2/train/n000002/0002_01.jpg"
TRUNCATED, FACELESS = "vggface2/train/n000001/0101_01.jpg", "vggface2/train/n000001/0102_01.jpg"
SMALL = """--set pretrain.steps=2 --set coarse.steps=1 --set detail.steps=1 --set pretrain.subjects=2
    --set coarse.subjects=2 --set detail.subjects=2 --set data.size=64 --set model.uv_size=64
    --set model.render_size=64 --set data.workers=0 --set log.validation_faces=2 --set log.picture_faces=1"""
"""Settings under which a training run of all stages takes seconds."""


def environment() -> dict[str, str]:
    """The environment of a user's shell in which the commands are on the path."""
    folder = str(Path(sys.executable).parent)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DECA_")}
    return {**kept, "PATH": folder + os.pathsep + os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)}


def wait_for(event: Callable[[], Found], seconds: float = 300) -> Found:
    """What the event returns, as soon as that is true; it is an error if nothing happens for so long."""
    give_up = time.monotonic() + seconds
    while not (found := event()):
        assert time.monotonic() < give_up, f"nothing happened for {seconds:g} s"
        time.sleep(0.01)
    return found


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


class Done(NamedTuple):
    code: int
    out: str
    err: str


Call = Callable[[str], Done]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A folder with raw photos, manifests and runs/001, made by the commands."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "vggface2").symlink_to(photos)
    for line in (
        "deca-data run ./vggface2 --workers 1",
        "deca-data build-manifest --recipe keep-all --workers 1",
        f"deca train --manifest train.parquet --preset cpu --stage all {SMALL}",
    ):
        shell(folder, line)
    return folder


def shell(folder: Path, line: str) -> str:
    """What a command prints, run as a user runs it."""
    words = shlex.split(line)
    names = {**environment(), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, env=names, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def call(trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `deca` in this process, in the folder of ``trained``: the exit code and what it printed."""
    monkeypatch.chdir(trained)

    def run(line: str) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["deca", *shlex.split(line)])
        with pytest.raises(SystemExit) as exit_:
            run_app(deca)
        captured = capsys.readouterr()
        return Done(int(exit_.value.code or 0), captured.out, captured.err)

    return run


def small_shards(folder: Path, photos: Path, rows: int = 5) -> Workspace:
    """A workspace in which the photos will be cut into shards of about ``rows``: jobs enough for a death."""
    workspace = Workspace.open(folder / "deca-workspace")
    workspace.add_dataset(Dataset(name="vggface2", source="vggface2", root=photos.resolve(), shard_size=rows))
    return workspace


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
