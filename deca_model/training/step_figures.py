"""The losses of the steps, read back from a GPU only now and then.

A read-back makes the host wait for the device, which then waits for the host. On a CPU nothing waits: there
the figures of a step are read and checked before the optimiser moves. On a GPU the check is made there: from
the first step on whose loss or gradient is not finite, the optimiser's steps change nothing, and the next
read-back raises the error of that step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from deca_model.data.loading import FaceBatch
from deca_model.settings.groups import LogSettings
from deca_model.training.finite_check import NonFiniteLoss, check_finite

READ_EVERY = 10
"""Steps between read-backs, at most: so many batches stay on the device, for the error's file."""


@dataclass
class StepFigures:
    """The losses, the gradient's norm and the counts of one step."""

    step: int
    batch: FaceBatch
    names: tuple[str, ...]
    own: Tensor  # (N,) of this process
    mean: Tensor  # (N,) over the processes
    rate: dict[str, float] = field(default_factory=dict)  # figures that the host knows

    def values(self, folder: Path) -> dict[str, float]:
        """Read the means back.

        Raises:
            NonFiniteLoss: one is not finite; the batch is saved to the run folder ``folder``.
        """
        own, mean = torch.stack([self.own, self.mean]).tolist()
        check_finite(dict(zip(self.names, own, strict=True)), self.batch, self.step, folder)
        bad = [name for name, value in zip(self.names, mean, strict=True) if not math.isfinite(value)]
        if bad:
            raise NonFiniteLoss(f"step {self.step}: {', '.join(bad)} is not finite in another process.")
        return {**dict(zip(self.names, mean, strict=True)), **self.rate}


def at_once(device: torch.device) -> bool:
    """Whether the figures of each step are read before the optimiser moves."""
    return device.type == "cpu"


def due(step: int, total: int, log: LogSettings, device: torch.device) -> bool:
    """Whether figures are read back after this step; the same in all processes."""
    return (
        at_once(device)
        or step == total
        or any(step % every == 0 for every in (READ_EVERY, log.every, log.checkpoint_every))
    )
