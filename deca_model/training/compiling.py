"""Compiling the parts of a stage with torch.compile.

Compiled are the networks, the head and the renderer, each by itself. The rasteriser is left as it is: its
kernels are compiled already, by numba or Triton. The small formulas of the losses are not compiled.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from deca_model.settings.groups import RunSettings
from deca_model.training.stages.registry import Stage


def compile_parts(stage: Stage, run: RunSettings, device: torch.device) -> None:
    """Let each part be compiled when it is first called."""
    mode = "reduce-overhead" if run.graphs and device.type == "cuda" else None
    renderer: Any = stage.model.renderer
    renderer.rasterize = torch.compiler.disable(renderer.rasterize)
    for part in parts(stage):
        part.compile(mode=mode)


def begin_step(run: RunSettings, device: torch.device) -> None:
    """Tell the CUDA graphs that what they gave in the last step is no longer needed."""
    if run.compile and run.graphs and device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()


def parts(stage: Stage) -> list[nn.Module]:
    """The modules that are compiled: those that a step calls."""
    model = stage.model
    details = [] if model.detail is None else [model.detail.encoder, model.detail.decoder]
    wanted = [model.coarse, model.expression, *details, model.head, model.renderer, model.albedo]
    networks = getattr(stage, "networks", nn.ModuleDict())
    return [part for part in (*wanted, *networks.values()) if isinstance(part, nn.Module)]
