"""Numbers of the formulas as tensors, copied to each device only once.

A copy from the host makes the host wait for a GPU, so a training step makes none.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


def constant(values: Numbers, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """The numbers as a tensor that all callers share; do not change it in place."""
    return _made(values, device, dtype)


@lru_cache(maxsize=256)
def _made(values: Numbers, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # else its first use might make it unfit for training
        return torch.tensor(values, dtype=dtype, device=device)


forget = _made.cache_clear
"""Drop all tensors; for tests that pretend to have another device."""
