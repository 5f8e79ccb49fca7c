"""The kernels of the rasteriser for a GPU, in Triton: visible faces, and places in them with their gradient.

They compute what ``tensor`` computes, in float32 and in the same order of operations, so that both choose the
same faces. The compiler must not join a product and a sum into one rounding: an edge would no longer give
exactly opposite numbers to its two faces, and there would be holes. ``triton_mesh`` turns that off.
"""

# pyright: reportGeneralTypeIssues=false
# Triton's types say that a kernel cannot be called; one may call another.

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def draw(
    vertices,  # (B, V, 3) float32 pixels
    faces,  # (F, 3) int64
    keys,  # (B, H, W) int64: depth in the upper half, face in the lower; the smallest stays
    vertex_count,
    face_count,
    height,
    width,
    block: tl.constexpr,
):
    """Draw ``block`` faces of one picture; each walks through the pixels of its bounding box."""
    image = tl.program_id(1).to(tl.int64)
    face = tl.program_id(0) * block + tl.arange(0, block)
    real = face < face_count
    points, picture = vertices + image * vertex_count * 3, keys + image * height * width
    a = points + tl.load(faces + face * 3, mask=real, other=0) * 3
    b = points + tl.load(faces + face * 3 + 1, mask=real, other=0) * 3
    c = points + tl.load(faces + face * 3 + 2, mask=real, other=0) * 3
    ax, ay, az = tl.load(a), tl.load(a + 1), tl.load(a + 2)
    bx, by, bz = tl.load(b), tl.load(b + 1), tl.load(b + 2)
    cx, cy, cz = tl.load(c), tl.load(c + 1), tl.load(c + 2)
    real &= (tl.abs(ax) < float("inf")) & (tl.abs(bx) < float("inf")) & (tl.abs(cx) < float("inf"))
    real &= (tl.abs(ay) < float("inf")) & (tl.abs(by) < float("inf")) & (tl.abs(cy) < float("inf"))
    real &= (tl.abs(az) < float("inf")) & (tl.abs(bz) < float("inf")) & (tl.abs(cz) < float("inf"))
    left, right = tl.minimum(tl.minimum(ax, bx), cx), tl.maximum(tl.maximum(ax, bx), cx)
    top, bottom = tl.minimum(tl.minimum(ay, by), cy), tl.maximum(tl.maximum(ay, by), cy)
    left = tl.ceil(tl.minimum(tl.maximum(left, 0.0), width * 1.0)).to(tl.int32)
    top = tl.ceil(tl.minimum(tl.maximum(top, 0.0), height * 1.0)).to(tl.int32)
    right = tl.floor(tl.maximum(tl.minimum(right, width - 1.0), -1.0)).to(tl.int32)
    bottom = tl.floor(tl.maximum(tl.minimum(bottom, height - 1.0), -1.0)).to(tl.int32)
    columns, rows = tl.maximum(right - left + 1, 0), tl.maximum(bottom - top + 1, 0)
    pixels = tl.where(real, columns * rows, 0)
    x, y = left, top
    for step in range(0, tl.max(pixels, axis=0)):
        px, py = x.to(tl.float32), y.to(tl.float32)
        ax_, ay_ = ax - px, ay - py
        bx_, by_ = bx - px, by - py
        cx_, cy_ = cx - px, cy - py
        # Offsets are relative to the pixel, so an edge gives exactly opposite numbers to its two faces.
        wa, wb, wc = bx_ * cy_ - by_ * cx_, cx_ * ay_ - cy_ * ax_, ax_ * by_ - ay_ * bx_
        area = wa + wb + wc
        inside = ((wa >= 0) & (wb >= 0) & (wc >= 0)) | ((wa <= 0) & (wb <= 0) & (wc <= 0))
        inside &= (area != 0) & (step < pixels)
        depth = tl.div_rn(wa * az + wb * bz + wc * cz, tl.where(area == 0, 1.0, area))
        bits = depth.to(tl.int32, bitcast=True)
        bits = tl.where(bits < 0, -(bits & 0x7FFFFFFF), bits)  # in the order of the depths; -0 is 0
        key = bits.to(tl.int64) * 4294967296 + face
        tl.atomic_min(picture + y * width + x, key, mask=inside, sem="relaxed")
        x += 1
        ends = x > right
        x = tl.where(ends, left, x)
        y = tl.where(ends, y + 1, y)


@triton.jit
def _weights(points, a, b, c, pixel, height, width, seen):
    """The corners relative to the pixel centres, their weights, and 1 / the weights' sum (0 if it is 0)."""
    column, row = pixel % width, pixel // width
    ax, ay = tl.load(points + a * 3, mask=seen, other=0.0), tl.load(points + a * 3 + 1, mask=seen, other=0.0)
    bx, by = tl.load(points + b * 3, mask=seen, other=0.0), tl.load(points + b * 3 + 1, mask=seen, other=0.0)
    cx, cy = tl.load(points + c * 3, mask=seen, other=0.0), tl.load(points + c * 3 + 1, mask=seen, other=0.0)
    x = (2 * column + 1).to(ax.dtype) / width - 1
    y = (2 * row + 1).to(ax.dtype) / height - 1
    ax, ay, bx, by, cx, cy = ax - x, ay - y, bx - x, by - y, cx - x, cy - y
    wa, wb, wc = bx * cy - by * cx, cx * ay - cy * ax, ax * by - ay * bx
    area = wa + wb + wc
    inverse = tl.where(area == 0, 0.0, 1.0 / tl.where(area == 0, 1.0, area))
    return ax, ay, bx, by, cx, cy, wa, wb, wc, inverse


