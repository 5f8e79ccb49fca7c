"""The texture of a head: the photo's colours where the face is seen, matching colours elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, max_pool2d, normalize

from deca_model.heads.head import LEFT_EYE, RIGHT_EYE, Head
from deca_model.networks.detail import DetailSurface
from deca_model.networks.model import Deca
from deca_model.render.light import shade
from deca_model.render.normals import vertex_normals
from deca_model.render.rasterize import rasterize
from deca_model.render.uv import UvLayout, uv_to_grid
from deca_model.use.inference import Reconstruction
from deca_model.use.mouth import mouth_shade, teeth
from deca_model.use.spreading import spread

TEXTURE_SIZE = 512
"""Side of the textures in texels."""

_DEPTH_SIZE = 256  # pixels of the picture that finds hidden texels
_NEAR = 0.004  # metres; a texel that lies deeper behind the nearest surface is hidden
_STEEP = (0.1, 0.45)  # z of unit normals: where the photo begins to count, and where it counts fully
_DARK = 0.02  # shading times albedo below this says nothing about the light
_RELIGHT = (0.5, 2.0)  # factors for the mirrored half
_MOSTLY = 0.9
_SKIN = 0.3  # log of a colour's ratio to most of the face's; hair and cloth are further away
_SKIN_TONE = 0.52  # mean of a photo's colours on skin; teeth have their own colour under this light
_GLEAM = (0.35, 1.05)  # how dark and bright teeth may be, of their own colour
_GAIN = (0.25, 2.5)  # how much darker or brighter than the model's colours the skin may be


def texture_layout(head: Head, size: int = TEXTURE_SIZE) -> UvLayout:
    """The UV layout of a head's textures; the last one is kept, because making it takes a moment."""
    return _layout(head, size, head.template.device)


@torch.no_grad()
def photo_texture(model: Deca, found: Reconstruction, size: int = TEXTURE_SIZE) -> Tensor:  # (B, 3, T, T)
    """The photo's colours where the face is seen; its mirrored other half, or the model's colours elsewhere.

    A texel is seen if it faces the viewer and nothing lies before it. Near the rim of the seen area the
    colours are blended. The other half of the face is only used if the head's UV layout is symmetric, and
    under the light of its new place. The model's colours are its albedo under the photo's light, matched to
    the photo: the ratio of the two is measured at the vertices that are seen and spread over the mesh to all
    others, so that skull, ears and neck continue the face's skin. The inside of the mouth is darker.
    """
    layout = texture_layout(model.head, size)
    photos = found.photos if found.sharp is None else found.sharp
    drawn = lit_albedo(model, found, layout)
    seen = seen_texels(layout, found)
    photo = layout.from_image(photos, found.posed.vertices)
    eyes = eyeballs(layout, model.head)
    share = torch.where(eyes, seen, feathered(seen))
    gain = _gain(model.head, layout, photo, drawn, share)
    gain = torch.where(eyes, gain.mean(dim=1, keepdim=True), gain)  # the skin's hue is not the eyes'
    rest = (drawn * gain).clamp(0, 1)
    if is_symmetric(layout, model.head):
        light = (drawn.clamp(min=_DARK) / drawn.flip(3).clamp(min=_DARK)).clamp(*_RELIGHT)
        other = share.flip(3)
        rest = (photo.flip(3) * light).clamp(0, 1) * other + rest * (1 - other)
    rest = rest * mouth_shade(model.head, layout)
    mask, colour = teeth(model.head, layout)
    bright = (photo * share).flatten(1).sum(dim=1) / share.flatten(1).sum(dim=1).clamp(min=1) / 3
    lit = colour * (bright / _SKIN_TONE).clamp(*_GLEAM).view(-1, 1, 1, 1)
    rest = torch.where(mask > 0, lit, rest)
    return (photo * share + rest * (1 - share)).clamp(0, 1)


def is_symmetric(layout: UvLayout, head: Head) -> bool:
    """Whether the texel at -u shows the point at -x of the one at u, over nearly all of the face."""
    points = layout.from_vertices(head.template[None])[0]
    mirrored = points.flip(2) * points.new_tensor([-1, 1, 1]).view(3, 1, 1)
    near = (points - mirrored).norm(dim=0) < _NEAR
    return bool(near[layout.face_region].float().mean() > _MOSTLY)


def albedo_maps(model: Deca, codes_texture: Tensor, size: int = TEXTURE_SIZE) -> Tensor:  # (B, 3, T, T)
    """The albedo of texture codes (B, <= 50), without light, in the size of the textures."""
    found = model.albedo(codes_texture)
    return interpolate(found, (size, size), mode="bilinear", align_corners=False).clamp(0, 1)


def lit_albedo(model: Deca, found: Reconstruction, layout: UvLayout) -> Tensor:  # (B, 3, T, T)
    """The albedo under the light of the photo."""
    posed = found.posed
    normals = layout.from_vertices(vertex_normals(posed.head.vertices, model.head.faces))
    shading = shade(normalize(normals, dim=1).permute(0, 2, 3, 1), posed.codes.light).permute(0, 3, 1, 2)
    return albedo_maps(model, posed.codes.texture, layout.size) * shading.clamp(min=0.05)


