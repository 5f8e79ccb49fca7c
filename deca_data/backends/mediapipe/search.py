"""Searches further for the mesh of a face where one fit failed: on profiles, tight crops and ears."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from deca_data.backends.mediapipe.fit import ON_BOX, Fit, Roi, box_of, fit, look, moved, roi_of_box, settle
from deca_data.backends.mediapipe.models import FaceModels
from deca_data.backends.mediapipe.outputs import RawDetection, Seen
from deca_data.boxes import overlap

LONGEST = 512
"""Longest side, in pixels, of the copy of the image that the detectors get; their input is 128 or 192."""

TRUSTED = 0.5
"""Confidence from which a fit is accepted without a search."""

FOUND = 0.2
"""Confidence from which the best fit of a search is accepted."""

_GOOD = 0.4  # confidence times overlap that ends a search immediately
_ENOUGH = 0.2  # confidence times overlap that ends a search after its present stage
_SUPPORT = 0.4  # score that some detection on the box must have: without a face, a search finds one by chance
_SETTLED_LOOKS = 5  # number of passes that are settled in each stage of a search, those of highest presence
_WEAKEST = 0.02  # presence below which a pass is not settled
_SIDEWAYS = (0.0, -0.15, 0.15, -0.3, 0.3)  # shifts of the crop in parts of its side


def fit_or_search(models: FaceModels, image: np.ndarray, box: np.ndarray) -> Fit | None:
    """The mesh of the face in ``box`` (x0 y0 x1 y1, pixels), or None where no mesh fits."""
    first = fit(models, image, roi_of_box(box))
    if first.confidence >= TRUSTED and overlap(first.box, box) >= ON_BOX:
        return first
    near = _detected_near(models, image, box)
    if max((face.score for face in near), default=0.0) < _SUPPORT:
        return None
    best, best_value = None, 0.0
    for looks in _stages(models, image, box, near):
        looks.sort(key=lambda one: -one.value)
        for one in looks[:_SETTLED_LOOKS]:
            if one.value < _WEAKEST:
                break
            found = settle(models, one.picture, one.seen)
            shared = overlap(found.box, box)
            value = found.confidence * shared
            if shared >= ON_BOX and found.confidence >= FOUND and value > best_value:
                best, best_value = found, value
            if best_value >= _GOOD:
                return best
        if best_value >= _ENOUGH:
            break
    return best


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


def detect_reduced(
    models: FaceModels, reduced: Reduced, kind: str, padding: float = 0.0
) -> list[RawDetection]:
    """Runs the "short" or the "full" detector over the copy; boxes are in pixels of the original image.

    ``padding`` is the width of a black border around the copy, over its longer side.
    """
    small, scale = reduced
    border = int(padding * max(small.shape[:2]))
    if border:
        small = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_CONSTANT)
    return [face._replace(box=(face.box - border + 0.5) * scale - 0.5) for face in models.detect(small, kind)]


class _Look(NamedTuple):
    value: float  # presence; 0 where the landmarks are not on the box
    picture: np.ndarray  # the image, or a copy with more contrast
    seen: Seen


def _stages(
    models: FaceModels, image: np.ndarray, box: np.ndarray, near: list[RawDetection]
) -> Iterator[list[_Look]]:
    """Sets of passes, each wider: detections near the box, crops around it, more contrast, rotations."""
    detected = [roi_of_box(face.box, angle) for face in near for angle in (face.roll, 0.0)]
    yield [_looked(models, image, roi, box) for roi in detected]
    start = roi_of_box(box)
    level = [moved(start, dx, 0.0, scale) for scale in (1.0, 0.8, 1.25) for dx in _SIDEWAYS]
    around = [*level, moved(start, 0.0, -0.15), moved(start, 0.0, 0.15)]
    yield [_looked(models, image, roi, box) for roi in around]
    clear, close = _more_contrast(image), level[: 2 * len(_SIDEWAYS)]
    yield [_looked(models, clear, roi, box) for roi in close]
    turned = [roi._replace(angle=angle) for roi in close for angle in (-0.35, 0.35)]
    yield [_looked(models, image, roi, box) for roi in turned]


def _detected_near(models: FaceModels, image: np.ndarray, box: np.ndarray) -> list[RawDetection]:
    reduced = Reduced.of(image)
    return [
        face
        for padding in (0.0, 0.25, 0.5)
        for kind in ("short", "full")
        for face in detect_reduced(models, reduced, kind, padding)[:3]
        if overlap(face.box, box) > 0.2
    ]


def _looked(models: FaceModels, image: np.ndarray, roi: Roi, box: np.ndarray) -> _Look:
    seen = look(models, image, roi)
    shared = overlap(box_of(seen.plain), box)
    return _Look(seen.presence if shared >= ON_BOX - 0.1 else 0.0, image, seen)


def _more_contrast(image: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(2.0, (4, 4)).apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
