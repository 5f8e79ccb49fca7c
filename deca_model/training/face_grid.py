"""A picture of a few faces and their reconstructions."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from deca_model.data.loading import FaceBatch
from deca_model.networks.model import Deca, Posed
from deca_model.networks.pictures import as_uint8, draw_landmarks, shape_pictures, textured_pictures

TRUTH, PREDICTED = (60, 220, 60), (250, 70, 60)  # RGB
_TILE = 224


@torch.no_grad()
def face_grid(
    model: Deca, batch: FaceBatch, posed: Posed, textured: bool = False
) -> np.ndarray:  # (rows, columns, 3) uint8 RGB
    """One column per face: the photo; true (green) and predicted (red) landmarks; the posed head over it.

    Args:
        model: the model.
        batch: the photos and their landmarks.
        posed: the model's output for them.
        textured: adds the head with its albedo and light, and the detailed shape if the model has details.
    """
    predicted, truth = posed.landmarks.detach().cpu().numpy(), batch.landmarks.cpu().numpy()
    photos = batch.faces()
    rows = [as_uint8(photos), as_uint8(shape_pictures(model, posed, photos))]
    if textured:
        rows.append(as_uint8(textured_pictures(model, posed, photos)))
    if textured and model.detail is not None:
        displacement = model.displacement(model.encode_detail(photos), posed.codes)
        rows.append(as_uint8(shape_pictures(model, posed, photos, displacement)))
    columns = []
    for n, tiles in enumerate(zip(*rows, strict=True)):
        marked = draw_landmarks(_tile(tiles[0]), truth[n], TRUTH)
        marked = draw_landmarks(marked, predicted[n], PREDICTED)
        columns.append(np.concatenate([_tile(tiles[0]), marked, *map(_tile, tiles[1:])], axis=0))
    return np.concatenate(columns, axis=1)


def _tile(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)
