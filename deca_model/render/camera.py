"""The weak-perspective camera: head space in metres to normalised image coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from deca_model.render.constants import constant

_FLIP = (1.0, -1.0, -1.0)


def project(
    points: Tensor,  # (B, N, 3)
    camera: Tensor,  # (B, 3)
) -> Tensor:  # (B, N, 3)
    """Project points of head space into the image.

    DECA (Feng et al. 2021, section 3): an orthographic projection with a scale and a shift in the plane.

    Args:
        points: Head space: metres, x to the subject's left, y up, z towards the viewer of a frontal face.
        camera: Scale (normalised units per metre), and the shift tx, ty in metres, added before scaling.

    Returns:
        x right and y down, in [-1, 1] inside the image; z in the same units, larger is further away.
    """
    shift = torch.cat([camera[:, 1:], torch.zeros_like(camera[:, :1])], dim=1)
    flip = constant(_FLIP, points.device, points.dtype)
    return (points + shift[:, None]) * flip * camera[:, None, :1]


def to_pixels(
    points: Tensor,  # (..., >= 2)
    size: int | tuple[int, int],
) -> Tensor:  # (..., 2)
    """Normalised image coordinates to pixels (x, y); pixel centres at integers."""
    height, width = (size, size) if isinstance(size, int) else size
    extent = constant((width, height), points.device, points.dtype)
    return ((points[..., :2] + 1) * extent - 1) / 2
