"""The loss on the dense landmarks: MediaPipe's face mesh, of which each head knows some points.

EMOCA's second version (Danecek et al. 2022, released code) and SMIRK compare 105 points of the mesh with
the head's. Here all points that the head has are compared, and those of mouth and eyes count more: the 68
landmarks have too few of them to show how far a mouth or an eye is open.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from deca_model.heads.dense import MESH_POINTS
from deca_model.heads.mesh_points import BROWS, LIDS, LIPS, OVAL
from deca_model.render.constants import constant

# Of a turned face the mesh shows another outline than a head has, so that the outline counts less.
_GROUPS = {LIPS: 6.0, LIDS: 6.0, BROWS: 2.0, OVAL: 0.5}
_WEIGHT_OF = {point: weight for group, weight in _GROUPS.items() for point in group}
POINT_WEIGHTS = tuple(_WEIGHT_OF.get(point, 1.0) for point in range(MESH_POINTS))
"""Weight of each point of the mesh."""


class DenseLoss(NamedTuple):
    """The loss, and the number of faces that have a mesh."""

    value: Tensor  # (); 0, without gradient, if no face has one
    counted: Tensor  # () int64


def dense_loss(
    predicted: Tensor,  # (B, N, >= 2) normalised image coordinates
    target: Tensor,  # (B, 478, 2)
    has_dense: Tensor,  # (B,) bool: whether the manifest has a mesh for the face
    points: Tensor,  # (N,) which of the 478 points were predicted
) -> DenseLoss:
    """Weighted mean of the absolute differences of x and y, over points and over faces that have a mesh."""
    weight = constant(POINT_WEIGHTS, predicted.device, predicted.dtype)[points]
    distance = (predicted[..., :2] - target[:, points]).abs().mean(dim=-1)
    error = (distance * weight).sum(dim=-1) / weight.sum()
    counted = has_dense.sum()
    return DenseLoss(error.masked_fill(~has_dense, 0).sum() / counted.clamp(min=1), counted)
