"""Inference: a model is loaded from a run and reconstructs faces of photos from landmarks or boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from deca_model.networks.model import Deca, Posed
from deca_model.settings.reading import check_config
from deca_model.training.checkpoints import last_stage, load_checkpoint, load_weights
from manifests.images.crop import (
    Cut,
    Square,
    covered_part,
    cut_square,
    denormalise_points,
    face_square,
    snap,
    square_from_box,
)

SHARP_SIZE = 512
"""Side in pixels of the crops for textures and pictures."""


@dataclass(frozen=True)
class Reconstruction:
    """The reconstruction of a batch of faces."""

    photos: Tensor  # (B, 3, S, S) the crops, RGB in [0, 1]
    covered: Tensor  # (B, 1, S, S) 1 where the crop shows its photo, 0 where it is padding
    squares: tuple[Square, ...]  # the square of each crop in its photo
    posed: Posed
    displacement: Tensor | None  # (B, 1, U, U) metres; None for a model without details
    sharp: Tensor | None = None  # (B, 3, P, P) the same crops in more pixels, for textures and pictures

    def landmarks(self) -> np.ndarray:  # (B, 68, 2) pixels of the photos
        """The model's landmarks in the photos."""
        points = self.posed.landmarks.cpu().numpy()
        pairs = zip(points, self.squares, strict=True)
        return np.stack([denormalise_points(face, square) for face, square in pairs])


def load_model(
    path: Path, device: torch.device, head_path: Path | None = None, *, teeth: bool = False
) -> tuple[Deca, int]:
    """Load a checkpoint, or the newest one of a run folder, for inference.

    Args:
        path: the checkpoint or run folder.
        device: where to put the model.
        head_path: the head's file, if it moved since the training.
        teeth: see ``Deca``.

    Returns:
        The model in evaluation mode, and the side of its crops in pixels.

    Raises:
        UsageError: there is no checkpoint, or a file that it needs is missing.
    """
    path = last_stage(path)
    saved = load_checkpoint(path)
    config = check_config(saved["config"], str(path))
    settings = config.model.model_copy(update={"dense_path": None})  # only training needs it
    if head_path is not None:
        settings = settings.model_copy(update={"head_path": head_path})
    model = Deca(settings, config.run, {name.split(".")[0] for name in saved["model"]}, teeth=teeth)
    load_weights(model, saved["model"], path)
    return model.to(device).eval(), config.data.size


@torch.no_grad()
def reconstruct(
    model: Deca,
    size: int,
    images: Sequence[np.ndarray],  # (H, W, 3) uint8 RGB each
    landmarks: Sequence[np.ndarray | None] | None = None,  # (68, 2) each, pixels
    boxes: Sequence[np.ndarray] | None = None,  # (4,) each, xyxy pixels
    scale: float | None = None,
) -> Reconstruction:
    """Reconstruct one face in each photo.

    Args:
        model: in evaluation mode.
        size: side of the crops in pixels, from ``load_model``.
        images: the photos.
        landmarks: the faces' landmarks; only their bounding box is used.
        boxes: the faces' boxes, used for photos without landmarks.
        scale: side of the crop over the landmark box; None takes the model's own.

    Raises:
        ValueError: a photo has neither landmarks nor a box.
    """
    scale = model.crop_scale if scale is None else scale
    device = model.head.template.device
    crops = np.empty((len(images), size, size, 3), np.uint8)
    sharp = np.empty((len(images), SHARP_SIZE, SHARP_SIZE, 3), np.uint8)
    covered = np.empty((len(images), 1, size, size), np.float32)
    squares = []
    for n, image in enumerate(images):
        points = landmarks[n] if landmarks is not None else None
        if points is not None:
            wanted = face_square(points, scale)
        elif boxes is not None:
            wanted = square_from_box(boxes[n], scale)
        else:
            raise ValueError(f"photo {n} has neither landmarks nor a box")
        square, cut = snap(wanted)
        crops[n] = cut_square(image, cut, size)
        sharp[n] = sharp_crop(image, cut)
        covered[n, 0] = covered_part(cut, size, image.shape[:2])
        squares.append(square)
    photos = as_pictures(crops, device)
    posed = model.pose(model.encode(photos))
    displacement = None
    if model.detail is not None:
        displacement = model.displacement(model.encode_detail(photos), posed.codes)
    return Reconstruction(
        photos,
        torch.from_numpy(covered).to(device),
        tuple(squares),
        posed,
        displacement,
        as_pictures(sharp, device),
    )


def sharp_crop(image: np.ndarray, cut: Cut) -> np.ndarray:  # (SHARP_SIZE, SHARP_SIZE, 3)
    """The crop of a photo for textures and pictures."""
    kind = cv2.INTER_AREA if cut.side > SHARP_SIZE else cv2.INTER_LINEAR
    return cut_square(image, cut, SHARP_SIZE, interpolation=kind)


def as_pictures(crops: np.ndarray, device: torch.device) -> Tensor:  # (B, H, W, 3) uint8 -> (B, 3, H, W)
    """Crops as RGB in [0, 1]."""
    return torch.from_numpy(crops).to(device).permute(0, 3, 1, 2).float() / 255
