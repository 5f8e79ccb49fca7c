"""Axis-angle rotations: values, gradients, and the yaw."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from deca_model.heads.rotations import (
    SERIES_BELOW,
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    yaw_degrees,
)


def exponential(axis_angle: torch.Tensor) -> torch.Tensor:
    """The plain reference: the matrix exponential of the cross-product matrix."""
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    return torch.linalg.matrix_exp(cross)


@pytest.mark.parametrize(
    "scale", [0.0, 1e-9, 1e-4, 0.999 * SERIES_BELOW**0.5, 1.001 * SERIES_BELOW**0.5, 1.0, 3.1]
)
def test_matrix_equals_the_exponential(scale: float) -> None:
    direction = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    axis_angle = scale * direction / direction.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(axis_angle_to_matrix(axis_angle), exponential(axis_angle), rtol=0, atol=1e-14)


def test_matrices_are_rotations_in_single_precision() -> None:
    axis_angle = torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
    matrix = axis_angle_to_matrix(axis_angle)
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3).expand(50, 3, 3), rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(50), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-6, 5e-3, 1.0])
def test_gradients_are_right_everywhere(scale: float) -> None:
    axis_angle = scale * torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert gradcheck(axis_angle_to_matrix, (axis_angle.requires_grad_(),))


def test_gradient_at_zero_is_the_cross_product_matrix() -> None:
    zero = torch.zeros(3, requires_grad=True)
    axis_angle_to_matrix(zero)[2, 1].backward()
    assert zero.grad is not None
    assert zero.grad.tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("degrees", [-89.0, -30.0, 0.0, 12.5, 60.0])
def test_yaw_is_the_turn_towards_the_subjects_left(degrees: float) -> None:
    matrix = axis_angle_to_matrix(torch.tensor([0.0, math.radians(degrees), 0.0], dtype=torch.float64))
    forward = matrix @ torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    assert forward[0].item() == pytest.approx(math.sin(math.radians(degrees)))
    assert yaw_degrees(matrix).item() == pytest.approx(degrees)


def test_pitch_and_roll_leave_the_yaw_of_a_frontal_head() -> None:
    for axis in (0, 2):
        turn = torch.zeros(3, dtype=torch.float64)
        turn[axis] = 0.7
        assert abs(yaw_degrees(axis_angle_to_matrix(turn)).item()) < 1e-9


@pytest.mark.parametrize("scale", [0.0, 1e-7, 1e-3, 1.0, 2.0, 3.0])
def test_axis_angles_come_back_from_their_matrices(scale: float) -> None:
    direction = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    axis_angle = scale * direction / direction.norm(dim=-1, keepdim=True)
    found = matrix_to_axis_angle(axis_angle_to_matrix(axis_angle))
    torch.testing.assert_close(found, axis_angle, rtol=0, atol=1e-12)
