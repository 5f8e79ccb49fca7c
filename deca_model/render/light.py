"""Distant light as second-order spherical harmonics.

Ramamoorthi and Hanrahan 2001, "An efficient representation for irradiance environment maps": nine
coefficients per colour describe how distant light shades a matt surface. The factors and the order of the
functions are DECA's, so that its light codes have the same meaning here: the functions of first and second
order contain the cosine lobe's factors 2 pi / 3 and pi / 4; the constant function lacks its factor pi.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deca_model.render.constants import constant

FACTORS = (
    1 / math.sqrt(4 * math.pi),
    *[2 * math.pi / 3 * math.sqrt(3 / (4 * math.pi))] * 3,
    *[math.pi / 4 * 3 * math.sqrt(5 / (12 * math.pi))] * 3,
    math.pi / 4 * 3 / 2 * math.sqrt(5 / (12 * math.pi)),
    math.pi / 4 / 2 * math.sqrt(5 / (4 * math.pi)),
)
"""Factors of the functions 1, x, y, z, xy, xz, yz, x^2 - y^2, 3 z^2 - 1."""


def harmonics(normals: Tensor) -> Tensor:  # (..., 3) -> (..., 9)
    """The nine functions of unit normals in head space (x to the subject's left, y up, z to the viewer)."""
    x, y, z = normals.unbind(dim=-1)
    functions = [torch.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1]
    return torch.stack(functions, dim=-1) * constant(FACTORS, normals.device, normals.dtype)


def shade(
    normals: Tensor,  # (B, ..., 3)
    light: Tensor,  # (B, 9, 3)
) -> Tensor:  # (B, ..., 3)
    """Shading per colour: how an albedo of 1 looks under the light. It can be negative for unusual lights."""
    values = harmonics(normals)
    return (values.flatten(1, -2) @ light.to(values.dtype)).view_as(normals)


def ambient_light(
    batch: int, shading: float = 1.0, device: torch.device | None = None
) -> Tensor:  # (B, 9, 3)
    """White light from all directions: every normal gets the same shading."""
    light = torch.zeros(batch, 9, 3, device=device)
    light[:, 0] = shading / FACTORS[0]
    return light


def studio_light(batch: int, device: torch.device | None = None) -> Tensor:  # (B, 9, 3)
    """White light from the front and above, for images of the shape: shading about 0.3 to 1."""
    light = ambient_light(batch, 0.62, device)
    light[:, 1] = 0.08 / FACTORS[1]
    light[:, 2] = 0.16 / FACTORS[2]
    light[:, 3] = 0.28 / FACTORS[3]
    return light
