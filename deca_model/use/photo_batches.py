"""Faces found elsewhere, through a model, a few at a time: a folder of any size fits into memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np

from deca_model.networks.model import Deca
from deca_model.use.inference import Reconstruction, reconstruct

BATCH = 8


class Face(Protocol):
    """A photo and where its face is: what detection hands over."""

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
        """(68, 2) in pixels, or None where only the box is known."""
        ...


AnyFace = TypeVar("AnyFace", bound=Face)


def reconstruct_faces(
    model: Deca, size: int, faces: Iterable[AnyFace]
) -> Iterator[tuple[list[AnyFace], Reconstruction]]:
    """The faces in batches, each with what the model makes of it.

    Args:
        model: in evaluation mode.
        size: side of its crops in pixels.
        faces: photos with landmarks, or at least boxes.
    """
    stream = iter(faces)
    while batch := list(islice(stream, BATCH)):
        yield batch, reconstruct_face_list(model, size, batch)


def reconstruct_face_list(model: Deca, size: int, faces: list[AnyFace]) -> Reconstruction:
    """One batch of faces through the model."""
    images = [face.image for face in faces]
    landmarks = [face.landmarks for face in faces]
    return reconstruct(model, size, images, landmarks, [face.box for face in faces])
