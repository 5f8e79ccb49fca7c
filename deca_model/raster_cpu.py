"""The z-buffer for a CPU: one compiled loop over the faces of an image, images spread over threads.

The loop releases the interpreter lock, so plain threads suffice; numba's own parallel mode would triple the
compile time and bring a thread layer that does not survive a fork (data loaders fork).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor


def select_faces(
    vertices: Tensor,  # (B, V, 3) float32 pixels
    faces: Tensor,  # (F, 3) int64
    height: int,
    width: int,
) -> Tensor:  # (B, H, W) int64
    """The visible face per pixel, -1 where empty; uses up to ``torch.get_num_threads()`` threads."""
    kernel = _compiled_kernel()
    points = np.ascontiguousarray(vertices.cpu().numpy())
    corners = np.ascontiguousarray(faces.cpu().numpy())
    result = np.full((len(points), height, width), -1, dtype=np.int64)
    each_image(lambda image: kernel(points[image], corners, result[image]), len(points))
    return torch.from_numpy(result)


def each_image(draw: Callable[[int], None], images: int) -> None:
    """Runs ``draw`` for every image, in up to ``torch.get_num_threads()`` threads."""
    workers = min(images, torch.get_num_threads())
    if workers <= 1:
        for image in range(images):
            draw(image)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(draw, range(images)))


@cache
def _compiled_kernel() -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """Compiles the loop once a process (under a second); numba is imported only here."""
    import numba

    signature = "void(float32[:, ::1], int64[:, ::1], int64[:, ::1])"
    return numba.njit(signature, nogil=True, error_model="numpy")(_draw)


def _draw(vertices: np.ndarray, faces: np.ndarray, result: np.ndarray) -> None:
    """Draws one image. float32 throughout, in the order of ``raster_tensor``, so that both choose alike."""
    height, width = result.shape
    nearest = np.full((height, width), np.inf, dtype=np.float32)
    zero = np.float32(0)
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        bx, by, bz = vertices[b, 0], vertices[b, 1], vertices[b, 2]
        cx, cy, cz = vertices[c, 0], vertices[c, 1], vertices[c, 2]
        low_x, high_x = min(ax, bx, cx), max(ax, bx, cx)
        low_y, high_y = min(ay, by, cy), max(ay, by, cy)
        if not (np.isfinite(ax + bx + cx) and np.isfinite(ay + by + cy) and np.isfinite(az + bz + cz)):
            continue
        if high_x < 0 or high_y < 0 or low_x > width - 1 or low_y > height - 1:
            continue
        left, right = int(np.ceil(max(low_x, zero))), int(np.floor(min(high_x, np.float32(width - 1))))
        top, bottom = int(np.ceil(max(low_y, zero))), int(np.floor(min(high_y, np.float32(height - 1))))
        for y in range(top, bottom + 1):
            py = np.float32(y)
            ay_, by_, cy_ = ay - py, by - py, cy - py
            for x in range(left, right + 1):
                px = np.float32(x)
                ax_, bx_, cx_ = ax - px, bx - px, cx - px
                # Offsets are taken from the pixel, so an edge gives exactly opposite numbers to its two
                # faces: no holes.
                wa = bx_ * cy_ - by_ * cx_
                wb = cx_ * ay_ - cy_ * ax_
                wc = ax_ * by_ - ay_ * bx_
                if not ((wa >= 0 and wb >= 0 and wc >= 0) or (wa <= 0 and wb <= 0 and wc <= 0)):
                    continue
                area = wa + wb + wc
                if area == 0:
                    continue
                depth = (wa * az + wb * bz + wc * cz) / area
                if depth < nearest[y, x]:
                    nearest[y, x] = depth
                    result[y, x] = face
