"""Writing an expression transfer: a textured mesh, codes, and a picture for comparison."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from deca_model.files.png import write_png
from deca_model.networks.model import Deca, Posed
from deca_model.networks.pictures import as_uint8, shape_pictures
from deca_model.render.light import ambient_light
from deca_model.use.inference import Reconstruction
from deca_model.use.reconstruction_files import (
    photo_texture,
    write_codes,
    write_dense_obj,
    write_textured_obj,
)
from deca_model.use.transfer import transfer_expression

SIDE = 256
"""Side of one image in pixels."""


@torch.no_grad()
def save_transfer(
    model: Deca, person: Reconstruction, driver: Reconstruction, name: str, out: Path
) -> list[Path]:
    """Give one person the expression of one driver and write the result.

    ``NAME.obj`` has the person's texture, taken from the photo before the expression changes. ``NAME.npz``
    has the codes. ``NAME.png`` shows, from left to right: the person, the driver, the person's shape, the
    driver's shape, the person's shape with the driver's expression, and the same with the photo's texture.

    Returns:
        The written files.
    """
    moved = transfer_expression(model, person, driver)
    texture = photo_texture(model, person)
    mesh = out / f"{name}.obj"
    write_textured_obj(model, mesh, moved.posed.head.vertices[0].cpu().numpy(), texture[0])
    write_codes(mesh.with_suffix(".npz"), moved.posed.codes, 0, moved)
    blank = person.photos.new_ones(1, 3, SIDE, SIDE)
    shapes = [
        shape_pictures(model, found.posed, blank, found.displacement) for found in (person, driver, moved)
    ]
    pictures = [person.photos, driver.photos, *shapes, photo_pictures(model, moved.posed, texture, SIDE)]
    row = [cv2.resize(as_uint8(picture)[0], (SIDE, SIDE)) for picture in pictures]
    write_png(mesh.with_suffix(".png"), np.concatenate(row, axis=1))
    written = [mesh, mesh.with_suffix(".npz"), mesh.with_suffix(".png")]
    if moved.displacement is not None:
        written.append(out / f"{name}_detail.obj")
        write_dense_obj(model, written[-1], moved, 0, texture[0])
    return written


def photo_pictures(
    model: Deca,
    posed: Posed,
    texture: Tensor,  # (1 or B, 3, U, U), see photo_texture
    size: int,
) -> Tensor:  # (B, 3, size, size)
    """The heads on white. The texture already contains the photo's light, so the shading here is 1."""
    count = len(posed.vertices)
    light = ambient_light(count, device=posed.vertices.device)
    colours = texture.expand(count, -1, -1, -1)
    drawn = model.renderer(posed.head.vertices, posed.vertices, colours, light, size)
    return (drawn.image * drawn.mask + 1 - drawn.mask).clamp(0, 1)
