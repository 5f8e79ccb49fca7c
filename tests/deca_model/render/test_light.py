"""Spherical harmonics against their definition."""

from __future__ import annotations

import math

import pytest
import torch

from deca_model.render.light import FACTORS, ambient_light, harmonics, shade, studio_light


def _sphere(count: int = 20000) -> torch.Tensor:
    """Points spread evenly over the unit sphere (a Fibonacci spiral)."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * index / count
    angle = math.pi * (1 + math.sqrt(5)) * index
    ring = (1 - z * z).sqrt()
    return torch.stack([ring * angle.cos(), ring * angle.sin(), z], dim=1)


def test_functions_are_orthogonal_with_the_cosine_lobe_folded_in() -> None:
    values = harmonics(_sphere())
    gram = values.T @ values * 4 * math.pi / len(values)
    lobe = torch.tensor([1.0] + [2 * math.pi / 3] * 3 + [math.pi / 4] * 5, dtype=torch.float64)
    assert torch.allclose(gram, torch.diag(lobe**2), atol=2e-3)


def test_official_numbers() -> None:
    expected = [0.28209, 1.02333, 1.02333, 1.02333, 0.85809, 0.85809, 0.85809, 0.42904, 0.24771]
    assert pytest.approx(expected, abs=1e-5) == FACTORS


def test_order_of_functions() -> None:
    direction = torch.tensor([[0.36, 0.48, 0.8]], dtype=torch.float64)
    x, y, z = 0.36, 0.48, 0.8
    expected = [1, x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1]
    assert (harmonics(direction)[0] / torch.tensor(FACTORS)).tolist() == pytest.approx(expected)


def test_light_from_a_side_shades_that_side() -> None:
    normals = torch.tensor([[[1.0, 0, 0], [-1, 0, 0], [0, 0, 1]]])
    assert torch.allclose(shade(normals, ambient_light(1, 0.7)), torch.full((1, 3, 3), 0.7))
    light = ambient_light(1, 0.5)
    light[:, 1, 0] = 0.3  # red, from the subject's left
    shading = shade(normals, light)[0]
    assert shading[0, 0] > 0.7 > 0.3 > shading[1, 0]
    assert torch.allclose(shading[:, 1], torch.full((3,), 0.5))


def test_studio_light_stays_in_range() -> None:
    normals = _sphere().float()
    front = normals[normals[:, 2] > 0]
    shading = shade(front[None], studio_light(1))
    assert 0.25 < shading.min() < shading.max() < 1.05
