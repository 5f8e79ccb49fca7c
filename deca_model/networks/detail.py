"""Details: a UV map of displacements along the normals (Feng et al. 2021, section 4.2)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from deca_model.render.normals import vertex_normals
from deca_model.render.uv import UvLayout

DETAIL_SIZE, EXPRESSION_SIZE, JAW_SIZE = 128, 50, 3
MAP_SIZE = 256
LARGEST = 0.01
"""Metres; the largest displacement that the decoder can give."""
_START = 8
_CHANNELS = (128, 128, 64, 64, 32, 16)
_BATCH_NORM_FLOOR = 0.8  # the official layers pass 0.8 as BatchNorm2d's eps
_SLOPE = 0.2  # of LeakyReLU below zero
CURVING = 0.75
"""Strength of the Phong tessellation."""
_STEEPEST = 0.5  # largest change of a unit normal, a tilt of 29 degrees
_TOWARD_VIEWER = 0.05  # smallest z of a normal whose texel counts as seen


class DetailDecoder(nn.Module):
    """D_detail: codes to a displacement map. Layers and parameter names are the official ones.

    For a map smaller than the official one, the first upsamplings are left out: the layers are the same, but
    work at a half or a quarter of the size. The convolutions are initialised after He et al. 2015, which
    keeps the strength of a signal; torch's default halves it in each layer. In a trial on eight fixed faces,
    60 steps took the UV loss from 0.109 to 0.085, and to 0.091 with torch's default. The last layer starts
    near zero, so training starts from the smooth head and not from a millimetre of noise.

    Args:
        size: needed side of the map in texels; ``self.size`` is this rounded up to 8, 16, ..., at most 256.
    """

    def __init__(self, size: int = MAP_SIZE) -> None:
        super().__init__()
        inputs = JAW_SIZE + EXPRESSION_SIZE + DETAIL_SIZE
        self.l1 = nn.Sequential(nn.Linear(inputs, _CHANNELS[0] * _START * _START))
        blocks = list(pairwise(_CHANNELS))
        doublings = min(len(blocks), max(0, math.ceil(math.log2(size / _START))))
        self.size = _START * 2**doublings
        layers: list[nn.Module] = [nn.BatchNorm2d(_CHANNELS[0])]
        for number, (before, after) in enumerate(blocks):
            doubles = number >= len(blocks) - doublings
            layers += [
                nn.Upsample(scale_factor=2, mode="bilinear") if doubles else nn.Identity(),
                nn.Conv2d(before, after, 3, padding=1),
                nn.BatchNorm2d(after, _BATCH_NORM_FLOOR),
                nn.LeakyReLU(_SLOPE),
            ]
            nn.init.kaiming_normal_(layers[-3].weight, _SLOPE)  # type: ignore[arg-type]
        last = nn.Conv2d(_CHANNELS[-1], 1, 3, padding=1)
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(0.01)
        self.conv_blocks = nn.Sequential(*layers, last, nn.Tanh())

    def forward(
        self,
        detail: Tensor,  # (B, 128)
        expression: Tensor,  # (B, 50)
        jaw: Tensor,  # (B, 3) axis-angle
    ) -> Tensor:  # (B, 1, size, size)
        """Displacements along the normals in metres, from -0.01 to 0.01; float32."""
        start = self.l1(torch.cat([jaw, expression, detail], dim=1))
        grid = start.view(-1, _CHANNELS[0], _START, _START)
        return self.conv_blocks(grid).float() * LARGEST


class SmoothSurface(NamedTuple):
    """The surface as a grid of texels, before it is displaced; it does not depend on the displacement."""

    points: Tensor  # (B, 3, S, S) head space
    normals: Tensor  # (B, 3, S, S) unit normals of the head
    grid: Tensor  # (B, 3, S - 2, S - 2) unit normals of the grid, from differences of neighbours


class DetailSurface(nn.Module):
    """The head's surface as a grid of texels that displacements move. No parameters."""

    region: Tensor  # (1, 1, S, S), 1 in the face, where displacements apply

    def __init__(self, layout: UvLayout) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("region", layout.face_region.float()[None, None].clone(), persistent=False)

    def points(
        self,
        displacement: Tensor,  # (B, 1, S, S) metres
        vertices: Tensor,  # (B, V, 3)
    ) -> tuple[Tensor, Tensor]:
        """Displaced surface points, and unit normals before displacement; (B, 3, S, S) in head space.

        The triangles are curved first, so that a dense mesh of the points does not show their edges. This is
        Phong tessellation (Boubekeur and Alexa 2008): a point moves three quarters of the way to the weighted
        mean of its projections onto the tangent planes at the three corners.
        """
        base, coarse = self._base(vertices)
        return base + displacement * self.region * coarse, coarse

    def normals(
        self,
        displacement: Tensor,  # (B, 1, S, S) metres
        vertices: Tensor,  # (B, V, 3)
    ) -> Tensor:  # (B, 3, S, S)
        """Unit normals: of the displaced surface inside the face, of the head elsewhere.

        The displacement changes the normals of the texel grid (from differences of neighbours). This change
        is added to the head's smooth normal, so without a displacement the normal is exactly the head's. It
        is also the head's at the rim of the face, where a neighbour is missing. The tilt is limited to about
        30 degrees: at the rims of lips and lids, texels are so close in space that a small displacement would
        flip the normal.
        """
        return self.displaced_normals(displacement, self.smooth(vertices))

    def smooth(self, vertices: Tensor) -> SmoothSurface:  # (B, V, 3)
        """The surface without displacement, for ``displaced_normals``."""
        base, coarse = self._base(vertices)
        return SmoothSurface(base, coarse, _grid_normals(base, coarse[..., 1:-1, 1:-1]))

    def displaced_normals(
        self,
        displacement: Tensor,  # (B, 1, S, S) metres
        surface: SmoothSurface,
    ) -> Tensor:  # (B, 3, S, S)
        """As ``normals``, for a surface that several displacements move."""
        base, coarse, grid = surface
        inner = coarse[..., 1:-1, 1:-1]
        tilt = _grid_normals(base + displacement * self.region * coarse, inner) - grid
        tilt = tilt * (_STEEPEST / tilt.norm(dim=1, keepdim=True).clamp(min=_STEEPEST))
        fine = coarse.clone()
        fine[..., 1:-1, 1:-1] = normalize(inner + tilt * self._inner_region(), dim=1)
        return fine

    def visible(
        self,
        vertices: Tensor,  # (B, V, 3) posed, head space
        projected: Tensor,  # (B, V, 3)
        masks: Tensor,  # (B, 1, H, W), where the photo shows the face
    ) -> Tensor:  # (B, 1, S, S)
        """Which texels of the face the photo shows: towards the viewer and inside the mask; no gradient."""
        with torch.no_grad():
            normals = vertex_normals(vertices, self.layout.faces)
            toward = self.layout.from_vertices(normals)[:, 2:] > _TOWARD_VIEWER
            return self.layout.from_image(masks, projected) * toward * self.region

    def _base(self, vertices: Tensor) -> tuple[Tensor, Tensor]:
        """Points and unit normals of the curved head, (B, 3, S, S)."""
        normals = vertex_normals(vertices, self.layout.faces)
        maps = self.layout.from_vertices(torch.cat([vertices, normals], dim=2))
        flat, coarse = maps[:, :3].permute(0, 2, 3, 1), normalize(maps[:, 3:], dim=1)
        corner, normal = self.layout.at_corners(vertices), self.layout.at_corners(normals)
        # height of each texel above the tangent planes at its face's corners
        height = ((flat[..., None, :] - corner) * normal).sum(dim=-1, keepdim=True)
        weight = self.layout.barycentric[..., None].to(vertices.dtype)
        curved = flat - CURVING * (weight * height * normal).sum(dim=3)
        return curved.permute(0, 3, 1, 2), coarse

    def _inner_region(self) -> Tensor:  # (1, 1, S - 2, S - 2)
        """Texels of the face whose four neighbours are also in the face."""
        region = self.region
        vertical = region[..., 2:, 1:-1] * region[..., :-2, 1:-1]
        horizontal = region[..., 1:-1, 2:] * region[..., 1:-1, :-2]
        return region[..., 1:-1, 1:-1] * vertical * horizontal


def _grid_normals(
    points: Tensor,  # (B, 3, S, S)
    outward: Tensor,  # (B, 3, S - 2, S - 2)
) -> Tensor:  # (B, 3, S - 2, S - 2)
    """Unit normals of a grid of points from differences of neighbours, on the side of ``outward``."""
    across = points[..., 1:-1, 2:] - points[..., 1:-1, :-2]
    down = points[..., 2:, 1:-1] - points[..., :-2, 1:-1]
    normal = normalize(torch.linalg.cross(across, down, dim=1), dim=1, eps=1e-20)
    # A UV layout may be mirrored, so the head's normal decides which side is the outer one.
    side = (normal.detach() * outward.detach()).sum(dim=1, keepdim=True)
    return normal * torch.where(side < 0, -1.0, 1.0)
