"""A command that a signal ends anywhere, and the same command again: the same bytes as without the signal."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from pipelines.demo.portraits import make_photos
from tests.conftest import ALL, Count
from tests.faults.killed import call

KILLS = 20 if ALL else 1
"""Signals of each kind for each command."""

LINES = {
    "run": "deca-data run ./vggface2 --workers 1 --quiet",
    "build-manifest": "deca-data build-manifest --recipe keep-all --quiet",
    "pack": "deca-data pack --workers 1 --quiet",
    "export": "deca-data export --format deca --quiet",
}
"""Each needs what those before it made."""

LOGS = {"runs.jsonl"}
"""Files that say how long something took."""


def tree(folder: Path) -> dict[str, bytes]:
    """All files but the logs."""
    files = [each for each in sorted(folder.rglob("*")) if each.is_file() and each.name not in LOGS]
    return {str(each.relative_to(folder)): each.read_bytes() for each in files}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few photos; `work` below it is where the commands run."""
    base = tmp_path_factory.mktemp("kills")
    make_photos(base / "all")
    for person in sorted((base / "all/train").iterdir()):
        target = base / "start/vggface2/train" / person.name
        target.mkdir(parents=True)
        for photo in [*sorted(person.glob("00*"))[:4], *sorted(person.glob("01*"))[:2]]:
            shutil.copy2(photo, target)
    return base


def restore(state: Path, work: Path) -> None:
    """Makes ``work`` a copy of ``state``, times of files included."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(state, work, symlinks=True)


@pytest.mark.parametrize("name", LINES)
def test_the_same_command_goes_on_after_any_signal(name: str, before: Path, count: Count):
    state, work = before / f"before-{name}", before / "work"
    restore(before / "start", work)
    for earlier in list(LINES)[: list(LINES).index(name)]:
        assert call(work, LINES[earlier]).code == 0
    restore(work, state)
    whole = call(work, LINES[name])
    assert whole.code == 0, whole.err
    changes, expected = whole.changes, tree(work)
    assert changes > 8
    chance = random.Random(name)
    for signal in ("SIGKILL", "SIGTERM", "SIGINT"):
        for number in chance.sample(range(1, changes + 1), min(KILLS, changes)):
            restore(state, work)
            hit = call(work, LINES[name], signal, number)
            assert hit.code, f"{signal} at change {number} of {changes} did not end the command"
            assert "Traceback" not in hit.err
            again = call(work, LINES[name])
            assert again.code == 0, again.err
            assert tree(work) == expected, f"{signal} at change {number} of {changes}"
            count(f"{name}: {signal}, then the same command", 1)
