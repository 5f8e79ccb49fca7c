"""Pictures of a run: what the model makes of a few faces, and the curve of the losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from deca_model.data.loading import FaceBatch
from deca_model.networks.model import Deca, Posed
from deca_model.render.renderer import composite
from manifests.images.crop import crop_pixels
from manifests.landmarks import EDGES

TRUTH, PREDICTED = (60, 220, 60), (250, 70, 60)  # RGB
_PALETTE = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75))
_TILE = 224


@torch.no_grad()
def face_grid(
    model: Deca, batch: FaceBatch, posed: Posed, textured: bool = False
) -> np.ndarray:  # (rows, columns, 3) uint8 RGB
    """One column a face: the photo; true (green) and predicted (red) landmarks; the posed head over it.

    Args:
        model: the model.
        batch: the photos and their landmarks.
        posed: what the model makes of them.
        textured: adds the head with its albedo and light; a model with details also shows their shape.
    """
    predicted, truth = posed.landmarks.detach().cpu().numpy(), batch.landmarks.cpu().numpy()
    photos = batch.faces()
    rows = [bytes_of(photos), bytes_of(shape_pictures(model, posed, photos))]
    if textured:
        rows.append(bytes_of(textured_pictures(model, posed, photos)))
    if textured and model.detail is not None:
        displacement = model.displacement(model.encode_detail(photos), posed.codes)
        rows.append(bytes_of(shape_pictures(model, posed, photos, displacement)))
    columns = []
    for n, tiles in enumerate(zip(*rows, strict=True)):
        marked = draw_landmarks(_tile(tiles[0]), truth[n], TRUTH)
        marked = draw_landmarks(marked, predicted[n], PREDICTED)
        columns.append(np.concatenate([_tile(tiles[0]), marked, *map(_tile, tiles[1:])], axis=0))
    return np.concatenate(columns, axis=1)


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


def bytes_of(pictures: Tensor) -> np.ndarray:  # (B, 3, H, W) in [0, 1] -> (B, H, W, 3) uint8
    """Pictures as bytes."""
    return (pictures.detach().permute(0, 2, 3, 1).clamp(0, 1) * 255).round().byte().cpu().numpy()


def draw_landmarks(image: np.ndarray, points: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Draws normalised landmarks (68, 2) and their lines into a copy of a square image."""
    out = image.copy()
    pixels = np.round(crop_pixels(points, len(image)) * 16).astype(int)
    for a, b in EDGES:
        _line(out, pixels[a], pixels[b], colour)
    for x, y in pixels:
        cv2.circle(out, (int(x), int(y)), 24, colour, -1, cv2.LINE_AA, shift=4)
    return out


def loss_plot(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str) -> np.ndarray:
    """Draws curves over the steps, the losses on a logarithmic scale.

    Args:
        series: name to (steps, values); values that are not positive are left out.
        title: written above.

    Returns:
        (480, 840, 3) uint8 RGB.
    """
    image = np.full((480, 840, 3), 255, np.uint8)
    left, top, right, bottom = 70, 40, 640, 430
    curves = {}
    for name, (steps, values) in series.items():
        points = [(s, v) for s, v in zip(steps, values, strict=True) if v > 0 and math.isfinite(v)]
        if points:
            curves[name] = np.array(points, np.float64)
    _text(image, title, (left, 24), 0.55)
    if not curves:
        return image
    every = np.concatenate(list(curves.values()))
    last = max(every[:, 0].max(), 1)
    low, high = np.log10(every[:, 1].min()), np.log10(every[:, 1].max())
    low, high = low - 0.05, max(high, low + 0.1) + 0.05

    def place(points: np.ndarray) -> np.ndarray:
        x = left + points[:, 0] / last * (right - left)
        y = bottom - (np.log10(points[:, 1]) - low) / (high - low) * (bottom - top)
        return np.round(np.stack([x, y], axis=1) * 16).astype(np.int32)

    _axes(image, (left, top, right, bottom), last, low, high)
    for number, (name, points) in enumerate(curves.items()):
        colour = _PALETTE[number % len(_PALETTE)]
        if len(points) > 40:
            pale = tuple(int(200 + 0.2 * c) for c in colour)
            cv2.polylines(image, [place(points)], False, pale, 1, cv2.LINE_AA, shift=4)
            points = _smooth(points)
        cv2.polylines(image, [place(points)], False, colour, 2, cv2.LINE_AA, shift=4)
        cv2.line(image, (right + 12, 60 + 22 * number), (right + 30, 60 + 22 * number), colour, 3)
        _text(image, name, (right + 36, 64 + 22 * number), 0.42)
    return image


def write_png(path, image: np.ndarray) -> None:
    """Writes an RGB picture, whole or not at all."""
    from manifests.files import write_atomic

    ok, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not ok:
        raise OSError(f"{path}: the picture could not be encoded")
    write_atomic(path, data.tobytes())


def _tile(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (_TILE, _TILE), interpolation=cv2.INTER_CUBIC)


def _line(image: np.ndarray, start: np.ndarray, stop: np.ndarray, colour: tuple[int, int, int]) -> None:
    (x0, y0), (x1, y1) = start.tolist(), stop.tolist()
    cv2.line(image, (x0, y0), (x1, y1), colour, 1, cv2.LINE_AA, shift=4)


def _text(image: np.ndarray, text: str, place: tuple[int, int], size: float) -> None:
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (40, 40, 40), 1, cv2.LINE_AA)


def _axes(image: np.ndarray, frame: tuple[int, int, int, int], last: float, low: float, high: float) -> None:
    left, top, right, bottom = frame
    marks = [
        (math.log10(factor) + power, factor * 10.0**power)
        for power in range(math.floor(low), math.ceil(high) + 1)
        for factor in (1, 2, 5)
    ]
    for height, value in marks:
        if low <= height <= high:
            y = round(bottom - (height - low) / (high - low) * (bottom - top))
            cv2.line(image, (left, y), (right, y), (225, 225, 225), 1)
            _text(image, f"{value:g}", (8, y + 4), 0.42)
    for part in range(5):
        x = round(left + part / 4 * (right - left))
        _text(image, f"{last * part / 4:g}", (x - 12, bottom + 20), 0.42)
    cv2.rectangle(image, (left, top), (right, bottom), (120, 120, 120), 1)
    _text(image, "step", ((left + right) // 2 - 14, bottom + 40), 0.45)


def _smooth(points: np.ndarray) -> np.ndarray:
    """A running mean over a twentieth of the curve."""
    width = max(3, len(points) // 20)
    kernel = np.ones(width) / width
    return np.stack([np.convolve(points[:, axis], kernel, mode="valid") for axis in (0, 1)], axis=1)
