"""The folder of a run: only one command at a time writes to it, and a run that was stopped goes on in it."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from deca_model.settings.groups import TrainingConfig
from deca_model.training.checkpoints import checkpoints
from manifests.errors import UsageError
from manifests.files import remove_left, writable_folder, write_atomic

RUNS = Path("runs")
RECORD = "run.json"
"""What a run was started with, and whether it has ended."""

_LOCK = ".lock"


class Claimed(NamedTuple):
    """A run folder that this command may write to, and whether its run goes on."""

    folder: Path
    resume: bool


def run_inputs(
    config: TrainingConfig, manifest: str, start_from: Path | None, processes: int = 1
) -> dict[str, Any]:
    """What makes two runs the same: settings, the fingerprint of the faces, first weights, processes.

    The loader's processes are left out, because they do not change a run.
    """
    settings = config.model_dump(mode="json")
    settings["data"] = {k: v for k, v in settings["data"].items() if k not in ("workers", "timeout")}
    start = None if start_from is None else str(start_from.absolute())
    return {"settings": settings, "manifest": manifest, "start_from": start, "processes": processes}


@contextmanager
def claim_folder(
    out: Path | None, resume: bool, inputs: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[Claimed]:
    """Lock the folder of a run, and record that the run has ended when the block ends without an error.

    Args:
        out: the run folder; None takes ``runs/NNN``: the newest with ``resume``, else one whose run has the
            same ``inputs`` and has not ended, else a new one.
        resume: whether a run must go on.
        inputs: see ``run_inputs``. A run with the same inputs that has not ended goes on in any case.
        say: receives a sentence if a run goes on without ``resume``.

    Raises:
        UsageError: there is nothing to resume, the folder holds another run, it cannot be written, or another
            command is writing to it.
    """
    with _locked_folder(out, resume, inputs, say) as (folder, goes_on):
        for place, _, _ in os.walk(folder):  # what a command that was killed left
            remove_left(Path(place))
        record = {"format": 1, "ended": False, **inputs}
        _write(folder, record)
        yield Claimed(folder, goes_on)
        _write(folder, {**record, "ended": True})


@contextmanager
def _locked_folder(
    out: Path | None, resume: bool, inputs: Mapping[str, Any], say: Callable[[str], None]
) -> Iterator[Claimed]:
    if out is None and resume and not _numbered():
        raise UsageError("--resume: there is no run in ./runs yet; name its folder with --out.")
    if out is None and not resume:
        with _same_or_new(inputs, say) as claimed:
            yield claimed
        return
    folder = _numbered()[-1] if out is None else writable_folder(out, f"--out {out}")
    with _lock(folder, say) as free:
        if not free:
            raise UsageError(
                f"{folder}: another `deca train` is writing to this run folder; wait for it, or choose "
                "another --out."
            )
        begun = bool(_saved(folder))
        if begun and not resume:
            if not _is_unfinished(folder, inputs):
                raise UsageError(
                    f"{folder}: this folder already holds a run; continue it with --resume, or choose "
                    "another --out."
                )
            say(_going_on(folder))
        yield Claimed(folder, resume or begun)


@contextmanager
def _same_or_new(inputs: Mapping[str, Any], say: Callable[[str], None]) -> Iterator[Claimed]:
    """An unfinished run of the same inputs that no other command continues, else a new folder."""
    writable_folder(RUNS, str(RUNS))
    for folder in reversed(_numbered()):
        if not _may_take(folder, inputs):
            continue
        with _lock(folder, say) as free:
            if free and _may_take(folder, inputs):
                if begun := bool(_saved(folder)):
                    say(_going_on(folder))
                yield Claimed(folder, begun)
                return
    while True:
        folder = _new_folder()
        with _lock(folder, say) as free:
            if free:  # otherwise another command took it as one that was left
                yield Claimed(folder, False)
                return


def _going_on(folder: Path) -> str:
    step = _saved(folder)[-1].stem.removeprefix("step-").lstrip("0")
    return (
        f"{folder}: a run with these settings and this manifest was stopped here; it goes on from step "
        f"{step or 0} (another --out starts a new run)"
    )


def _numbered() -> list[Path]:
    """The folders runs/001, runs/002, ..., by number."""
    found = [path for path in RUNS.glob("*") if re.fullmatch(r"\d{3,}", path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def _new_folder() -> Path:
    """Make the next folder; of two commands at once, each gets its own."""
    number = max((int(path.name) for path in _numbered()), default=0)
    while True:
        number += 1
        try:
            (RUNS / f"{number:03d}").mkdir()
        except FileExistsError:
            continue
        return RUNS / f"{number:03d}"


@contextmanager
def _lock(folder: Path, say: Callable[[str], None]) -> Iterator[bool]:
    """Hold the lock of a folder and yield true, or false if another command holds it."""
    with (folder / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError as error:
            say(f"{folder}: this file system has no locks ({error.strerror}); start no second run in it")
        yield True


def _saved(folder: Path) -> Sequence[Path]:
    """The checkpoints of a run, those of its last stage at the end."""
    found = [path for place in (folder, *folder.glob("*")) for path in checkpoints(place / "checkpoints")]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def _may_take(folder: Path, inputs: Mapping[str, Any]) -> bool:
    """Whether the folder has an unfinished run of these inputs, or none, as a command was killed early."""
    return _is_unfinished(folder, inputs) or all(path.name.startswith(".") for path in folder.iterdir())


def _is_unfinished(folder: Path, inputs: Mapping[str, Any]) -> bool:
    """Whether the folder records a run of these inputs that has not ended."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return False
    same = json.loads(json.dumps(inputs))
    return isinstance(record, dict) and record == {"format": 1, "ended": False, **same}


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    write_atomic(folder / RECORD, json.dumps(record, indent=1, sort_keys=True).encode())
