"""The check between the backward pass and the optimiser: no step is taken on a non-finite loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from deca_model.data.loading import FaceBatch
from manifests.errors import WorkFailed
from manifests.files import atomic_path


class NonFiniteLoss(WorkFailed):
    """A loss or the gradient is not finite; the message names the losses, the batch and the saved file."""


def check_finite(values: Mapping[str, float], batch: FaceBatch, step: int, folder: Path) -> None:
    """Stop the run if a loss or the gradient's norm is not finite.

    The batch is saved to ``folder`` as a dictionary of tensors, for inspection.

    Args:
        values: the losses and ``gradient_norm`` of this step.
        batch: the batch of this step.
        step: number of the step that is not taken.
        folder: the run folder.

    Raises:
        NonFiniteLoss: something is not finite. This step has not changed the model.
    """
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if not bad:
        return
    path = folder / f"non-finite-step-{step:08d}.pt"
    tensors = {
        field.name: value.cpu() if isinstance(value, Tensor) else list(value)
        for field in fields(batch)
        if (value := getattr(batch, field.name)) is not None
    }
    with atomic_path(path) as temporary:
        torch.save({"step": step, "values": dict(values), **tensors}, temporary)
    raise NonFiniteLoss(
        f"step {step}: {', '.join(bad)} is not finite, so the step was not taken; the batch is saved as "
        f"{path} ({', '.join(batch.sample_ids)}); lower the learning rate or set optimizer.clip, then "
        "continue with --resume."
    )
