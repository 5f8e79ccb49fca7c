"""The detectors on a reduced copy of an image, and whether their points of a face agree with a mesh."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np

from deca_data.backends.mediapipe.landmark_maps import mesh_to_ibug
from deca_data.backends.mediapipe.outputs import Networks, RawDetection
from deca_data.boxes import longer_side, overlap

LONGEST = 512
"""Longest side, in pixels, of the copy of the image that the detectors get; their input is 128 or 192."""

_WAYS = tuple(product(("short", "full"), (0.25, 0.0, 0.5)))  # network and border, the fastest first
_POINTS = ((33, 133), (263, 362), (1, 1), (13, 14))  # of the mesh: the middles of eyes, nose tip and mouth
_AGREE, _APART = 0.14, 0.3
"""Mean distance of these points, over the face's size, at which a detection supports a mesh fully, or not at
all. Of 394 profiles 98 % have at most 0.10; a mesh on an ear or beside the face has 0.25 or more."""


class Reduced(NamedTuple):
    """A reduced copy of an image for the detectors."""

    image: np.ndarray  # (h, w, 3) uint8 RGB, each side at most ``LONGEST``
    scale: np.ndarray  # (4,) factors from a box on the copy to a box on the image

    @classmethod
    def of(cls, image: np.ndarray) -> Reduced:
        """Makes the copy; a small image is used as it is."""
        height, width = image.shape[:2]
        factor = min(1.0, LONGEST / max(height, width))
        if factor == 1:
            return cls(image, np.ones(4))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return cls(small, np.array([width / size[0], height / size[1]] * 2))


def detect_reduced(models: Networks, reduced: Reduced, kind: str, padding: float = 0.0) -> list[RawDetection]:
    """Runs the "short" or the "full" detector over the copy; boxes are in pixels of the original image.

    ``padding`` is the width of a black border around the copy, over its longer side.
    """
    small, scale = reduced
    border = int(padding * max(small.shape[:2]))
    if border:
        small = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_CONSTANT)
    return [
        face._replace(
            box=(face.box - border + 0.5) * scale - 0.5,
            points=(face.points - border + 0.5) * scale[:2] - 0.5,
        )
        for face in models.detect(small, kind)
    ]


class Near:
    """The detections near a box, in six ways, each run when it is first needed."""

    def __init__(self, models: Networks, image: np.ndarray, box: np.ndarray) -> None:
        self._found: list[RawDetection] = []
        self._rest = self._run(models, image, box)

    def faces(self) -> list[RawDetection]:
        """All of them."""
        return list(self._all())

    def support(self, mesh: np.ndarray) -> float:
        """0 to 1: how well the detection that agrees best with a mesh agrees; 1 if nothing is detected."""
        points = np.array([mesh[list(group), :2].mean(0) for group in _POINTS])
        size = max(longer_side(_bounds(mesh_to_ibug(mesh))), 1e-6)
        best = np.inf
        for face in self._all():
            best = min(best, float(np.linalg.norm(face.points[:4] - points, axis=1).mean()) / size)
            if best <= _AGREE:
                return 1.0
        return float(np.clip((_APART - best) / (_APART - _AGREE), 0, 1)) if self._found else 1.0

    def _all(self) -> Iterator[RawDetection]:
        yield from self._found
        for face in self._rest:
            self._found.append(face)
            yield face

    @staticmethod
    def _run(models: Networks, image: np.ndarray, box: np.ndarray) -> Iterator[RawDetection]:
        reduced = Reduced.of(image)
        for kind, padding in _WAYS:
            for face in detect_reduced(models, reduced, kind, padding)[:3]:
                if overlap(face.box, box) > 0.2:
                    yield face


def _bounds(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points.min(0), points.max(0)])
