"""What MediaPipe's face mesh says about a photo, as features for an encoder: where the face's 478 points are.

The network is the one that the package mediapipe carries (Kartynnik et al. 2019, Grishchenko et al. 2020). It
stays as it is: an encoder learns only what the points mean. So the few thousand photos of a run on a CPU are
enough for mouths and eyes to follow, which a network that begins with random weights learns from far more.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from deca_model.heads import load_head
from deca_model.heads.mesh_points import (
    LEFT_BROW,
    LEFT_IRIS,
    LEFT_LIDS,
    LIPS,
    RIGHT_BROW,
    RIGHT_IRIS,
    RIGHT_LIDS,
)
from deca_model.heads.rotations import matrix_to_axis_angle
from deca_model.render.constants import constant
from manifests.errors import UsageError

if TYPE_CHECKING:
    from deca_data.backends.mediapipe.mesh_network import MeshNetwork

_SKIN = 468  # the points after it are the irises
_FLIP = (1.0, -1.0, -1.0)
"""From head space to the mesh, whose y is downwards and whose z is away from the viewer."""
_SPREAD = 0.05
"""Typical standard deviation of a point's place, in sizes of the face, once the head's pose is taken away."""
_PARTS = (
    (LIPS, 0.04),
    (RIGHT_LIDS + RIGHT_IRIS, 0.02),
    (LEFT_LIDS + LEFT_IRIS, 0.02),
    (RIGHT_BROW, 0.02),
    (LEFT_BROW, 0.02),
)
"""Parts whose points are also given relative to the part's middle, and their spread: how far it is open."""
_MIDDLE_SPREAD, _SIZE, _SIZE_SPREAD = 0.1, -0.76, 0.03
"""Of faces in crops by the crop rule, with a half side of 1: the middle, and the logarithm of the size."""


class Aligned(NamedTuple):
    """Faces without their pose: ``points`` times ``size``, rotated, plus ``middle`` is the face."""

    points: Tensor  # (B, N, 3)
    rotation: Tensor  # (B, 3, 3)
    middle: Tensor  # (B, 3)
    size: Tensor  # (B, 1) root mean square distance from the middle


class MeshFeatures(nn.Module):
    """Photos to features; nothing in it learns, and it passes no gradient.

    Raises:
        UsageError: the package mediapipe, or the reader of its files, is not installed.
    """

    canonical: Tensor  # (478, 3) the mean head's points, size 1, middle 0

    def __init__(self) -> None:
        super().__init__()
        self.network = _network()
        self.register_buffer("canonical", _canonical(), persistent=False)
        self.count = 3 + 9 + 4 + 3 * (len(self.canonical) + sum(len(points) for points, _ in _PARTS))

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images: (B, 3, S, S) RGB in [0, 1], a face in the middle as the crop rule places it.

        Returns:
            (B, ``count``) float32: first the rotation in head space (axis-angle, radians), then numbers
            of a standard deviation near 1.
        """
        side = self.network.side
        with torch.autocast(images.device.type, enabled=False):
            crops = interpolate(images.float(), (side, side), mode="bilinear", align_corners=False)
            points = self.network(crops.permute(0, 2, 3, 1).clamp(0, 1)).mesh
            points = (points + 0.5) * (2 / side) - constant((1.0, 1.0, 0.0), points.device)
            found = aligned(points, self.canonical)
            turn = matrix_to_axis_angle(found.rotation) * constant(_FLIP, points.device)
            features = [turn, found.rotation.flatten(1)]
            features += [found.middle / _MIDDLE_SPREAD, (found.size.log() - _SIZE) / _SIZE_SPREAD]
            moved = found.points - self.canonical
            features.append(moved.flatten(1) / _SPREAD)
            for part, spread in _PARTS:
                own = moved.index_select(1, constant(part, points.device, torch.int64))
                features.append((own - own.mean(dim=1, keepdim=True)).flatten(1) / spread)
            return torch.cat(features, dim=1)


def aligned(
    points: Tensor,  # (B, 478, 3)
    model: Tensor,  # (478, 3), size 1, middle 0
) -> Aligned:
    """Faces moved, scaled and rotated onto a model by their skin: Umeyama's solution (1991), with depth."""
    middle = points[:, :_SKIN].mean(dim=1)
    moved = points - middle[:, None]
    size = _size(moved[:, :_SKIN])
    moved = moved / size[..., None]
    u, _, vt = torch.linalg.svd(moved[:, :_SKIN].mT @ model[:_SKIN])
    mirror = torch.ones_like(middle)
    mirror[:, 2] = torch.linalg.det(u @ vt)
    rotation = (u * mirror[:, None]) @ vt
    return Aligned(moved @ rotation, rotation, middle, size)


def _size(points: Tensor) -> Tensor:  # (B, N, 3) -> (B, 1)
    return points.square().sum(dim=2).mean(dim=1, keepdim=True).sqrt()


def _canonical() -> Tensor:  # (478, 3)
    """The embedded head's points in the mesh's directions; each iris is where the middle of its lids is."""
    head, zeros = load_head("open", None), torch.zeros
    assert head.dense_points is not None
    with torch.no_grad():
        vertices = head(zeros(1, 1), zeros(1, 1), zeros(1, 6)).vertices
        points = head.dense(vertices)[0][head.dense_points.argsort()] * torch.tensor(_FLIP)
    points = points - points.mean(dim=0)
    points = points / _size(points[None])
    irises = [points[list(lids)].mean(dim=0).expand(5, 3) for lids in (RIGHT_LIDS, LEFT_LIDS)]
    return torch.cat([points, *irises])


def _network() -> MeshNetwork:
    """MediaPipe's network, in torch.

    Raises:
        UsageError: it cannot be had.
    """
    try:
        from deca_data.backends.mediapipe.mesh_network import MeshNetwork

        return MeshNetwork()
    except (ModuleNotFoundError, PackageNotFoundError) as error:
        raise UsageError(
            "model.encoder.backbone=mesh needs the package mediapipe, which carries the face mesh's network: "
            "install it with `pip install 'deca-data[data,train]'`, or train with another backbone, such as "
            "--set model.encoder.backbone=small."
        ) from error
