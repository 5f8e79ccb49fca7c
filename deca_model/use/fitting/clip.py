"""A clip's fitted heads: the frames of a film, and the codes of all frames in one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deca_model.networks.pictures import as_uint8
from deca_model.use.fitting.face_codes import FaceCodes
from deca_model.use.fitting.fit import Fitter, View
from deca_model.use.fitting.gaze import Look, with_gaze
from deca_model.use.head_views import grey_pictures, textured_pictures
from manifests.files import atomic_path

_BATCH = 8


@torch.no_grad()
def clip_frames(
    fitter: Fitter,
    views: Sequence[View],
    codes: Sequence[FaceCodes],
    looks: Sequence[Look],
    texture: Tensor,  # (1, 3, T, T)
) -> Iterator[np.ndarray]:  # (S, 3 S or 4 S, 3) uint8
    """Photo, shape, with details the detailed shape, and the head with a texture, side by side."""
    for start in range(0, len(views), _BATCH):
        part = slice(start, start + _BATCH)
        found = with_gaze(fitter.model, fitter.render(views[part], codes[part]), looks[part])
        columns = [found.photos, grey_pictures(fitter.model, found.posed, found.photos)]
        if found.displacement is not None:
            columns.append(grey_pictures(fitter.model, found.posed, found.photos, found.displacement))
        columns.append(textured_pictures(fitter.model, found.posed, texture, found.photos.shape[-1]))
        yield from as_uint8(torch.cat(columns, dim=3))


def save_clip_codes(path: Path, views: Sequence[View], codes: Sequence[FaceCodes]) -> None:
    """Write shape (100,), expression (T, 50), pose (T, 6), camera (T, 3) and crop (T, 3) as ``.npz``.

    A crop is its centre x, y and its side, in pixels of the frame.
    """
    arrays = {
        name: np.stack([getattr(code, name) for code in codes]) for name in ("expression", "pose", "camera")
    }
    crops = np.stack([np.array([*view.square.center, view.square.side]) for view in views])
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, shape=codes[0].shape, crop=crops, **arrays)


def most_frontal(codes: Sequence[FaceCodes]) -> int:
    """The frame whose head is turned least, whose texture shows most of the face."""
    return int(np.argmin([np.linalg.norm(code.pose[:3]) for code in codes]))