def seen_texels(layout: UvLayout, found: Reconstruction) -> Tensor:  # (B, 1, T, T), 0 to 1
    """Which texels of the face the photo shows; steep ones count less, hidden ones 0."""
    posed = found.posed
    seen = DetailSurface(layout).visible(posed.head.vertices, posed.vertices, found.covered)
    normals = layout.from_vertices(vertex_normals(posed.head.vertices, layout.faces))
    steep = ((normals[:, 2:] - _STEEP[0]) / (_STEEP[1] - _STEEP[0])).clamp(0, 1)
    fragments = rasterize(posed.vertices, layout.faces, _DEPTH_SIZE)
    far = posed.vertices[..., 2].amax(dim=1)[:, None, None]
    nearest = torch.where(fragments.face_index >= 0, fragments.depth, far)[:, None]
    nearest = max_pool2d(nearest, 3, 1, 1)  # lenient at edges
    place = layout.from_vertices(posed.vertices)
    before = grid_sample(
        nearest, place[:, :2].permute(0, 2, 3, 1), padding_mode="border", align_corners=False
    )
    metres = (place[:, 2:] - before) / posed.codes.camera[:, 0].view(-1, 1, 1, 1).abs().clamp(min=1e-6)
    return seen * steep * (metres < _NEAR)


def feathered(seen: Tensor) -> Tensor:  # (B, 1, U, U), 0 to 1
    """``seen``, smoothly falling to 0 towards its outer rim, over a sixteenth of the map's side.

    Holes inside it, such as eyes and mouth, keep sharp rims, because there is visible face all around them.
    """
    reach = max(1, seen.shape[-1] // 16)
    closed = -_pooled(max_pool2d, -_pooled(max_pool2d, seen, reach), reach)
    inside = _pooled(avg_pool2d, _pooled(avg_pool2d, closed, reach), reach)  # 1/2 at a straight rim
    depth = (2 * inside - 1).clamp(0, 1)
    return seen * depth.square() * (3 - 2 * depth)


def _pooled(pool: Callable[..., Tensor], maps: Tensor, reach: int) -> Tensor:
    """A pooling over squares: rows first, then columns, which is many times faster."""
    side = 2 * reach + 1
    return pool(pool(maps, (side, 1), 1, (reach, 0)), (1, side), 1, (0, reach))


def eyeballs(layout: UvLayout, head: Head) -> Tensor:  # (1, 1, T, T) bool
    """The texels of the eyeballs."""
    weights = layout.from_vertices(head.weights[None, :, [LEFT_EYE, RIGHT_EYE]])
    return weights.amax(dim=1, keepdim=True) > 0.5


def _gain(head: Head, layout: UvLayout, photo: Tensor, drawn: Tensor, share: Tensor) -> Tensor:
    """How much brighter the photo is than the model's colours, (B, 3, T, T), smooth over the whole head."""
    maps = torch.cat([photo, drawn, share], dim=1)
    photo, drawn, share = at_vertices(head, maps).split([3, 3, 1], dim=2)
    ratio = (photo.clamp(min=_DARK) / drawn.clamp(min=_DARK)).log()
    known = share * (drawn.amin(dim=2, keepdim=True) > _DARK)
    known = known * _like_most(ratio, known)  # a fringe or a cap says nothing about the skin of the skull
    return layout.from_vertices(spread(ratio, known, head.faces).exp().clamp(*_GAIN))


def _like_most(ratio: Tensor, known: Tensor) -> Tensor:  # (B, V, 3), (B, V, 1) -> (B, V, 1), 0 to 1
    """How near the colours at the known vertices are to those at most of them, which are skin."""
    middle = ratio.where(known > 0.5, ratio.new_tensor(torch.nan)).nanmedian(dim=1, keepdim=True).values
    off = (ratio - middle).abs().amax(dim=2, keepdim=True)
    return (-(off / _SKIN).square()).exp().nan_to_num(1.0)  # no vertex is known: all alike


def at_vertices(head: Head, maps: Tensor) -> Tensor:  # (B, C, T, T) -> (B, V, C)
    """UV maps at the head's vertices; at a seam the mean of both sides."""
    grid = uv_to_grid(head.uv)[None, :, None].expand(len(maps), -1, -1, -1)
    sampled = grid_sample(maps, grid, padding_mode="border", align_corners=False)[..., 0].transpose(1, 2)
    corners, uv_corners = head.faces.flatten(), head.uv_faces.flatten()
    total = sampled.new_zeros(len(maps), len(head.template), maps.shape[1])
    total = total.index_add(1, corners, sampled.index_select(1, uv_corners))
    count = torch.bincount(corners, minlength=len(head.template)).clamp(min=1)
    return total / count[None, :, None]


@lru_cache(maxsize=1)
def _layout(head: Head, size: int, device: torch.device) -> UvLayout:
    return UvLayout(head, size).to(device)
