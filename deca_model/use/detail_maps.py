"""Maps of one face for other programs: normals in tangent space, displacement and depth as 16-bit numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from deca_model.networks.model import Deca
from deca_model.render.rasterize import rasterize
from deca_model.use.inference import Reconstruction

DISPLACEMENT_STEP = 1e-6
"""Metres per step of the displacement's numbers; 32768 is 0."""
DEPTH_STEP = 1e-5
"""Metres per step of the depth's numbers; 32768 is the plane z = 0 of head space, larger is nearer."""
_ZERO = 32768


@torch.no_grad()
def tangent_normals(
    model: Deca,
    vertices: Tensor,  # (B, V, 3) posed, head space
    displacement: Tensor,  # (B, 1, U, U) metres
) -> Tensor:  # (B, 3, U, U)
    """The details' normals relative to the smooth head, as glTF's normal maps have them.

    The first component is along growing u, the second along growing v (up in the map), the third outward.
    Without a displacement it is (0, 0, 1) everywhere.
    """
    fine = model.surface.normals(displacement, vertices)
    smooth = model.surface.points(displacement, vertices)[1]
    across, up = (part[:, model.layout.face_index].permute(0, 3, 1, 2) for part in _tangents(model, vertices))
    tangent = normalize(across - smooth * (across * smooth).sum(dim=1, keepdim=True), dim=1)
    other = torch.linalg.cross(smooth, tangent, dim=1)
    side = (other * up).sum(dim=1, keepdim=True)
    other = other * torch.where(side < 0, -1.0, 1.0)
    return torch.stack([(fine * axis).sum(dim=1) for axis in (tangent, other, smooth)], dim=1)


@torch.no_grad()
def depth_maps(model: Deca, found: Reconstruction, size: int) -> Tensor:  # (B, size, size) metres
    """The z of head space at each pixel of the crop; larger is nearer to the viewer; NaN beside the head."""
    fragments = rasterize(found.posed.vertices, model.head.faces, size, model.renderer.backend)
    metres = -fragments.depth / found.posed.codes.camera[:, 0].view(-1, 1, 1)
    return torch.where(fragments.face_index >= 0, metres, torch.nan)


def as_steps(values: np.ndarray, step: float) -> np.ndarray:  # (H, W) metres -> (H, W) uint16
    """Lengths as 16-bit numbers for a PNG: ``32768 + metres / step``, at least 1; 0 where there is none."""
    known = np.isfinite(values)
    steps = np.round(np.where(known, values, 0) / step) + _ZERO
    return np.where(known, steps.clip(1, 65535), 0).astype(np.uint16)


def normals_as_uint8(normals: np.ndarray) -> np.ndarray:  # (3, U, U) in [-1, 1] -> (U, U, 3) uint8
    """Normals as the colours of a normal map: -1 is 0, 0 is 128, 1 is 255."""
    return np.round((normals.transpose(1, 2, 0).clip(-1, 1) + 1) * 127.5).astype(np.uint8)


def _tangents(model: Deca, vertices: Tensor) -> tuple[Tensor, Tensor]:  # (B, F, 3) each
    """How each face's points move with growing u and with growing v."""
    head = model.head
    points, uv = vertices[:, head.faces], head.uv[head.uv_faces]  # (B, F, 3, 3), (F, 3, 2)
    first, second = points[:, :, 1] - points[:, :, 0], points[:, :, 2] - points[:, :, 0]
    (u1, v1), (u2, v2) = ((uv[:, n] - uv[:, 0]).unbind(dim=1) for n in (1, 2))
    area = u1 * v2 - u2 * v1
    area = torch.where(area.abs() < 1e-12, 1e-12, area)[:, None]
    across = (first * v2[:, None] - second * v1[:, None]) / area
    up = (second * u1[:, None] - first * u2[:, None]) / area
    return across, up
