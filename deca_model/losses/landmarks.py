"""Losses on the 68 landmarks (iBUG order) in normalised image coordinates.

Weights and pairs are those of the official DECA trainer; the corner pairs are EMOCA's (Danecek et al. 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor

from deca_model.render.constants import constant

LANDMARK_WEIGHTS = tuple(
    3.0 if index in (30, 31, 35, 48, 54)  # nose tip and wings, mouth corners
    else 2.0 if index in (5, 6, 10, 11)  # the contour beside the chin
    else 1.5 if 27 <= index <= 35 or index >= 48  # nose, mouth
    else 1.0
    for index in range(68)
)  # fmt: skip
"""Weight of each landmark."""

EYELID_PAIRS = ((37, 41), (38, 40), (43, 47), (44, 46))
"""Opposite points of upper and lower lid."""
LIP_PAIRS = ((61, 67), (62, 66), (63, 65))
"""Opposite points of the inner upper and lower lip."""
CORNER_PAIRS = ((48, 54), (60, 64))
"""Outer and inner mouth corners."""


def landmark_loss(
    predicted: Tensor,  # (B, 68, >= 2)
    target: Tensor,  # (B, 68, 2)
    weights: tuple[float, ...] = LANDMARK_WEIGHTS,
) -> Tensor:  # ()
    """Weighted mean of the absolute differences of x and y over points and images."""
    weight = constant(weights, predicted.device, predicted.dtype)
    distance = (predicted[..., :2] - target[..., :2]).abs().mean(dim=-1)
    return (distance * weight).sum(dim=-1).mean() / weight.sum()


def eye_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Difference of the lids' distances; a shift of the whole eye has no effect."""
    return relative_loss(predicted, target, EYELID_PAIRS)


def lip_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Difference of the lips' distances."""
    return relative_loss(predicted, target, LIP_PAIRS)


def corner_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Difference of the mouth's widths."""
    return relative_loss(predicted, target, CORNER_PAIRS)


def relative_loss(
    predicted: Tensor,  # (B, 68, >= 2)
    target: Tensor,  # (B, 68, 2)
    pairs: tuple[tuple[int, int], ...],
) -> Tensor:  # ()
    """Mean absolute difference of the distances between paired points, over pairs and images."""
    return (_distances(predicted, pairs) - _distances(target, pairs)).abs().mean()


def _distances(points: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    first, second = constant(pairs, points.device, torch.int64).unbind(dim=1)
    difference = points[:, first, :2] - points[:, second, :2]
    # The root has no finite gradient at 0 (a closed eye); the smallest distance, 1e-6, is far below a pixel.
    return difference.square().sum(dim=-1).clamp(min=1e-12).sqrt()