@triton.jit
def locate(
    index,  # (B, H, W) int64, -1 where empty
    vertices,  # (B, V, 3) float32 or float64, normalised image coordinates
    faces,  # (F, 3) int64
    barycentric,  # (B, H, W, 3)
    depth,  # (B, H, W)
    vertex_count,
    height,
    width,
    block: tl.constexpr,
):
    """Barycentric coordinates and depth of ``block`` pixel centres; 0 where empty."""
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * block + tl.arange(0, block)
    real = pixel < height * width
    place = image * height * width + pixel
    face = tl.load(index + place, mask=real, other=-1)
    seen, points = face >= 0, vertices + image * vertex_count * 3
    a = tl.load(faces + face * 3, mask=seen, other=0)
    b = tl.load(faces + face * 3 + 1, mask=seen, other=0)
    c = tl.load(faces + face * 3 + 2, mask=seen, other=0)
    _, _, _, _, _, _, wa, wb, wc, inverse = _weights(points, a, b, c, pixel, height, width, seen)
    la, lb, lc = wa * inverse, wb * inverse, wc * inverse
    az = tl.load(points + a * 3 + 2, mask=seen, other=0.0)
    bz = tl.load(points + b * 3 + 2, mask=seen, other=0.0)
    cz = tl.load(points + c * 3 + 2, mask=seen, other=0.0)
    tl.store(barycentric + place * 3, la, mask=real)
    tl.store(barycentric + place * 3 + 1, lb, mask=real)
    tl.store(barycentric + place * 3 + 2, lc, mask=real)
    tl.store(depth + place, la * az + lb * bz + lc * cz, mask=real)


@triton.jit
def locate_gradient(
    index,  # (B, H, W) int64, -1 where empty
    vertices,  # (B, V, 3)
    faces,  # (F, 3)
    to_barycentric,  # (B, H, W, 3)
    to_depth,  # (B, H, W)
    gradient,  # (B, V, 3), to which the pixels add
    vertex_count,
    height,
    width,
    block: tl.constexpr,
):
    """The gradient of ``locate``; the formulas are those of ``cpu_locate``."""
    image = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * block + tl.arange(0, block)
    place = image * height * width + pixel
    face = tl.load(index + place, mask=pixel < height * width, other=-1)
    seen, points = face >= 0, vertices + image * vertex_count * 3
    a = tl.load(faces + face * 3, mask=seen, other=0)
    b = tl.load(faces + face * 3 + 1, mask=seen, other=0)
    c = tl.load(faces + face * 3 + 2, mask=seen, other=0)
    ax, ay, bx, by, cx, cy, wa, wb, wc, inverse = _weights(points, a, b, c, pixel, height, width, seen)
    la, lb, lc = wa * inverse, wb * inverse, wc * inverse
    deep = tl.load(to_depth + place, mask=seen, other=0.0)
    ga = tl.load(to_barycentric + place * 3, mask=seen, other=0.0)
    gb = tl.load(to_barycentric + place * 3 + 1, mask=seen, other=0.0)
    gc = tl.load(to_barycentric + place * 3 + 2, mask=seen, other=0.0)
    ga += deep * tl.load(points + a * 3 + 2, mask=seen, other=0.0)
    gb += deep * tl.load(points + b * 3 + 2, mask=seen, other=0.0)
    gc += deep * tl.load(points + c * 3 + 2, mask=seen, other=0.0)
    mean = ga * la + gb * lb + gc * lc
    ha, hb, hc = (ga - mean) * inverse, (gb - mean) * inverse, (gc - mean) * inverse  # to wa, wb, wc
    own = gradient + image * vertex_count * 3
    tl.atomic_add(own + a * 3, hc * by - hb * cy, mask=seen, sem="relaxed")
    tl.atomic_add(own + a * 3 + 1, hb * cx - hc * bx, mask=seen, sem="relaxed")
    tl.atomic_add(own + a * 3 + 2, deep * la, mask=seen, sem="relaxed")
    tl.atomic_add(own + b * 3, ha * cy - hc * ay, mask=seen, sem="relaxed")
    tl.atomic_add(own + b * 3 + 1, hc * ax - ha * cx, mask=seen, sem="relaxed")
    tl.atomic_add(own + b * 3 + 2, deep * lb, mask=seen, sem="relaxed")
    tl.atomic_add(own + c * 3, hb * ay - ha * by, mask=seen, sem="relaxed")
    tl.atomic_add(own + c * 3 + 1, ha * bx - hb * ax, mask=seen, sem="relaxed")
    tl.atomic_add(own + c * 3 + 2, deep * lc, mask=seen, sem="relaxed")
