"""One training step, and reading its figures."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from deca_model.data.loading import FaceBatch
from deca_model.settings.groups import TrainingConfig
from deca_model.training.compiling import begin_step
from deca_model.training.processes import Processes
from deca_model.training.state import State
from deca_model.training.step_figures import StepFigures, at_once


def train_step(
    state: State, batch: FaceBatch, config: TrainingConfig, group: Processes, folder: Path
) -> None:
    """Make one step; ``state.unread`` gets its losses, their weighted sum, the gradient's norm, and counts.

    A step whose losses or gradient are not finite changes nothing; ``step_figures`` tells when the error
    comes.

    Raises:
        NonFiniteLoss: on a CPU: a loss or the gradient of this step is not finite.
    """
    begin_step(config.run, group.device)
    losses, counts = state.module(batch)
    weighted = [getattr(config.loss, name) * loss for name, loss in losses.items()]
    total = torch.stack(weighted).sum()
    state.optimizer.zero_grad(set_to_none=True)
    total.backward()
    parameters = [p for p in state.stage.trainable().parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    # One tensor for all figures, because each transfer from a GPU waits for it.
    names = (*losses, "total", "gradient_norm", *counts)
    own = torch.stack([v.detach().float() for v in (*losses.values(), total, norm, *counts.values())])
    figures = StepFigures(state.step + 1, batch, names, own, own)
    if at_once(group.device):
        figures.values(folder)
    if group.world > 1:
        figures.mean = group.mean(own.clone())
    if not at_once(group.device):
        _take_no_step_from(state, ~figures.mean.isfinite().all())
    if config.optimizer.clip is not None:
        nn.utils.clip_grads_with_norm_(parameters, config.optimizer.clip, norm)
    state.optimizer.step()
    state.scheduler.step()
    state.step += 1
    figures.rate = {"learning_rate": float(state.scheduler.get_last_lr()[0]), "epoch": batch.position[0]}
    state.unread.append(figures)


def read_back(state: State, folder: Path) -> list[tuple[int, dict[str, float]]]:
    """The steps that are not read yet, and their figures as means over the processes.

    Args:
        state: its ``unread`` steps are forgotten.
        folder: the run folder.

    Raises:
        NonFiniteLoss: some figures are not finite; names the first such step.
    """
    unread, state.unread = state.unread, []
    return [(figures.step, figures.values(folder)) for figures in unread]


def _take_no_step_from(state: State, bad: Tensor) -> None:
    """Let the optimiser's steps change nothing from the first bad step on; nothing is read back."""
    state.spoilt = bad if state.spoilt is None else state.spoilt | bad
    # Adam's fused kernels look at this number; torch's GradScaler uses it in the same way.
    state.optimizer.found_inf = state.spoilt.float()  # type: ignore[attr-defined]
