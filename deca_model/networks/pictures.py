"""Pictures to look at: the reconstructed heads over the photos, and landmarks."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from deca_model.networks.model import Deca, Posed
from deca_model.render.renderer import composite
from manifests.images.crop import crop_pixels
from manifests.landmarks import EDGES

_FAR = 1e5  # pixels; OpenCV refuses points that are much farther outside


def shape_pictures(
    model: Deca,
    posed: Posed,
    photos: Tensor,  # (B, 3, S, S)
    displacement: Tensor | None = None,  # (B, 1, U, U)
) -> Tensor:  # (B, 3, S, S)
    """The heads in grey over the photos, with details if a displacement is given."""
    normals = None
    if displacement is not None:
        normals = model.surface.normals(displacement, posed.head.vertices)
    return model.renderer.shape_picture(
        posed.head.vertices, posed.vertices, photos.shape[-1], background=photos, detail_normals=normals
    )


def textured_pictures(model: Deca, posed: Posed, photos: Tensor) -> Tensor:  # (B, 3, S, S)
    """The faces with their albedo under their light, over the photos."""
    albedo = model.albedo(posed.codes.texture)
    size = photos.shape[-1]
    drawn = model.renderer(posed.head.vertices, posed.vertices, albedo, posed.codes.light, size)
    return composite(drawn.image, drawn.face_mask, photos).clamp(0, 1)


def as_uint8(pictures: Tensor) -> np.ndarray:  # (B, 3, H, W) in [0, 1] -> (B, H, W, 3) uint8
    """Pictures as arrays for OpenCV, Pillow and PyAV."""
    return (pictures.detach().permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().cpu().numpy()


def draw_landmarks(image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Draw normalised landmarks (68, 2) and the lines between them into a copy of a square image."""
    out = image.copy()
    within = np.clip(crop_pixels(points, len(image)), -_FAR, _FAR)
    pixels = np.round(within * 16).astype(int)  # OpenCV: sixteenths of a pixel
    for a, b in EDGES:
        cv2.line(out, pixels[a].tolist(), pixels[b].tolist(), colour, 1, cv2.LINE_AA, shift=4)
    for point in pixels:
        cv2.circle(out, point.tolist(), 24, colour, -1, cv2.LINE_AA, shift=4)
    return out
