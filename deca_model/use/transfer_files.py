"""Writing an expression transfer: a textured mesh, codes, and a picture for comparison."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from deca_model.files.png import write_png
from deca_model.networks.model import Deca
from deca_model.networks.pictures import as_uint8
from deca_model.use.head_views import grey_pictures, textured_pictures
from deca_model.use.inference import Reconstruction
from deca_model.use.photo_texture import photo_texture
from deca_model.use.reconstruction_files import Outputs, write_codes, write_meshes
from deca_model.use.transfer import transfer_expression

SIDE = 256
"""Side of one image in pixels."""


@torch.no_grad()
def save_transfer(
    model: Deca,
    person: Reconstruction,
    driver: Reconstruction,
    name: str,
    out: Path,
    outputs: Outputs | None = None,
) -> list[Path]:
    """Give one person the expression of one driver and write the result.

    The meshes NAME.* have the person's texture, taken from the photo before the expression changes. NAME.npz
    and NAME.json have the codes. NAME.png shows, from left to right: the person, the driver, the person's
    shape, the driver's shape, the person's shape with the driver's expression, and the same with the photo's
    texture.

    Returns:
        The written files.
    """
    moved = transfer_expression(model, person, driver)
    texture = photo_texture(model, person)
    formats = (outputs or Outputs()).formats
    written = write_meshes(model, moved, 0, texture[0], out / name, formats)
    written += write_codes(out / f"{name}.npz", moved.posed.codes, 0, moved, model.head.name)
    fine = 2 * SIDE  # the heads are drawn larger, so that their edges become smooth
    blank = person.photos.new_ones(1, 3, fine, fine)
    shapes = [
        grey_pictures(model, found.posed, blank, found.displacement) for found in (person, driver, moved)
    ]
    photos = [found.photos if found.sharp is None else found.sharp for found in (person, driver)]
    pictures = [*photos, *shapes, textured_pictures(model, moved.posed, texture, fine)]
    row = [
        cv2.resize(as_uint8(picture)[0], (SIDE, SIDE), interpolation=cv2.INTER_AREA) for picture in pictures
    ]
    write_png(out / f"{name}.png", np.concatenate(row, axis=1))
    return [*written, out / f"{name}.png"]
