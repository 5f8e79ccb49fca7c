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
    rasterizer: str | None = None,
) -> tuple[Deca, int]:
    """Opens a model, see `deca_model.use.open_model`; unless ``silent``, says which run it took.

    Raises:
        UsageError: as there; or the rasteriser is unknown or not installed.
    """
    from deca_model.render.rasterize import kernels
    from deca_model.use import open_model as models

    if path is None:
        path = models.newest_run()
        say(silent)(f"model: {path}, the newest run here (--model names another)")
    network, size = models.open_model(path, device, head_path, details)
    if rasterizer is not None:
        kernels(rasterizer, network.head.template.device)  # says so if it cannot be used
        network.renderer.backend = rasterizer
    return network, size


def no_model(path: Path | None) -> bool:
    """Whether no model was named and there is no run to take instead."""
    from deca_model.use.open_model import runs

    return path is None and not runs()
