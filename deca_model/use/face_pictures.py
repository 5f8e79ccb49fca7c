"""The picture of a reconstruction: photo, landmarks, shape, details, and the textured head from two sides."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from deca_model.heads.rotations import axis_angle_to_matrix, yaw_degrees
from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.networks.pictures import as_uint8, draw_landmarks
from deca_model.use.head_views import grey_pictures, textured_pictures, turned
from deca_model.use.inference import Reconstruction

CELL = 320
"""Side of one view in pixels."""
_FINE = 2  # heads are drawn in so many times more pixels a side, so that their edges are smooth
_MARK = (250, 70, 60)
_ASIDE, _FARTHEST = 28.0, 65.0  # degrees: a view from the photo's own, and from the front


@torch.no_grad()
def face_pictures(
    model: Deca,
    found: Reconstruction,
    texture: Tensor,  # (B, 3, T, T)
) -> list[np.ndarray]:  # (CELL, 5 or 6 times CELL, 3) uint8 each
    """One picture for each face, its views side by side."""
    crops = found.photos if found.sharp is None else found.sharp
    photos, large = _sized(crops, CELL), _sized(crops, _FINE * CELL)
    columns = [_small(grey_pictures(model, found.posed, large))]
    if found.displacement is not None:
        columns.append(_small(grey_pictures(model, found.posed, large, found.displacement)))
    points = found.posed.landmarks.cpu().numpy()
    rows = []
    for n, photo in enumerate(as_uint8(photos)):
        marked = draw_landmarks(photo, points[n], _MARK)
        codes = Codes(*(value[n : n + 1] for value in found.posed.codes))
        eyes = None if found.posed.eyes is None else found.posed.eyes[n : n + 1].expand(2, -1)
        posed = model.pose(turned(model, codes, other_views(codes.pose)), eyes)
        sides = _small(textured_pictures(model, posed, texture[n : n + 1], _FINE * CELL))
        rows.append(np.concatenate([photo, marked, *(column[n] for column in columns), *sides], axis=1))
    return rows


def _sized(pictures: Tensor, size: int) -> Tensor:  # (B, 3, H, W) -> (B, 3, size, size)
    return interpolate(pictures, (size, size), mode="bilinear", antialias=True, align_corners=False)


def _small(pictures: Tensor) -> np.ndarray:  # (B, CELL, CELL, 3) uint8
    return as_uint8(avg_pool2d(pictures, _FINE))


def other_views(pose: Tensor) -> list[float]:  # (1, 6)
    """The angles of two views in degrees: to the left and to the right of the photo's own."""
    own = float(yaw_degrees(axis_angle_to_matrix(pose[:, :3])))
    own = max(-_FARTHEST + _ASIDE / 2, min(own, _FARTHEST - _ASIDE / 2))
    return [own - _ASIDE, own + _ASIDE]
