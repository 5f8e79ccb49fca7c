"""The model of a command: the one that was named, or the newest run, which is said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from commands.printing import say

if TYPE_CHECKING:
    from deca_model.networks.model import Deca


def open_model(
    path: Path | None,
    device: str,
    head_path: Path | None,
    details: bool | None = None,
    *,
    silent: bool,
) -> tuple[Deca, int]:
    """Opens a model, see `deca_model.use.open_model`; unless ``silent``, says which run it took."""
    from deca_model.use import open_model as models

    if path is None:
        path = models.newest_run()
        say(silent)(f"model: {path}, the newest run here (--model names another)")
    return models.open_model(path, device, head_path, details)


def no_model(path: Path | None) -> bool:
    """Whether no model was named and there is no run to take instead."""
    from deca_model.use.open_model import runs

    return path is None and not runs()
