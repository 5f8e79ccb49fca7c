"""Swapping codes among the images of one person: shape consistency, and detail consistency.

There is no term of its own. The codes of one image, put to another image of the same person, must explain
that one as well: every other loss is applied to the swapped codes again (Feng et al. 2021, section 4.1).
"""

from __future__ import annotations

import torch
from torch import Tensor


def swap_order(subjects: int, images: int, generator: torch.Generator | None = None) -> Tensor:
    """For a batch of ``subjects`` x ``images``, from which image each one takes its code.

    The images of a subject stand in a row. Each subject's are put in a random order and handed on in a ring,
    so every image gets the code of another image of the same person; an image alone keeps its own.

    Returns:
        Indices (subjects * images,), int64.
    """
    rank = torch.rand(subjects, images, generator=generator).argsort(dim=1)
    taken = torch.empty_like(rank).scatter_(1, rank, rank.roll(1, dims=1))
    return (taken + torch.arange(subjects)[:, None] * images).flatten()
