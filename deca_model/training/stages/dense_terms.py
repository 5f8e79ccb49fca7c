"""The dense landmark loss of a stage, and the share of a process's mean in that of all."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

from deca_model.data.loading import FaceBatch
from deca_model.losses.dense import dense_loss
from deca_model.networks.model import Deca, Posed
from deca_model.settings.groups import LossSettings


def dense_terms(
    model: Deca, posed: Posed, batch: FaceBatch, weights: LossSettings, training: bool
) -> dict[str, Tensor]:
    """The loss ``dense``; empty if it is off, or the batch was loaded without meshes.

    ``posed`` has the heads of the batch, or k times as many, those of the same photos again.
    """
    points = model.head.dense_points
    if not weights.dense or batch.dense is None or batch.has_dense is None or points is None:
        return {}
    copies = len(posed.vertices) // len(batch.dense)
    target, has_dense = batch.dense.repeat(copies, 1, 1), batch.has_dense.repeat(copies)
    found = dense_loss(model.head.dense(posed.vertices), target, has_dense, points)
    return {"dense": found.value * (fair_share(found.counted) if training else 1.0)}


def fair_share(counted: Tensor) -> Tensor | float:
    """The factor for a process's mean over ``counted`` images.

    With it, the mean over the processes is the mean over all their counted images.
    """
    if not dist.is_initialized():
        return 1.0
    total = counted.clone()
    dist.all_reduce(total)
    return (counted.double() * dist.get_world_size() / total.clamp(min=1)).float()
