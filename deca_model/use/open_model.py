"""Opening a trained model for inference: a run folder, a checkpoint, or DECA's ``model.tar``."""

from __future__ import annotations

import re
from pathlib import Path

from deca_model.networks.model import Deca, resolve_device
from deca_model.networks.official_checkpoint import CROP_SCALE, CROP_SIZE, ENDING, load_official_model
from deca_model.settings.groups import ModelSettings, RunSettings
from deca_model.use.inference import load_model
from manifests.errors import UsageError

RUNS = Path("runs")


def open_model(
    path: str | Path | None = None,
    device: str = "auto",
    head_path: Path | None = None,
    details: bool | None = None,
    teeth: bool = True,
) -> tuple[Deca, int]:
    """Open a model.

    Args:
        path: a run folder, a checkpoint (``.pt``), or the official ``model.tar``; None takes the newest run
            in ``./runs``.
        device: auto, cpu, cuda or cuda:N.
        head_path: the head's file, if it moved since the training; the official model needs FLAME's.
        details: True requires detail networks, False drops them, None keeps those that the model has.
        teeth: whether the open head gets teeth; they are no part of what is compared with scans.

    Returns:
        The model in evaluation mode, and the side of its crops in pixels.

    Raises:
        UsageError: there is no such model, a file that it needs is missing, or it has no details.
    """
    path = newest_run() if path is None else Path(path)
    if not path.exists():
        raise UsageError(f"--model {path}: there is no such model; {_TRAIN}")
    place = resolve_device(device)
    if path.suffix == ENDING:
        model, size = _open_official(path, head_path), CROP_SIZE
    else:
        model, size = load_model(path, place, head_path, teeth=teeth)
    if details and model.detail is None:
        raise UsageError(f"--details: {path} has none; train them with `deca train --stage detail`.")
    if details is False:
        model.detail = None
    return model.to(place).eval(), size


_TRAIN = "train one with `deca train --manifest train.parquet`."


def runs() -> list[Path]:
    """Returns the folders of the runs in ``./runs`` that have a checkpoint, oldest first."""
    places = [path for path in RUNS.glob("*") if re.fullmatch(r"\d{3,}", path.name) and path.is_dir()]
    found = sorted(places, key=lambda path: int(path.name))
    return [run for run in found if any(run.glob("checkpoints/*.pt")) or any(run.glob("*/checkpoints/*.pt"))]


def newest_run() -> Path:
    """Returns the folder of the newest run in ``./runs`` that has a checkpoint.

    Raises:
        UsageError: there is none.
    """
    begun = runs()
    if not begun:
        raise UsageError(f"there is no model in ./{RUNS} yet: give one with --model, or {_TRAIN}")
    return begun[-1]


def _open_official(path: Path, head_path: Path | None) -> Deca:
    if head_path is None:
        raise UsageError(
            f"--model {path}: DECA's model was trained on FLAME; give FLAME's file with --head-path."
        )
    settings = ModelSettings(head="flame", head_path=head_path)
    model, _ = load_official_model(path, settings, RunSettings())
    model.crop_scale = CROP_SCALE
    return model
