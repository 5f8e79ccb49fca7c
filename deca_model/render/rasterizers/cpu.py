"""The z-buffer for a CPU: one compiled loop over the faces of an image; the images run in threads.

The loop releases the interpreter lock, so plain threads are enough. Numba's parallel mode would take three
times as long to compile, and its threads do not survive a fork (data loaders fork).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor

from deca_model.render.rasterizers.compiled import compiled


def select_faces(
    vertices: Tensor,  # (B, V, 3) float32 pixels
    faces: Tensor,  # (F, 3) int64
    height: int,
    width: int,
) -> Tensor:  # (B, H, W) int64
    """The visible face per pixel, -1 where empty; uses up to ``torch.get_num_threads()`` threads."""
    kernel = compiled_kernel()
    points = np.ascontiguousarray(vertices.cpu().numpy())
    corners = np.ascontiguousarray(faces.cpu().numpy())
    result = np.full((len(points), height, width), -1, dtype=np.int64)
    each_image(lambda image: kernel(points[image], corners, result[image]), len(points))
    return torch.from_numpy(result)


def each_image(draw: Callable[[int], None], images: int) -> None:
    """Run ``draw`` for every image, in up to ``torch.get_num_threads()`` threads."""
    workers = min(images, torch.get_num_threads())
    if workers <= 1:
        for image in range(images):
            draw(image)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(draw, range(images)))


@cache
def compiled_kernel() -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """``draw_image``, compiled once per process or read from the cache."""
    return compiled(draw_image, "void(float32[:, ::1], int64[:, ::1], int64[:, ::1])")


def draw_image(vertices: np.ndarray, faces: np.ndarray, result: np.ndarray) -> None:
    """Draw one image, in float32 and in the same order of operations as ``tensor``, for the same choice.

    Faces towards the viewer are drawn first. Most of the others are then hidden, which one comparison shows.
    """
    height, width = result.shape
    nearest = np.full((height, width), np.inf, dtype=np.float32)
    zero, last_x, last_y = np.float32(0), np.float32(width - 1), np.float32(height - 1)
    for face in range(2 * faces.shape[0]):
        turned_away = face >= faces.shape[0]
        if turned_away:
            face -= faces.shape[0]
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        bx, by, bz = vertices[b, 0], vertices[b, 1], vertices[b, 2]
        cx, cy, cz = vertices[c, 0], vertices[c, 1], vertices[c, 2]
        if ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax) < zero) == turned_away:
            continue
        if not np.isfinite(ax + ay + az + bx + by + bz + cx + cy + cz):
            continue
        left, right = int(np.ceil(max(min(ax, bx, cx), zero))), int(np.floor(min(max(ax, bx, cx), last_x)))
        top, bottom = int(np.ceil(max(min(ay, by, cy), zero))), int(np.floor(min(max(ay, by, cy), last_y)))
        # The face's smallest depth, less rounding: the depth at a pixel is a weighted mean of the corners'.
        bound = min(az, bz, cz) - np.float32(1e-5) * max(abs(az), abs(bz), abs(cz))
        for y in range(top, bottom + 1):
            py = np.float32(y)
            ay_, by_, cy_ = ay - py, by - py, cy - py
            for x in range(left, right + 1):
                near = nearest[y, x]
                if bound > near:
                    continue
                px = np.float32(x)
                ax_, bx_, cx_ = ax - px, bx - px, cx - px
                # Offsets are relative to the pixel, so an edge gives exactly opposite numbers to its two
                # faces, and there are no holes.
                wa, wb, wc = bx_ * cy_ - by_ * cx_, cx_ * ay_ - cy_ * ax_, ax_ * by_ - ay_ * bx_
                area = wa + wb + wc
                if min(wa, wb, wc) < zero < max(wa, wb, wc) or area == zero:
                    continue
                depth = (wa * az + wb * bz + wc * cz) / area
                if depth < near or (depth == near and face < result[y, x]):
                    nearest[y, x] = depth
                    result[y, x] = face
