"""The z-buffer and the barycentric coordinates as tensor code, for a GPU (and, in tests, a CPU).

Every face is expanded to the pixels of its bounding box. Each pixel inside the face writes a 64-bit key with
a scatter-minimum: depth in the upper half, face index in the lower. So the nearest face wins, ties go to the
lowest index, and the order of execution does not matter.
"""

from __future__ import annotations

import torch
from torch import Tensor

_EMPTY = torch.iinfo(torch.int64).max
CHUNK = 1 << 24
"""Candidates per step: limits the memory to about 1.5 GB."""


def select_faces(
    vertices: Tensor,  # (B, V, 3) float32 pixels
    faces: Tensor,  # (F, 3) int64
    height: int,
    width: int,
) -> Tensor:  # (B, H, W) int64
    """The visible face per pixel, -1 where empty."""
    batch = vertices.shape[0]
    corners = vertices[:, faces].reshape(-1, 3, 3)  # (B F, 3, 3)
    left, top, columns, rows = _boxes(corners, height, width)
    ends = (columns * rows).cumsum(0)
    keys = torch.full((batch * height * width,), _EMPTY, dtype=torch.int64, device=vertices.device)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, CHUNK):
        candidate = torch.arange(start, min(start + CHUNK, total), device=vertices.device)
        owner = torch.searchsorted(ends, candidate, right=True)
        local = candidate - (ends[owner] - columns[owner] * rows[owner])
        x, y = left[owner] + local % columns[owner], top[owner] + local // columns[owner]
        inside, depth = _test(corners[owner], x.float(), y.float())
        image = torch.div(owner, len(faces), rounding_mode="floor")
        pixel = (image * height + y) * width + x
        key = _sortable(depth) * (1 << 32) + (owner - image * len(faces))
        keys.scatter_reduce_(0, pixel[inside], key[inside], reduce="amin")
    face = torch.where(keys == _EMPTY, -1, keys & 0xFFFFFFFF)
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
    barycentric = torch.where(usable, weights / torch.where(usable, area, torch.ones_like(area)), 0.0)
    corner_depth = torch.where(usable, corners[..., 2], 0.0)
    return barycentric, (barycentric * corner_depth).sum(dim=-1)


def _boxes(corners: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """First column and row, and the numbers of columns and rows, of the pixel centres in each face's box."""
    finite = corners.isfinite().all(dim=2).all(dim=1)
    corners = torch.where(finite[:, None, None], corners, -1.0)  # a box outside the image contains no pixel
    low, high = corners[..., :2].amin(dim=1), corners[..., :2].amax(dim=1)
    limit = corners.new_tensor([width - 1, height - 1])
    first = low.ceil().clamp(min=0).minimum(limit + 1).long()
    last = high.floor().clamp(min=-1).minimum(limit).long()
    count = (last - first + 1).clamp(min=0)
    count = torch.where((count > 0).all(dim=1, keepdim=True), count, torch.zeros_like(count))
    return first[:, 0], first[:, 1], count[:, 0], count[:, 1]


def _test(corners: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Whether pixel centres are inside their faces (N,), and the depth there (N,)."""
    ax, bx, cx = (corners[..., 0] - x[:, None]).unbind(dim=1)
    ay, by, cy = (corners[..., 1] - y[:, None]).unbind(dim=1)
    az, bz, cz = corners[..., 2].unbind(dim=1)
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
