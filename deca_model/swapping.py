"""Doubling a batch by swapping a code within each subject (see ``losses/consistency.py``)."""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from deca_model.codes import Codes
from deca_model.data import FaceBatch
from deca_model.losses.consistency import swap_order

_SWAP = 4  # a random stream of its own, beside those of the sampler


def partners(batch: FaceBatch, images: int, seed: int) -> Tensor | None:  # (N,)
    """From which image of the batch each one takes the swapped code; None if there is nothing to swap.

    A function of the seed and the batch's position, so that a resumed run, and several processes that share
    a batch, swap as one uninterrupted process would.

    Args:
        batch: subjects in a row, ``images`` each.
        images: K; with 1 there is no partner.
        seed: the run's seed.
    """
    if images == 1:
        return None
    world, rank = (dist.get_world_size(), dist.get_rank()) if dist.is_initialized() else (1, 0)
    count = len(batch.images)
    state = np.random.SeedSequence([seed, _SWAP, *batch.position]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state) % 2**63)
    order = swap_order(count * world // images, images, generator)
    return (order[rank * count : (rank + 1) * count] - rank * count).to(batch.images.device)


def doubled(value: Tensor) -> Tensor:
    """The batch twice over."""
    return torch.cat([value, value])


def doubled_codes(codes: Codes, order: Tensor) -> Codes:
    """The codes twice over, in the second half with the shapes of other images of the same subjects."""
    twice = Codes(*map(doubled, codes))
    return twice._replace(shape=torch.cat([codes.shape, codes.shape[order]]))
