"""Checkpoints: the whole state of a run, so that a resumed run equals an uninterrupted one.

A checkpoint holds only tensors and plain values: it loads with ``weights_only=True`` and cannot run code. The
number of steps is also the sampler's position, because a batch depends only on the seed and that number.
Every part of the file has a checksum (CRC-32), which is compared before the file is used.
"""

from __future__ import annotations

import random
import re
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deca_model.settings.groups import STAGES
from manifests.errors import UsageError
from manifests.files import atomic_path

FORMAT = 1
_PARTS = {"step": int, "model": dict, "config": dict}
_NAME = re.compile(r"step-(\d{8})\.pt")


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def save_checkpoint(
    folder: Path, step: int, parts: Mapping[str, Any], keep: int, best: int | None = None
) -> Path:
    """Write ``folder/step-NNNNNNNN.pt`` atomically, and remove old checkpoints.

    Args:
        folder: the checkpoints' folder.
        step: number of steps made.
        parts: what to save besides the states of the random number generators.
        keep: number of newest checkpoints to keep.
        best: step of the checkpoint that is the run's result and is kept too; None: it is the newest.
    """
    path = folder / _name(step)
    with atomic_path(path) as temporary:
        torch.save({"format": FORMAT, "step": step, "random": random_state(), **parts}, temporary)
    for old in checkpoints(folder)[:-keep]:
        if best is None or old.name != _name(best):
            old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def result(folder: Path) -> Path:
    """The checkpoint that is the result of a run folder: the best one if the run has it, else the newest.

    Raises:
        UsageError: there is none that is intact.
    """
    newest = newest_intact(folder) or newest_intact(folder / "checkpoints")
    if newest is None:
        raise UsageError(f"{folder}: there is no checkpoint in this folder.")
    best = _read(newest, only_look=True).get("best", {}).get("step")
    return newest if best is None else newest.with_name(_name(best))


def last_stage(path: Path) -> Path:
    """The folder of the last stage that was started in a run of all stages; other paths stay as they are."""
    if path.is_dir() and not (path / "checkpoints").is_dir():
        begun = [path / stage for stage in reversed(STAGES) if (path / stage / "checkpoints").is_dir()]
        return begun[0] if begun else path
    return path


def newest_intact(folder: Path, say: Callable[[str], None] = _to_stderr) -> Path | None:
    """The newest checkpoint of a folder that is intact; None if the folder has no checkpoint.

    Args:
        folder: the checkpoints' folder.
        say: receives a sentence for each newer checkpoint that is damaged.

    Raises:
        UsageError: all are damaged; names the newest.
    """
    damaged: list[UsageError] = []
    for path in reversed(checkpoints(folder)):
        try:
            check_intact(path)
        except UsageError as error:
            damaged.append(error)
            continue
        for each in damaged:
            say(f"{each} The one before is used, {path.name}.")
        return path
    if damaged:
        raise damaged[0]
    return None


def check_intact(path: Path) -> None:
    """Compare each part of a checkpoint with its checksum, which torch writes but does not read.

    Raises:
        UsageError: the file is cut off, changed, or no checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if entry.compress_type != zipfile.ZIP_STORED:  # torch does not compress
                    raise zipfile.BadZipFile(f"{entry.filename} is compressed")
            wrong = archive.testzip()
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such checkpoint.") from None
    except Exception as error:  # a damaged archive raises errors of many kinds
        raise UsageError(f"{path}: this is not a readable checkpoint; it is cut off or damaged.") from error
    if wrong is not None:
        part = wrong.partition("/")[2]  # before it stands the temporary name that the file was written under
        raise UsageError(f"{path}: this checkpoint is damaged: the checksum of {part} is wrong.")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, or the ``result`` of a run folder.

    Raises:
        UsageError: there is none, it is damaged, or the file is not a checkpoint of this program.
    """
    path = result(path) if path.is_dir() else path
    check_intact(path)
    return _read(path)


class Misfit(UsageError):
    """The weights of a checkpoint are those of a model with other settings."""


def load_weights(model: nn.Module, state: Mapping[str, Any], path: Path) -> list[str]:
    """Load a checkpoint's weights into a model; each submodule must be complete or absent in the checkpoint.

    Args:
        model: the model to fill.
        state: the ``model`` part of a checkpoint.
        path: the checkpoint's file, for the error message.

    Returns:
        The submodules that the checkpoint lacks; they keep their random weights.

    Raises:
        Misfit: names the first tensor that is missing, not expected, or of another shape.
        UsageError: names one whose numbers are not finite.
    """
    wanted = model.state_dict()
    groups = {name.split(".")[0] for name in wanted}
    present = {name.split(".")[0] for name in state}
    expected = {name: value for name, value in wanted.items() if name.split(".")[0] in present}
    for name in sorted(set(expected) | set(state)):
        if name not in state or name not in expected:
            fault = "is missing from it" if name not in state else "is not part of this model"
            raise Misfit(f"{path}: {name} {fault}; use the model settings of the checkpoint's run.")
        if state[name].shape != expected[name].shape:
            shapes = f"{tuple(state[name].shape)}, here it is {tuple(expected[name].shape)}"
            raise Misfit(f"{path}: the shape of {name} is {shapes}; use the model settings of its run.")
        if expected[name].is_floating_point() and not torch.isfinite(state[name]).all():
            raise UsageError(f"{path}: {name} holds numbers that are not finite; take another checkpoint.")
    model.load_state_dict({**wanted, **state})
    return sorted(groups - present)


def put_aside(folder: Path, newest: Path | None) -> None:
    """Rename checkpoints that are newer than ``newest``, which are damaged, to ``damaged-...``."""
    for path in checkpoints(folder):
        if newest is not None and path.name > newest.name:
            path.replace(path.with_name(f"damaged-{path.name}"))


def random_state() -> dict[str, Any]:
    """The states of all random number generators, as tensors and plain values."""
    twister: Any = np.random.get_state(legacy=False)
    version, numbers, following = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": {
            "keys": torch.from_numpy(twister["state"]["key"].astype(np.int64)),
            "place": int(twister["state"]["pos"]),
            "has_gauss": int(twister["has_gauss"]),
            "gauss": float(twister["gauss"]),
        },
        "python": [version, list(numbers), following],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Restore the states from ``random_state``."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    twister = state["numpy"]
    keys = twister["keys"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, twister["place"], twister["has_gauss"], twister["gauss"]))
    version, numbers, following = state["python"]
    random.setstate((version, tuple(numbers), following))


def seed_everything(seed: int) -> None:
    """Seed python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _name(step: int) -> str:
    return f"step-{step:08d}.pt"


def _read(path: Path, only_look: bool = False) -> dict[str, Any]:
    """Read a checkpoint; ``only_look`` maps its tensors instead of copying them."""
    if not path.is_file():
        raise UsageError(f"{path}: there is no such checkpoint.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=only_look)
    except Exception as error:  # torch raises many types here, whose texts advise to trust the file
        raise UsageError(
            f"{path}: this is not a readable checkpoint; it is damaged, or holds more than tensors and plain "
            "values."
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise UsageError(f"{path}: this is not a checkpoint of `deca train` (format {FORMAT}).")
    wrong = [name for name, kind in _PARTS.items() if not isinstance(state.get(name), kind)]
    if wrong or not all(isinstance(value, Tensor) for value in state["model"].values()):
        raise UsageError(f"{path}: this checkpoint has no valid {(wrong or ['model'])[0]!r}.")
    return state
