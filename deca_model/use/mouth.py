"""The inside of the mouth in a texture: darker and redder than the skin, most where it is deep; and teeth."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from deca_model.heads.head import Head
from deca_model.heads.teeth import CHART
from deca_model.render.normals import vertex_normals
from deca_model.render.uv import UvLayout

DARKER = (0.42, 0.20, 0.20)
"""Factors of red, green and blue on the skin's colour, just behind the lips."""
_DEPTHS = 0.35  # the same factor again where the mouth is deepest
_MOUTH = slice(48, 60)  # iBUG: the outer outline of the lips
_FLOOR = 0.03  # metres below the middle of the lips
_BELOW, _ABOVE = 0.042, 0.02  # metres from the middle of the lips
_BEHIND, _WELL_BEHIND, _DEEP = 0.01, 0.03, 0.13  # metres behind it
_INWARD = 0.1  # largest z of a unit normal near the lips, whose outer side looks forward

_ENAMEL, _GUM = (0.96, 0.93, 0.86), (0.58, 0.30, 0.29)
_WIDTHS = (0.085, 0.066, 0.079, 0.071, 0.068, 0.1, 0.1)
"""Widths of the teeth from the middle outwards, relative to each other."""
_SHADE = 0.35  # brightness of the last tooth, over that of the first
_GAP = 0.0035  # width of the line between two teeth, over the chart's width
_LIT = 0.95  # the lips' shadow


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
    return avg_pool2d((inside & ~_on_teeth(head, layout)).float()[None, None], 5, 1, 2)


def mouth_shade(head: Head, layout: UvLayout) -> Tensor:  # (1, 3, T, T)
    """Factors on the colour of skin: 1 outside the mouth, ``DARKER`` behind the lips, less in its depth."""
    inside = mouth_inside(head, layout)
    corners = head.template[head.faces[head.full_faces[_MOUTH]]]
    front = (corners * head.full_barycentric[_MOUTH, :, None]).sum(dim=1)[:, 2].mean()
    behind = front - layout.from_vertices(head.template[None, :, 2:])
    deep = ((behind - _BEHIND) / (2 * _WELL_BEHIND)).clamp(0, 1)
    darker = inside.new_tensor(DARKER).view(1, 3, 1, 1) * (1 - (1 - _DEPTHS) * deep)
    return 1 - inside * (1 - darker)


def teeth(head: Head, layout: UvLayout) -> tuple[Tensor, Tensor]:  # (1, 1, T, T), (1, 3, T, T)
    """Where teeth and their gums are, 0 or 1, and their colours under even light; black elsewhere."""
    mask = _on_teeth(head, layout)
    centres = (torch.arange(layout.size, device=mask.device) + 0.5) / layout.size
    low_u, high_u, low_v, high_v = CHART
    across = torch.where(centres > 0.5, 1 - centres, centres)
    along = 2 * (across - low_u) / (high_u - low_u) - 1  # -1 to 1, 0 in the middle of the arch
    down = 6 * (high_v - (1 - centres)) / (high_v - low_v)
    around = torch.where(centres > 0.5, 6 - down[:, None], down[:, None])  # the outline: see heads.teeth
    edges = along.new_tensor((0.0, *_WIDTHS)).cumsum(0) / sum(_WIDTHS)
    gap = (along.abs()[:, None] - edges).abs().amin(dim=1)
    tooth = torch.bucketize(along.abs(), edges).clamp(1, len(_WIDTHS))
    middle, half = (edges[tooth - 1] + edges[tooth]) / 2, (edges[tooth] - edges[tooth - 1]) / 2
    bow = 0.45 * ((along.abs() - middle) / half).square()  # the gum's rim is lower between the teeth
    gum = torch.sigmoid((0.8 + bow - around) * 10)
    gum = torch.maximum(gum, torch.sigmoid((around - 4.2) * 10))
    line = 1 - 0.3 * torch.exp(-(gap / _GAP / 2).square())
    shade = _LIT * (1 - (1 - _SHADE) * along.abs().clamp(0, 1).square())
    enamel, flesh = (along.new_tensor(each).view(3, 1, 1) for each in (_ENAMEL, _GUM))
    colours = (enamel * line * (1 - gum) + flesh * gum) * shade
    return mask.float()[None, None], (colours * mask)[None]


def _on_teeth(head: Head, layout: UvLayout) -> Tensor:  # (T, T) bool
    return layout.face_index >= len(head.faces) - head.tooth_faces
