"""The codes of one photo's face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class FaceCodes:
    """The codes of one photo."""

    shape: np.ndarray  # (100,)
    expression: np.ndarray  # (50,)
    pose: np.ndarray  # (6,)
    camera: np.ndarray  # (3,) scale, tx, ty


def tensors(code: FaceCodes) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Shape (100,), expression (50,) and pose (6,), in double precision."""
    return torch.from_numpy(code.shape), torch.from_numpy(code.expression), torch.from_numpy(code.pose)
