"""Which photo of the same person gives another photo its code; the losses swap codes within each subject."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_SWAP = 4  # number of this random stream; the sampler uses others


def swap_partners(
    subjects: int, images: int, *, seed: int, position: tuple[int, int]
) -> np.ndarray | None:  # (subjects * images,) int64
    """For each photo of a batch, the index of the photo whose code it gets; None if there is one per subject.

    It depends only on the seed and the batch's position. So a resumed run, and several processes that share a
    batch, swap exactly as one uninterrupted process does.

    Args:
        subjects: number of subjects, one after the other.
        images: photos of each.
        seed: the run's seed.
        position: epoch and batch.
    """
    if images == 1:
        return None
    state = np.random.SeedSequence([seed, _SWAP, *position]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state) % 2**63)
    return swap_order(subjects, images, generator).numpy()


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
