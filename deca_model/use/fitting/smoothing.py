"""Smoothing the codes of a clip over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deca_model.use.fitting.face_codes import FaceCodes
from manifests.images.crop import Square

SECONDS = 0.04
"""Time over which codes are smoothed, about one frame; a blink takes 0.1 to 0.4 s."""


def smoothed(codes: Sequence[FaceCodes], squares: Sequence[Square], per_second: float) -> list[FaceCodes]:
    """The codes without jitter: Whittaker's smoother (1923) with first differences.

    It minimises the squared change of each number plus, times ``(SECONDS * per_second)^2``, the squared
    differences of neighbour frames. The camera is smoothed in pixels of the photo, because each frame has its
    own crop. Shapes are not touched.

    Args:
        codes: one per frame, in order.
        squares: the frames' crops.
        per_second: frames per second.
    """
    if len(codes) < 3:
        return list(codes)
    rows = np.stack([_row(code, square) for code, square in zip(codes, squares, strict=True)])
    found = smoothed_rows(rows, per_second)
    return [_codes(row, code, square) for row, code, square in zip(found, codes, squares, strict=True)]


def smoothed_rows(rows: np.ndarray, per_second: float) -> np.ndarray:  # (T, N) -> (T, N)
    """Numbers of the frames of a clip without jitter, as in ``smoothed``."""
    return _solve(rows, (SECONDS * per_second) ** 2)


def _solve(rows: np.ndarray, strength: float) -> np.ndarray:
    """(I + strength D'D) x = rows for first differences D: a tridiagonal system, by Thomas's algorithm."""
    count = len(rows)
    diagonal = np.full(count, 1 + 2 * strength)
    diagonal[[0, -1]] = 1 + strength
    result = rows.copy()
    for n in range(1, count):
        factor = -strength / diagonal[n - 1]
        diagonal[n] += strength * factor
        result[n] -= factor * result[n - 1]
    result[-1] /= diagonal[-1]
    for n in range(count - 2, -1, -1):
        result[n] = (result[n] + strength * result[n + 1]) / diagonal[n]
    return result


def _row(code: FaceCodes, square: Square) -> np.ndarray:
    """Expression, pose, and the camera in the photo: logarithm of the scale, and the head's origin."""
    scale = code.camera[0] * float(square.side) / 2
    origin = square.center + scale * code.camera[1:] * [1, -1]
    return np.concatenate([code.expression, code.pose, [np.log(scale)], origin])


def _codes(row: np.ndarray, code: FaceCodes, square: Square) -> FaceCodes:
    scale = np.exp(row[-3])
    shift = (row[-2:] - square.center) / scale * [1, -1]
    camera = np.array([scale / (float(square.side) / 2), *shift])
    size = len(code.expression)
    return replace(code, expression=row[:size], pose=row[size:-3], camera=camera)
