"""Doubling a batch by swapping a code within each subject: shape consistency, and detail consistency.

There is no separate loss. The code of one image must also fit another image of the same person, so every
other loss is applied to the swapped codes too (Feng et al. 2021, section 4.1).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from deca_model.data.loading import FaceBatch
from deca_model.networks.codes import Codes

_SWAP = 4  # number of this random stream; the sampler uses others


def partners(batch: FaceBatch, images: int, seed: int) -> Tensor | None:  # (N,)
    """For each image, the index of the image whose code it gets; None if there is nothing to swap.

    It depends only on the seed and the batch's position. So a resumed run, and several processes that share a
    batch, swap exactly as one uninterrupted process does.

    Args:
        batch: subjects one after the other, ``images`` each.
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
    """The batch, repeated once."""
    return torch.cat([value, value])


def doubled_codes(codes: Codes, order: Tensor) -> Codes:
    """The codes, repeated once; the second half has the shapes of other images of the same subjects."""
    twice = Codes(*map(doubled, codes))
    return twice._replace(shape=torch.cat([codes.shape, codes.shape[order]]))


def swap_order(subjects: int, images: int, generator: torch.Generator | None = None) -> Tensor:
    """For each image of a batch of ``subjects`` x ``images``, the index of the image whose code it gets.

    The images of a subject are consecutive. They are put in a random order; each takes the code of the one
    before it, and the first that of the last. So every image gets the code of another image of the same
    person; a single image keeps its own.

    Returns:
        Indices (subjects * images,), int64.
    """
    rank = torch.rand(subjects, images, generator=generator).argsort(dim=1)
    taken = torch.empty_like(rank).scatter_(1, rank, rank.roll(1, dims=1))
    return (taken + torch.arange(subjects)[:, None] * images).flatten()
