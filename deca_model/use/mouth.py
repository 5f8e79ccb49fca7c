"""Where a texture shows the inside of the mouth, which is darker and redder than the skin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from deca_model.heads.head import Head
from deca_model.render.normals import vertex_normals
from deca_model.render.uv import UvLayout

DARKER = (0.42, 0.20, 0.20)
"""Factors of red, green and blue on the skin's colour."""
_MOUTH = slice(48, 60)  # iBUG: the outer outline of the lips
_FLOOR = 0.03  # metres below the middle of the lips
_BELOW, _ABOVE = 0.042, 0.02  # metres from the middle of the lips
_BEHIND, _WELL_BEHIND, _DEEP = 0.01, 0.03, 0.13  # metres behind it
_INWARD = 0.1  # largest z of a unit normal near the lips, whose outer side looks forward


def mouth_inside(head: Head, layout: UvLayout) -> Tensor:  # (1, 1, T, T), 0 to 1
    """The inner sides of lips and cheeks, behind the lips of the mean head; 0 for a head without them."""
    corners = head.template[head.faces[head.full_faces[_MOUTH]]]
    lips = (corners * head.full_barycentric[_MOUTH, :, None]).sum(dim=1)
    width = lips[:, 0].amax() - lips[:, 0].amin()
    normals = vertex_normals(head.template[None], head.faces)
    maps = layout.from_vertices(torch.cat([head.template[None], normals], dim=2))[0]
    x, y, z = (maps[:3] - lips.mean(dim=0).view(3, 1, 1)).unbind()
    wall = (x.abs() < width) & (x * maps[3] < 0) & (z < -_WELL_BEHIND)  # inner cheeks look inwards
    within = ((x.abs() < 0.6 * width) | wall) & (y > -_BELOW) & (y < _ABOVE) & (z > -_DEEP)
    within &= (y > -_FLOOR) | (maps[4] > 0)  # below lies the chin, whose outer side looks down
    inside = within & ((z < -_WELL_BEHIND) | ((z < -_BEHIND) & (maps[5] < _INWARD)))
    return avg_pool2d(inside.float()[None, None], 5, 1, 2)
