"""The picture of a reconstruction: photo, landmarks, shape, details, and the textured head from two sides."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from deca_model.heads.rotations import axis_angle_to_matrix, yaw_degrees
from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.networks.pictures import as_uint8, draw_landmarks
from deca_model.use.head_views import grey_pictures, textured_pictures, turned
from deca_model.use.inference import Reconstruction

CELL = 320
"""Side of one view in pixels."""
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
    photos = interpolate(crops, (CELL, CELL), mode="bilinear", antialias=True, align_corners=False)
    columns = [as_uint8(grey_pictures(model, found.posed, photos))]
    if found.displacement is not None:
        columns.append(as_uint8(grey_pictures(model, found.posed, photos, found.displacement)))
    points = found.posed.landmarks.cpu().numpy()
    rows = []
    for n, photo in enumerate(as_uint8(photos)):
        marked = draw_landmarks(photo, points[n], _MARK)
        codes = Codes(*(value[n : n + 1] for value in found.posed.codes))
        posed = model.pose(turned(model, codes, other_views(codes.pose)))
        sides = as_uint8(textured_pictures(model, posed, texture[n : n + 1], CELL))
        rows.append(np.concatenate([photo, marked, *(column[n] for column in columns), *sides], axis=1))
    return rows


def other_views(pose: Tensor) -> list[float]:  # (1, 6)
    """The angles of two views in degrees: to the left and to the right of the photo's own."""
    own = float(yaw_degrees(axis_angle_to_matrix(pose[:, :3])))
    own = max(-_FARTHEST + _ASIDE / 2, min(own, _FARTHEST - _ASIDE / 2))
    return [own - _ASIDE, own + _ASIDE]
