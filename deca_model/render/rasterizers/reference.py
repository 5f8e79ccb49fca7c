"""The rasteriser in its plainest form; tests compare the fast kernels with it."""

from __future__ import annotations

import torch
from torch import Tensor


def select_faces(
    vertices: Tensor,  # (B, V, 3) pixels
    faces: Tensor,  # (F, 3)
    height: int,
    width: int,
) -> Tensor:  # (B, H, W) int64
    """The visible face per pixel, -1 where empty: every face is tested at every pixel, one by one."""
    y = torch.arange(height).float()[:, None]
    x = torch.arange(width).float()[None, :]
    result = torch.full((len(vertices), height, width), -1, dtype=torch.int64)
    for image, points in enumerate(vertices):
        nearest = torch.full((height, width), float("inf"))
        for face, corner_index in enumerate(faces.tolist()):
            (ax, ay, az), (bx, by, bz), (cx, cy, cz) = points[corner_index]
            wa = (bx - x) * (cy - y) - (by - y) * (cx - x)
            wb = (cx - x) * (ay - y) - (cy - y) * (ax - x)
            wc = (ax - x) * (by - y) - (ay - y) * (bx - x)
            area = wa + wb + wc
            same_side = ((wa >= 0) & (wb >= 0) & (wc >= 0)) | ((wa <= 0) & (wb <= 0) & (wc <= 0))
            depth = (wa * az + wb * bz + wc * cz) / area
            wins = same_side & (area != 0) & (depth < nearest) & points[corner_index].isfinite().all()
            nearest = torch.where(wins, depth, nearest)
            result[image] = torch.where(wins, face, result[image])
    return result
