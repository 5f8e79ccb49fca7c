"""Values known at some vertices of a mesh, spread smoothly to all others."""

from __future__ import annotations

import torch
from torch import Tensor

_SMOOTH = 4.0  # weight of the differences along edges against the known values
_PRIOR = 0.01  # weight of the mean, which draws vertices far from all known ones
_STEPS = 200
_EXACT = 1e-4  # size of the remainder, relative to the start, at which the solver stops


def spread(
    values: Tensor,  # (B, V, C)
    weights: Tensor,  # (B, V, 1), 0 where nothing is known
    faces: Tensor,  # (F, 3)
) -> Tensor:  # (B, V, C)
    """The smoothest values over the mesh that are near the known ones.

    They minimise ``weight * (x - value)^2`` over the vertices, plus the squared differences along the edges,
    plus a weak pull to the weighted mean. Solved by conjugate gradients (Hestenes and Stiefel 1952). Without
    any known value the result is 0.
    """
    mean = (values * weights).sum(dim=1, keepdim=True) / weights.sum(dim=1, keepdim=True).clamp(min=1e-9)
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])

    def product(x: Tensor) -> Tensor:
        difference = x.index_select(1, edges[:, 0]) - x.index_select(1, edges[:, 1])
        pull = torch.zeros_like(x).index_add(1, edges[:, 0], difference)
        return (weights + _PRIOR) * x + _SMOOTH * pull.index_add(1, edges[:, 1], -difference)

    x = torch.zeros_like(values)  # the difference to the mean
    rest = weights * (values - mean)
    direction, size = rest, rest.square().sum(dim=1, keepdim=True)
    enough = size * _EXACT**2
    for _ in range(_STEPS):
        if bool((size <= enough).all()):
            break
        image = product(direction)
        step = size / (direction * image).sum(dim=1, keepdim=True).clamp(min=1e-20)
        x = x + step * direction
        rest = rest - step * image
        smaller = rest.square().sum(dim=1, keepdim=True)
        direction = rest + smaller / size.clamp(min=1e-20) * direction
        size = smaller
    return x + mean
