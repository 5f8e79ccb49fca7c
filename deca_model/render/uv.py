"""The UV layout of a head, rasterised once: which surface point each texel shows.

UV maps are images (B, C, S, S): row 0 is v = 1, column 0 is u = 0, and the centre of texel ``i`` of ``S`` is
at ``(i + 0.5) / S``, as in ``grid_sample`` with ``align_corners=False``.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample, pad

from deca_model.heads.head import Head
from deca_model.render.rasterize import Fragments, interpolate, rasterize


class UvLayout(nn.Module):
    """Maps between the surface and its UV square. It has buffers but no parameters."""

    face_index: Tensor  # (S, S) int64; texels outside the charts get the face of the nearest covered texel
    barycentric: Tensor  # (S, S, 3)
    covered: Tensor  # (S, S) bool: inside a chart
    face_region: Tensor  # (S, S) bool: covered, and in the head's face region
    faces: Tensor  # (F, 3)
    corners: Tensor  # (F, 3, 2): the faces' corners in grid_sample's coordinates: y down, [-1, 1]

    def __init__(self, head: Head, size: int = 256) -> None:
        super().__init__()
        self.size = size
        grid, uv_faces = uv_to_grid(head.uv).detach().cpu(), head.uv_faces.cpu()
        fragments = rasterize(pad(grid, (0, 1))[None], uv_faces, size)  # depth 0
        covered = fragments.face_index[0] >= 0
        row, column = _nearest_covered(covered)
        face_index = fragments.face_index[0][row, column]
        self._hold("face_index", face_index)
        self._hold("barycentric", fragments.barycentric[0][row, column])
        self._hold("covered", covered)
        self._hold("face_region", covered & head.face_region.cpu()[face_index])
        self._hold("faces", head.faces.detach().cpu())
        self._hold("corners", grid[uv_faces])

    def from_vertices(self, values: Tensor) -> Tensor:  # (B, V, C) -> (B, C, S, S)
        """Values given per vertex as a UV map."""
        picked = self.at_corners(values)
        return (picked * self.barycentric[..., None].to(values.dtype)).sum(dim=3).permute(0, 3, 1, 2)

    def at_corners(self, values: Tensor) -> Tensor:  # (B, V, C) -> (B, S, S, 3, C)
        """Values given per vertex at the three corners of each texel's face."""
        corner = self.faces[self.face_index].reshape(-1)
        return values.index_select(1, corner).view(len(values), self.size, self.size, 3, -1)

    def from_image(
        self,
        images: Tensor,  # (B, C, H, W)
        projected: Tensor,  # (B, V, 3), the vertices in normalised image coordinates
    ) -> Tensor:  # (B, C, S, S)
        """The image sampled at each texel's projection, 0 outside; hidden texels are sampled too."""
        where = self.from_vertices(projected[..., :2]).permute(0, 2, 3, 1)
        return grid_sample(images, where.to(images.dtype), align_corners=False)

    def to_image(
        self,
        maps: Tensor,  # (B, C, S, S)
        fragments: Fragments,
    ) -> Tensor:  # (B, C, H, W)
        """The image of a UV map on a rasterised head; 0 where no face is seen."""
        grid = interpolate(fragments, self.corners.to(fragments.barycentric.dtype))
        sampled = grid_sample(maps, grid.to(maps.dtype), padding_mode="border", align_corners=False)
        return sampled * (fragments.face_index >= 0)[:, None]

    def _hold(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)


def uv_to_grid(uv: Tensor) -> Tensor:  # (..., 2)
    """UV coordinates (v up, [0, 1]) to ``grid_sample``'s (y down, [-1, 1])."""
    return torch.stack([2 * uv[..., 0] - 1, 1 - 2 * uv[..., 1]], dim=-1)


def _nearest_covered(covered: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column (S, S) of the covered texel nearest to each texel."""
    empty = (~covered).numpy().astype(np.uint8)
    _, found = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = np.asarray(found, np.int64)
    rows, columns = np.nonzero(empty == 0)
    place = np.zeros((labels.max() + 1, 2), np.int64)
    place[labels[rows, columns]] = np.stack([rows, columns], axis=1)
    nearest = torch.from_numpy(place[labels])
    return nearest[..., 0], nearest[..., 1]
