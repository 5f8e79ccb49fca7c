"""One head from other sides: grey or with a texture, on white, framed completely."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from deca_model.heads.head import Head
from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca, Posed
from deca_model.render.builtin_albedo import eye_colours
from deca_model.render.light import ambient_light, studio_light
from deca_model.render.renderer import composite
from deca_model.render.uv import UvLayout
from deca_model.use.mouth import mouth_shade, teeth
from deca_model.use.photo_texture import TEXTURE_SIZE

_GREY = 0.8
_MARGIN = 0.95
_RELIEF = 0.5  # share of the studio's light in views of textured heads
_CLOSE = 1.35  # side of a close view over the face's height


def grey_pictures(
    model: Deca,
    posed: Posed,
    background: Tensor,  # (B, 3, S, S)
    displacement: Tensor | None = None,  # (B, 1, U, U)
) -> Tensor:  # (B, 3, S, S)
    """The heads in grey with painted eyes, with details if a displacement is given."""
    normals = None
    if displacement is not None:
        normals = model.surface.normals(displacement, posed.head.vertices)
    count = len(posed.vertices)
    grey = grey_map(model.head).expand(count, -1, -1, -1)
    light = studio_light(count, posed.vertices.device)
    size = background.shape[-1]
    drawn = model.renderer(posed.head.vertices, posed.vertices, grey, light, size, normals)
    return composite(drawn.image, drawn.mask, background).clamp(0, 1)


def textured_pictures(
    model: Deca,
    posed: Posed,
    texture: Tensor,  # (1 or B, 3, T, T), see photo_texture
    size: int,
) -> Tensor:  # (B, 3, size, size)
    """The heads on white. The texture already contains the photo's light, so only a weak light is added."""
    count, device = len(posed.vertices), posed.vertices.device
    light = (1 - _RELIEF) * ambient_light(count, device=device) + _RELIEF * studio_light(count, device)
    light = light / (1 - 0.1 * _RELIEF)  # 0.9 is the studio's shading of what faces the viewer
    colours = texture.expand(count, -1, -1, -1)
    drawn = model.renderer(posed.head.vertices, posed.vertices, colours, light, size)
    return (drawn.image * drawn.mask + 1 - drawn.mask).clamp(0, 1)


def turned(model: Deca, codes: Codes, degrees: list[float]) -> Codes:
    """One head from several sides, turned about the vertical axis from the front; the views are close.

    Args:
        model: the model.
        codes: a batch of one; its head pose is not used.
        degrees: an angle for each view; positive shows the subject's right cheek.
    """
    angles = torch.tensor([math.radians(angle) for angle in degrees])
    count = len(degrees)
    pose = codes.pose.expand(count, -1).clone()
    pose[:, :3] = 0
    pose[:, 1] = angles.to(pose)
    many = Codes(*(value.expand(count, *value.shape[1:]) for value in codes))._replace(pose=pose)
    region = model.head.faces[model.head.face_region].unique()
    points = model.pose(many).head.vertices[..., :2]  # (N, V, 2)
    (low, high), (left, right) = (
        (part.amin(dim=1), part.amax(dim=1)) for part in (points[:, region], points[..., :1])
    )
    side = torch.maximum(_CLOSE * (high - low)[:, 1:], (right - left) / _MARGIN)
    middle = torch.cat([left + right, (low + high)[:, 1:]], dim=1) / 2
    return many._replace(camera=torch.cat([2 / side, -middle], dim=1))


def framing(model: Deca, codes: Codes) -> Tensor:  # (1, 3)
    """The camera that shows all these heads completely, which the camera of a photo often does not."""
    points = model.pose(codes).head.vertices[..., :2].flatten(0, 1)
    low, high = points.amin(dim=0), points.amax(dim=0)
    scale = 2 * _MARGIN / (high - low).max()
    return torch.cat([scale[None], -(low + high) / 2])[None]


def grey_map(head: Head) -> Tensor:  # (1, 3, T, T)
    """A grey texture with the eyes' colours, a dark inside of the mouth, and teeth."""
    return _grey_map(head, head.template.device)


@lru_cache(maxsize=1)
def _grey_map(head: Head, device: torch.device) -> Tensor:
    layout = UvLayout(head, TEXTURE_SIZE)
    eyes, colour = eye_colours(head, layout)
    layout = layout.to(device)
    skin = _GREY * mouth_shade(head, layout).mean(dim=1)
    mask, of_teeth = teeth(head, layout)
    skin = torch.where(mask > 0, of_teeth.mean(dim=1), skin)[0].cpu()
    return (skin * (1 - eyes) + colour * eyes)[None].to(device)
