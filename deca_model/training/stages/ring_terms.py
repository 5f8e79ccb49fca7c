"""The ring loss of a stage, over the photos of all processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather

from deca_model.losses.ring import ring_loss
from deca_model.settings.groups import LossSettings


def ring_terms(
    shape: Tensor,  # (N, 100)
    partners: Tensor | None,  # (N,); None: no person has two photos
    subjects: Tensor,  # (N,)
    weights: LossSettings,
) -> dict[str, Tensor]:
    """The ring loss, if its weight is not 0 and persons have several photos.

    With several processes each has the loss of all their photos, so that it is that of one process with
    the whole batch. A process's own codes get the gradient of every process's loss, the mean of which
    over the processes is the gradient of one.
    """
    if not weights.ring or partners is None:
        return {}
    if dist.is_initialized():
        own = len(shape) * dist.get_rank()
        shape = torch.cat(all_gather(shape.contiguous()))
        partners, subjects = _gathered(partners + own), _gathered(subjects)
    return {"ring": ring_loss(shape, partners, subjects)}


def _gathered(values: Tensor) -> Tensor:
    """The whole numbers of all processes, one process after the other."""
    everyones = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(everyones, values.contiguous())
    return torch.cat(everyones)
