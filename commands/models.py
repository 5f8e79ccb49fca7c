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
    teeth: bool = True,
) -> tuple[Deca, int]:
    """Opens a model, see `deca_model.use.open_model`; unless ``silent``, says which run it took.

    Raises:
        UsageError: as there; or the rasteriser is unknown or not installed.
    """
    from deca_model.use import open_model as models

    if path is None:
        path = models.newest_run()
        say(silent)(f"model: {path}, the newest run here (--model names another)")
        say(silent)(f"  {_reached(path)}; `deca fit` makes heads without a model")
    network, size = models.open_model(path, device, head_path, details, teeth)
    choose_rasterizer(network, rasterizer)
    return network, size


def choose_rasterizer(network: Deca, name: str | None) -> None:
    """Draws heads with this rasteriser, from here on; None keeps the model's own.

    Raises:
        UsageError: it is unknown or not installed.
    """
    from deca_model.render.rasterize import kernels

    if name is not None:
        kernels(name, network.head.template.device)  # says so if it cannot be used
        network.renderer.backend = name


def _reached(run: Path) -> str:
    """How far a run has come, and how near its faces are to held-out photos, as far as it was measured."""
    from deca_model.training.records import read_metrics

    for stage in ("expression", "detail", "coarse", "pretrain", ""):
        records = read_metrics(run / stage / "metrics.jsonl")
        if records:
            break
    else:
        return "its steps are unknown"
    errors = [each["landmark_error_median"] for each in records if "landmark_error_median" in each]
    unit = "% of the inter-ocular distance"
    error = f"median landmark error {errors[-1]:.1f} {unit}" if errors else "not measured"
    return f"{records[-1]['step']} steps{f' of {stage}' if stage else ''}, {error}"


def no_model(path: Path | None) -> bool:
    """Whether no model was named and there is no run to take instead."""
    from deca_model.use.open_model import runs

    return path is None and not runs()
