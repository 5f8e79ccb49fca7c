"""Draws perceptual hashes that are as much alike as those of real faces.

Hashes of faces agree by chance far more often than random ones. So from the low DCT coefficients of real
photos, of which a hash keeps the signs, new coefficients are drawn by a smoothed bootstrap (Silverman and
Young, "The bootstrap: to smooth or not to smooth?", Biometrika 1987): those of a random photo plus noise that
has the photos' own covariance, shrunk so that the covariance stays.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from deca_data.face_scores import SIDE, square_of
from deca_data.picture_hash import LONG, SHORT, small_grey
from deca_data.picture_hash import SIDE as HASH_SIDE
from manifests.images.decode import decode_file
from manifests.reading import open_manifest

NOISE = 0.7
"""Standard deviation of the noise over that of the photos. Of 0.6 to 0.9 this came nearest to the share of
pairs of different persons in 1,394 portraits whose hashes differ in 6 to 8 bits (the drawn share is between
half and twice the real one; see `alike`)."""


class Coefficients(NamedTuple):
    """DCT coefficients of real photos, and what is needed to draw more.

    Attributes:
        real: (N, LONG * LONG) float32, each photo's scaled to length 1.
        factor: (LONG * LONG, LONG * LONG) float32, Cholesky factor of their covariance.
    """

    real: np.ndarray
    factor: np.ndarray


class Photos(NamedTuple):
    """The coefficients of faces and of whole pictures."""

    face: Coefficients
    picture: Coefficients


def measure(manifest: Path) -> Photos:
    """The coefficients of the usable photos of a manifest."""
    opened = open_manifest(manifest)
    table = opened.table.filter(opened.table["status"].to_numpy(zero_copy_only=False) == "ok")
    faces, pictures = [], []
    for row in table.select(["dataset", "image", "landmarks"]).to_pylist():
        image = decode_file(opened.image_path(row["dataset"], row["image"])).image
        luma, _ = square_of(image, np.array(row["landmarks"], np.float64).reshape(68, 2), SIDE)
        faces.append(cv2.resize(luma, (HASH_SIDE, HASH_SIDE), interpolation=cv2.INTER_AREA))
        pictures.append(small_grey(image))
    return Photos(_low(faces), _low(pictures))


def draw(photos: Photos, count: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Hashes of ``count`` photos: short of face and picture, (N, 8) uint8 each, and both long, (N, 64)."""
    drawn = [_smoothed(each, count, rng).reshape(count, LONG, LONG) for each in photos]
    short = [_hash(each[:, :SHORT, :SHORT]) for each in drawn]
    return *short, np.concatenate([_hash(each) for each in drawn], axis=1)


def alike(hashes: np.ndarray, bits: int) -> float:
    """The share of pairs of (N, 8) short hashes that differ in at most ``bits`` bits."""
    signs = np.unpackbits(hashes, axis=1).astype(np.float32) * 2 - 1
    apart = (signs.shape[1] - signs @ signs.T) / 2
    return float((apart[np.triu_indices(len(signs), 1)] <= bits + 0.5).mean())


def short_hashes(photos: Photos) -> np.ndarray:
    """The real photos' short hashes of the face, (N, 8) uint8, without noise."""
    return _hash(photos.face.real.reshape(-1, LONG, LONG)[:, :SHORT, :SHORT])


def _low(greys: list[np.ndarray]) -> Coefficients:
    """Scaled without the mean, so that neither a photo's light nor its contrast counts."""
    low = np.stack([cv2.dct(grey.astype(np.float32))[:LONG, :LONG].ravel() for grey in greys])
    real = low / np.linalg.norm(low[:, 1:], axis=1, keepdims=True)
    spread = np.cov(real.T)
    spread += 1e-6 * np.trace(spread) / len(spread) * np.eye(len(spread))  # few photos: not of full rank
    return Coefficients(real, np.linalg.cholesky(spread).astype(np.float32))


def _smoothed(photos: Coefficients, count: int, rng: np.random.Generator) -> np.ndarray:
    mean = photos.real.mean(axis=0)
    noise = rng.standard_normal((count, len(photos.factor)), dtype=np.float32) @ photos.factor.T
    moved = photos.real[rng.integers(0, len(photos.real), count)] - mean + np.float32(NOISE) * noise
    return mean + moved / np.float32(np.sqrt(1 + NOISE**2))


def _hash(coefficients: np.ndarray) -> np.ndarray:
    flat = coefficients.reshape(len(coefficients), -1)
    return np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1)
