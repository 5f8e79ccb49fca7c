"""The frames of a film of one face: its head turns, or it shows the expressions of other photos."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca, Posed
from deca_model.networks.pictures import as_uint8
from deca_model.use.head_views import framing, grey_pictures, textured_pictures
from deca_model.use.inference import Reconstruction
from deca_model.use.photo_texture import photo_texture
from deca_model.use.transfer import transfer_expression
from deca_model.use.transfer_files import SIDE

_BATCH = 8
_TURN = 40.0  # degrees to each side


@torch.no_grad()
def turning_head(
    model: Deca, person: Reconstruction, frames: int
) -> Iterator[np.ndarray]:  # (SIDE, 2 * SIDE, 3)
    """Render a head that turns from one side to the other and back: left its shape, right with texture.

    Args:
        model: the model.
        person: one face.
        frames: their number.
    """
    codes = head_turn(person.posed.codes, frames, _TURN)
    codes = codes._replace(camera=framing(model, head_turn(person.posed.codes, 4, _TURN)).expand(frames, -1))
    texture = photo_texture(model, person)
    for start in range(0, frames, _BATCH):
        part = Codes(*(value[start : start + _BATCH] for value in codes))
        count = len(part.shape)
        displacement = None
        if model.detail is not None:
            detail = model.encode_detail(person.photos)
            displacement = model.displacement(detail.expand(count, -1), part)
        yield from _frames(model, model.pose(part), displacement, texture)


@torch.no_grad()
def driven_head(
    model: Deca, person: Reconstruction, drivers: Iterable[Reconstruction]
) -> Iterator[np.ndarray]:  # (SIDE, 3 * SIDE, 3)
    """Render the person with each driver's expression: the driver's photo, the shape, the textured head.

    Args:
        model: the model.
        person: one face.
        drivers: batches of faces.
    """
    texture = photo_texture(model, person)
    framed = person.posed.codes._replace(camera=framing(model, person.posed.codes))
    for batch in drivers:
        count = len(batch.photos)
        codes = Codes(*(value.expand(count, *value.shape[1:]) for value in framed))
        photos = person.photos.expand(count, -1, -1, -1)
        covered = person.covered.expand(count, -1, -1, -1)
        repeated = Reconstruction(photos, covered, person.squares * count, model.pose(codes), None)
        moved = transfer_expression(model, repeated, batch)
        frames = _frames(model, moved.posed, moved.displacement, texture)
        shots = batch.photos if batch.sharp is None else batch.sharp
        for shown, frame in zip(as_uint8(shots), frames, strict=True):
            yield np.concatenate([_square(shown), frame], axis=1)


@torch.no_grad()
def clip_film(
    model: Deca, faces: Iterable[Reconstruction], texture: Tensor
) -> Iterator[np.ndarray]:  # (SIDE, 3 or 4 times SIDE, 3)
    """Render a clip: the frame, the shape over it, with details if there are some, the textured head.

    Args:
        model: the model.
        faces: the clip in batches, see ``clips.clip_faces``.
        texture: (1, 3, T, T), of one frame, for all.
    """
    for batch in faces:
        shots = batch.photos if batch.sharp is None else batch.sharp
        shots = interpolate(shots, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
        columns = [shots, grey_pictures(model, batch.posed, shots)]
        if batch.displacement is not None:
            columns.append(grey_pictures(model, batch.posed, shots, batch.displacement))
        columns.append(textured_pictures(model, batch.posed, texture, SIDE))
        yield from np.concatenate([as_uint8(column) for column in columns], axis=2)


def head_turn(codes: Codes, frames: int, degrees: float) -> Codes:
    """The codes of a head that turns from one side to the other and back.

    The head turns about the vertical axis and starts from the front; the head pose in the photo is not used.

    Args:
        codes: a batch of one.
        frames: the size of the new batch.
        degrees: the largest angle to each side.
    """
    angles = torch.sin(torch.linspace(0, 2 * math.pi, frames + 1)[:-1]) * math.radians(degrees)
    pose = codes.pose.expand(frames, -1).clone()
    pose[:, :3] = 0
    pose[:, 1] = angles.to(pose)
    return Codes(*(value.expand(frames, *value.shape[1:]) for value in codes))._replace(pose=pose)


def _frames(model: Deca, posed: Posed, displacement: Tensor | None, texture: Tensor) -> Iterator[np.ndarray]:
    blank = texture.new_ones(len(posed.vertices), 3, SIDE, SIDE)
    shapes = as_uint8(grey_pictures(model, posed, blank, displacement))
    textured = as_uint8(textured_pictures(model, posed, texture, SIDE))
    for pair in zip(shapes, textured, strict=True):
        yield np.concatenate(pair, axis=1)


def _square(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
