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

_ADVICE = (
    "lower the learning rate (optimizer.learning_rate, or the stage's own) or set optimizer.clip, then "
    "continue with --resume."
)


class NonFinite(WorkFailed):
    """The training has diverged: something is not finite; the last checkpoint is usable."""


class NonFiniteLoss(NonFinite):
    """A loss or the gradient is not finite; the message names the losses, the batch and the saved file."""


def check_output(landmarks: Tensor) -> None:  # (B, 68, 2)
    """Check the landmarks of a model before figures are computed or pictures are drawn from them.

    Raises:
        NonFinite: one is not finite.
    """
    if not torch.isfinite(landmarks).all():
        raise NonFinite(f"the training has diverged: the model's landmarks are not finite; {_ADVICE}")


def check_weights(state: Mapping[str, Tensor], step: int) -> None:
    """Check the weights before a checkpoint is written.

    Raises:
        NonFinite: one is not finite.
    """
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise NonFinite(
                f"step {step}: the training has diverged: {name} is not finite, so no checkpoint of this "
                f"step was written; {_ADVICE}"
            )


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
        f"{path} ({', '.join(batch.sample_ids)}); {_ADVICE}"
    )
