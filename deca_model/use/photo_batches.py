"""Reconstructing detected faces in small batches, so that a folder of any size fits into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from deca_model.networks.model import Deca
from deca_model.use.inference import Reconstruction, reconstruct

BATCH = 8


class Face(Protocol):
    """A photo, and the box and landmarks of its face, as detection gives them."""

    @property
    def image(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        ...

    @property
    def box(self) -> np.ndarray:
        """(4,) xyxy in pixels."""
        ...

    @property
    def landmarks(self) -> np.ndarray | None:
        """(68, 2) in pixels, or None if only the box is known."""
        ...


AnyFace = TypeVar("AnyFace", bound=Face)


def reconstruct_faces(
    model: Deca, size: int, faces: Iterable[AnyFace], scale: float | None = None
) -> Iterator[tuple[list[AnyFace], Reconstruction]]:
    """The faces in batches, each batch with its reconstruction.

    Args:
        model: in evaluation mode.
        size: side of its crops in pixels.
        faces: photos with boxes, and landmarks if they are known.
        scale: of the crops, as in ``reconstruct``.
    """
    stream = iter(faces)
    while batch := list(islice(stream, BATCH)):
        yield batch, reconstruct_face_list(model, size, batch, scale)


def reconstruct_face_list(
    model: Deca, size: int, faces: list[AnyFace], scale: float | None = None
) -> Reconstruction:
    """Reconstruct one batch of faces."""
    images = [face.image for face in faces]
    landmarks = [face.landmarks for face in faces]
    return reconstruct(model, size, images, landmarks, [face.box for face in faces], scale)
