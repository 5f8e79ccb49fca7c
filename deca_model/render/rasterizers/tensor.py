"""The z-buffer and the barycentric coordinates as tensor code, for a GPU without Triton (in tests, a CPU).

Every face is expanded to the pixels of its bounding box, its candidates. Each pixel inside the face writes a
64-bit key with a scatter-minimum: depth in the upper half, face index in the lower. So the nearest face wins,
ties go to the lowest index, and the order of execution does not matter.

How many candidates there are is known only on the device, and reading it would make the host wait. So there
is always room for ``LAYERS`` candidates per pixel. A picture with more is left empty. The open head has at
most 17, at any distance from the camera.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deca_model.render.constants import constant

_EMPTY = torch.iinfo(torch.int64).max
LAYERS = 32
"""Largest mean number of candidates of a pixel."""
CHUNK = 1 << 24
"""Candidates per step: limits the memory to about 1.5 GB."""


def select_faces(
    vertices: Tensor,  # (B, V, 3) float32 pixels
    faces: Tensor,  # (F, 3) int64
    height: int,
    width: int,
) -> Tensor:  # (B, H, W) int64
    """The visible face per pixel, -1 where empty; see the module for pictures that are left empty."""
    batch, area = len(vertices), height * width
    keys = torch.full((batch, area), _EMPTY, dtype=torch.int64, device=vertices.device)
    if not batch or not len(faces):
        return keys.fill_(-1).view(batch, height, width)
    corners = vertices[:, faces]  # (B, F, 3, 3)
    boxes = _boxes(corners, height, width)
    ends = (boxes[2] * boxes[3]).cumsum(1)
    ends = ends.masked_fill(ends[:, -1:] > LAYERS * area, 0)
    step = max(1, CHUNK // batch)
    for start in range(0, LAYERS * area, step):
        stop = min(start + step, LAYERS * area)
        candidate = torch.arange(start, stop, device=vertices.device).expand(batch, -1).contiguous()
        owner = torch.searchsorted(ends, candidate, right=True)
        missing = owner == len(faces)
        owner = owner.clamp(max=len(faces) - 1)
        left, top, columns, rows = (part.gather(1, owner) for part in boxes)
        local = candidate - (ends.gather(1, owner) - columns * rows)
        columns = columns.clamp(min=1)
        x, y = left + local % columns, top + torch.div(local, columns, rounding_mode="floor")
        where = owner[..., None].expand(-1, -1, 9)
        own = corners.flatten(2).gather(1, where).unflatten(2, (3, 3))
        inside, depth = _test(own, x.float(), y.float())
        key = (_sortable(depth) * (1 << 32) + owner).masked_fill(~inside | missing, _EMPTY)
        # Those that are missing change nothing, but all at one pixel would wait for each other.
        pixel = torch.where(missing, candidate % area, y * width + x)
        keys.scatter_reduce_(1, pixel, key, reduce="amin")
    face = (keys & 0xFFFFFFFF).masked_fill(keys == _EMPTY, -1)
    return face.view(batch, height, width)


def locate(
    face_index: Tensor,  # (B, H, W), -1 where empty
    vertices: Tensor,  # (B, V, 3) normalised image coordinates
    faces: Tensor,  # (F, 3)
) -> tuple[Tensor, Tensor]:
    """Barycentric coordinates (B, H, W, 3) and depth (B, H, W) of pixel centres, differentiable."""
    batch, height, width = face_index.shape
    seen = face_index >= 0
    corner_index = faces[face_index.clamp(min=0)].view(batch, -1, 1).expand(-1, -1, 3)
    # gather: its backward is a scatter-add, much faster on a GPU than the backward of advanced indexing
    corners = vertices.gather(1, corner_index).view(batch, height, width, 3, 3)
    rows, columns = (torch.arange(n, device=vertices.device, dtype=vertices.dtype) for n in (height, width))
    offset_x = corners[..., 0] - ((2 * columns + 1) / width - 1)[:, None]
    offset_y = corners[..., 1] - ((2 * rows + 1) / height - 1)[:, None, None]
    turned_x, turned_y = offset_x.roll(-1, dims=-1), offset_y.roll(-1, dims=-1)
    opposite = offset_x * turned_y - offset_y * turned_x  # edges 01, 12, 20 face corners 2, 0, 1
    weights = opposite.roll(-1, dims=-1)
    area = weights.sum(dim=-1, keepdim=True)
    usable = seen[..., None] & (area != 0)
    barycentric = (weights / torch.where(usable, area, torch.ones_like(area))).masked_fill(~usable, 0)
    corner_depth = corners[..., 2].masked_fill(~usable, 0)
    return barycentric, (barycentric * corner_depth).sum(dim=-1)


def _boxes(corners: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """First column and row, and the numbers of columns and rows, of the pixel centres in each face's box.

    Four times (B, F), for corners (B, F, 3, 3).
    """
    finite = corners.isfinite().all(dim=3).all(dim=2)
    # a box outside the image contains no pixel
    corners = corners.masked_fill(~finite[..., None, None], -1.0)
    low, high = corners[..., :2].amin(dim=2), corners[..., :2].amax(dim=2)
    limit = constant((width - 1, height - 1), corners.device, corners.dtype)
    first = low.ceil().clamp(min=0).minimum(limit + 1).long()
    last = high.floor().clamp(min=-1).minimum(limit).long()
    count = (last - first + 1).clamp(min=0)
    count = count * (count > 0).all(dim=2, keepdim=True)
    return first[..., 0], first[..., 1], count[..., 0], count[..., 1]


def _test(corners: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Whether pixel centres (B, N) are inside their faces, and the depth there; both (B, N)."""
    ax, bx, cx = (corners[..., 0] - x[..., None]).unbind(dim=-1)
    ay, by, cy = (corners[..., 1] - y[..., None]).unbind(dim=-1)
    az, bz, cz = corners[..., 2].unbind(dim=-1)
    # Offsets are relative to the pixel, so an edge gives exactly opposite numbers to its two faces: no holes.
    wa, wb, wc = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    area = wa + wb + wc
    front = (wa >= 0) & (wb >= 0) & (wc >= 0)
    back = (wa <= 0) & (wb <= 0) & (wc <= 0)
    depth = (wa * az + wb * bz + wc * cz) / torch.where(area == 0, torch.ones_like(area), area)
    return (front | back) & (area != 0), depth


def _sortable(depth: Tensor) -> Tensor:
    """float32 to int64 in the same order; bits of negative floats sort in reverse, so they are negated."""
    depth = depth + 0.0  # -0 becomes 0: both are the same depth
    bits = depth.view(torch.int32).long()
    return torch.where(bits < 0, -(bits & 0x7FFFFFFF), bits)
