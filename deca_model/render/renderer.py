"""Rendering a posed head: normals, albedo and light to an image, and the image over a photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from deca_model.heads.head import Head
from deca_model.render.light import shade, studio_light
from deca_model.render.normals import face_normals, vertex_normals
from deca_model.render.rasterize import Fragments, interpolate, rasterize
from deca_model.render.uv import UvLayout


class Rendering(NamedTuple):
    """A rendered head; every image is 0 where no head is seen."""

    image: Tensor  # (B, 3, H, W): albedo times shading, RGB about [0, 1], not clipped
    albedo: Tensor  # (B, 3, H, W)
    shading: Tensor  # (B, 3, H, W); 0 on surfaces seen from behind (inside the mouth)
    normals: Tensor  # (B, 3, H, W): unit normals in head space
    mask: Tensor  # (B, 1, H, W), 0 or 1: where the head is seen
    face_mask: Tensor  # (B, 1, H, W), 0 or 1: where the face region is seen from its front
    fragments: Fragments


class Renderer(nn.Module):
    """Renders heads of one topology."""

    faces: Tensor
    face_region: Tensor

    def __init__(self, head: Head, layout: UvLayout, backend: str = "builtin") -> None:
        super().__init__()
        self.layout = layout
        self.backend = backend
        self.rasterize: Callable[..., Fragments] = (
            rasterize  # torch.compile leaves it out, see training/compiling.py
        )
        self.register_buffer("faces", head.faces.detach().clone(), persistent=False)
        self.register_buffer("face_region", head.face_region.detach().clone(), persistent=False)

    def forward(
        self,
        vertices: Tensor,  # (B, V, 3) posed, head space
        projected: Tensor,  # (B, V, 3) the same vertices in normalised image coordinates
        albedo: Tensor,  # (B, 3, S, S) as a UV map, or (B, V, 3) per vertex
        light: Tensor,  # (B, 9, 3)
        size: int | tuple[int, int],
        detail_normals: Tensor | None = None,  # (B, 3, S, S) UV map; replaces the mesh's normals in the face
    ) -> Rendering:
        """Render a batch. Gradients reach all tensor arguments, but the head's outline gives none."""
        fragments = self.rasterize(projected, self.faces, size, self.backend)
        seen = fragments.face_index >= 0
        region = self.face_region[fragments.face_index.clamp(min=0)] & seen
        normals = vertex_normals(vertices, self.faces)
        pixel_normals = interpolate(fragments, normals[:, self.faces])
        if detail_normals is not None:
            fine = self.layout.to_image(detail_normals, fragments).permute(0, 2, 3, 1)
            pixel_normals = torch.where(region[..., None], fine, pixel_normals)
        pixel_normals = nn.functional.normalize(pixel_normals, dim=-1)
        if albedo.dim() == 3:
            pixel_albedo = interpolate(fragments, albedo[:, self.faces]).permute(0, 3, 1, 2)
        else:
            pixel_albedo = self.layout.to_image(albedo, fragments)
        front = seen & _faces_viewer(vertices, self.faces, fragments)
        shading = (shade(pixel_normals, light) * front[..., None]).permute(0, 3, 1, 2)
        mask = seen[:, None].to(shading.dtype)
        in_face = (region & front)[:, None]
        return Rendering(
            image=pixel_albedo * shading,
            albedo=pixel_albedo,
            shading=shading,
            normals=pixel_normals.permute(0, 3, 1, 2),
            mask=mask,
            face_mask=in_face.to(shading.dtype),
            fragments=fragments,
        )

    def shape_picture(
        self,
        vertices: Tensor,  # (B, V, 3)
        projected: Tensor,  # (B, V, 3)
        size: int | tuple[int, int],
        background: Tensor | None = None,  # (B, 3, H, W) in [0, 1]; None is white
        detail_normals: Tensor | None = None,  # (B, 3, S, S)
    ) -> Tensor:  # (B, 3, H, W)
        """An image of the shape alone: grey, under studio light."""
        grey = vertices.new_full(vertices.shape, 0.8)
        light = studio_light(len(vertices), vertices.device)
        rendering = self(vertices, projected, grey, light, size, detail_normals)
        back = vertices.new_ones(rendering.image.shape) if background is None else background
        return composite(rendering.image, rendering.mask, back).clamp(0, 1)


def composite(
    image: Tensor,  # (B, 3, H, W)
    mask: Tensor,  # (B, 1, H, W)
    background: Tensor,  # (B, 3, H, W)
) -> Tensor:  # (B, 3, H, W)
    """``image`` where the mask is 1, ``background`` where it is 0."""
    return image * mask + background * (1 - mask)


def _faces_viewer(vertices: Tensor, faces: Tensor, fragments: Fragments) -> Tensor:  # (B, H, W) bool
    """Whether the outer side of the surface is seen; the camera looks along -z of head space."""
    toward = face_normals(vertices.detach(), faces)[..., 2] > 0
    chosen = fragments.face_index.clamp(min=0)
    return toward.gather(1, chosen.flatten(1)).view_as(chosen)
