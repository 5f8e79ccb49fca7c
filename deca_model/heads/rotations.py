"""Rotations: axis-angle to matrix and back, and the yaw of a rotation matrix."""

from __future__ import annotations

import torch
from torch import Tensor

SERIES_BELOW = 1e-4
"""Squared angle below which the Taylor series is used; its error there is below float64's resolution."""


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Convert axis-angle vectors to rotation matrices with Rodrigues' formula.

    R = I + sin(t)/t K + (1 - cos(t))/t^2 K^2, where t is the length of the vector and K its cross-product
    matrix. Near zero the two factors come from their Taylor series, so that values and gradients are finite
    and exact there too, in float32 and in float64.

    Args:
        axis_angle: (..., 3), radians.

    Returns:
        (..., 3, 3) matrices that rotate column vectors.
    """
    squared = (axis_angle * axis_angle).sum(dim=-1)
    small = squared < SERIES_BELOW
    # The unused branch of torch.where must be finite too, or its gradient would be NaN.
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    half = torch.sin(0.5 * angle)
    sine = torch.where(small, 1 - squared / 6 + squared * squared / 120, torch.sin(angle) / angle)
    versine = torch.where(small, 0.5 - squared / 24 + squared * squared / 720, 2 * half * half / safe)

    x, y, z = axis_angle.unbind(dim=-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    outer = axis_angle.unsqueeze(-1) * axis_angle.unsqueeze(-2)
    cross_squared = outer - squared[..., None, None] * identity
    return identity + sine[..., None, None] * cross + versine[..., None, None] * cross_squared


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """The inverse of ``axis_angle_to_matrix`` for angles below a half turn.

    The antisymmetric part of a rotation is sin(t) K, and its trace is 1 + 2 cos(t).

    Args:
        matrix: (..., 3, 3) rotation matrices.

    Returns:
        (..., 3) radians; near a half turn the axis is inexact, since sin(t) vanishes there.
    """
    lower = torch.stack([matrix[..., 2, 1], matrix[..., 0, 2], matrix[..., 1, 0]], dim=-1)
    upper = torch.stack([matrix[..., 1, 2], matrix[..., 2, 0], matrix[..., 0, 1]], dim=-1)
    axis = (lower - upper) / 2
    sine = axis.norm(dim=-1, keepdim=True)
    cosine = (matrix.diagonal(dim1=-2, dim2=-1).sum(dim=-1, keepdim=True) - 1) / 2
    small = sine < 1e-6
    factor = torch.atan2(sine, cosine) / torch.where(small, torch.ones_like(sine), sine)
    return axis * torch.where(small, torch.ones_like(sine), factor)


def yaw_degrees(matrix: Tensor) -> Tensor:
    """The rotation about the vertical axis, in degrees in [-90, 90].

    Positive yaw is a positive rotation about +y: the face turns from +z towards +x, to the subject's left,
    which is the right side of the image.

    Args:
        matrix: (..., 3, 3) rotation matrices.

    Returns:
        (...,) degrees.
    """
    forward = torch.hypot(matrix[..., 0, 0], matrix[..., 1, 0])
    return torch.rad2deg(torch.atan2(-matrix[..., 2, 0], forward))
