"""Random changes of the crops of training photos, as in EMOCA's released configuration.

EMOCA (Danecek et al. 2022) uses imgaug; the formulas are those of imgaug 0.4: one scale, one angle and one
shift per photo, then one of several changes of its colours.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from deca_model.settings.batches import AugmentSettings
from manifests.images.crop import crop_pixels


def augment(
    image: np.ndarray,  # (S, S, 3) uint8 RGB
    mask: np.ndarray,  # (S, S) uint8
    landmarks: np.ndarray,  # (N, 2) float32, normalised image coordinates
    settings: AugmentSettings,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns changed copies of a crop, its mask and its landmarks; the same seed gives the same change.

    What moves in from outside the crop is black.
    """
    random = np.random.Generator(np.random.Philox(seed))
    matrix = _draw_affine(settings, random)
    if not np.array_equal(matrix, np.eye(2, 3)):
        image, mask = (_warp(picture, matrix) for picture in (image, mask))
        landmarks = (landmarks @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    changes = _colour_changes(settings)
    if changes:
        choice = int(random.integers(len(changes) + 1))
        image = image if choice == len(changes) else changes[choice](image, random)
    return image, mask, landmarks


def _draw_affine(settings: AugmentSettings, random: np.random.Generator) -> np.ndarray:  # (2, 3)
    """A map of normalised image coordinates: scale and rotation about the centre, then a shift."""
    scale = random.uniform(*settings.scale)
    angle = np.radians(random.uniform(-settings.rotation, settings.rotation))
    shift = 2 * random.uniform(-settings.translation, settings.translation)  # the crop's side is 2
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cosine, -sine, shift], [sine, cosine, shift]])


def _warp(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    size = len(picture)
    center = crop_pixels(np.zeros(2), size)
    shift = matrix[:, 2] * size / 2 + center - matrix[:, :2] @ center
    pixels = np.column_stack([matrix[:, :2], shift])
    return cv2.warpAffine(picture, pixels, (size, size), flags=cv2.INTER_LINEAR)


def _colour_changes(
    settings: AugmentSettings,
) -> list[Callable[[np.ndarray, np.random.Generator], np.ndarray]]:
    """The changes that are on."""
    found = []
    if (quality := settings.jpeg) is not None:
        found.append(lambda image, random: compressed(image, int(random.integers(*quality, endpoint=True))))
    if settings.noise:
        found.append(lambda image, random: noisy(image, random.uniform(0, settings.noise), random))
    if settings.blur:
        found.append(lambda image, random: blurred(image, random.uniform(0, settings.blur)))
    if settings.sharpen:
        found.append(lambda image, random: sharpened(image, random.uniform(0, settings.sharpen)))
    return found


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """The image after JPEG compression."""
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, code = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    return cv2.cvtColor(cv2.imdecode(code, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def noisy(image: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """The image plus Gaussian noise; the three colours of a pixel get the same."""
    noise = deviation * random.standard_normal((*image.shape[:2], 1), np.float32)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def blurred(image: np.ndarray, deviation: float) -> np.ndarray:
    """The image after a Gaussian blur with imgaug's kernel: a side of 3.3 deviations, at least 5 pixels."""
    if deviation < 1e-3:
        return image
    side = max(5, 2 * int(1.65 * deviation) + 1)
    return cv2.GaussianBlur(image, (side, side), deviation)


def sharpened(image: np.ndarray, share: float) -> np.ndarray:
    """The image blended with itself plus its difference from its eight neighbours."""
    kernel = np.full((3, 3), -share)
    kernel[1, 1] = 1 + 8 * share
    return cv2.filter2D(image, -1, kernel)
