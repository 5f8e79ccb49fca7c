"""Doubling a batch by swapping a code within each subject: shape consistency, and detail consistency.

There is no separate loss. The code of one image must also fit another image of the same person, so every
other loss is applied to the swapped codes too (Feng et al. 2021, section 4.1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from deca_model.networks.codes import Codes


def doubled(value: Tensor) -> Tensor:
    """The batch, repeated once."""
    return torch.cat([value, value])


def doubled_codes(
    codes: Codes,
    partners: Tensor,  # (N,)
) -> Codes:
    """The codes, repeated once; the second half has the shapes of other images of the same subjects."""
    twice = Codes(*map(doubled, codes))
    return twice._replace(shape=torch.cat([codes.shape, codes.shape.index_select(0, partners)]))
