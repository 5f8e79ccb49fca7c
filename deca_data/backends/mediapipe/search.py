"""Searches further for the mesh of a face where one fit failed: on profiles, tight crops and ears."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from deca_data.backends.mediapipe.detections import Near
from deca_data.backends.mediapipe.fit import ON_BOX, Fit, Roi, box_of, look, moved, roi_of_box, settle
from deca_data.backends.mediapipe.outputs import Networks, RawDetection, Seen
from deca_data.boxes import overlap

TRUSTED = 0.5
"""Confidence from which a fit is accepted without a search."""

FOUND = 0.1
"""Confidence from which the best fit of a search is accepted; recipes drop the doubtful ones."""

_GOOD = 0.4  # confidence times overlap that ends a search immediately
_LEVEL = 0.15  # radians below which a roll changes a crop little
_SAME = 0.8  # overlap from which two detections lead to the same crop
_ENOUGH = 0.2  # confidence times overlap that ends a search after its present stage
_SUPPORT = 0.4  # score that some detection on the box must have: without a face, a search finds one by chance
_SETTLED_LOOKS = 3  # number of passes that are settled in each stage of a search, those of highest presence
_WEAKEST = 0.02  # presence below which a pass is not settled
_SIDEWAYS = (0.0, -0.15, 0.15, -0.3, 0.3)  # shifts of the crop in parts of its side


def trusted(found: Fit, box: np.ndarray) -> bool:
    """Whether a fit on ``box`` needs no search."""
    return found.confidence >= TRUSTED and overlap(found.box, box) >= ON_BOX


def search(
    models: Networks, image: np.ndarray, box: np.ndarray, near: Near, stages: int | None = None
) -> Fit | None:
    """The best mesh of the face in ``box`` from many crops, or None where none fits.

    Args:
        models: the networks.
        image: (H, W, 3) uint8 RGB.
        box: x0 y0 x1 y1, pixels.
        near: the detections near the box.
        stages: number of sets of crops that are tried; None tries all.
    """
    faces = near.faces()
    if max((face.score for face in faces), default=0.0) < _SUPPORT:
        return None
    best, best_value = None, 0.0
    for looks in islice(_stages(models, image, box, faces), stages):
        looks.sort(key=lambda one: -one.value)
        for one in looks[:_SETTLED_LOOKS]:
            if one.value < _WEAKEST:
                break
            found = settle(models, one.picture, one.seen)
            found = found._replace(support=near.support(found.plain))
            shared = overlap(found.box, box)
            value = found.confidence * shared
            if shared >= ON_BOX and found.confidence >= FOUND and value > best_value:
                best, best_value = found, value
            if best_value >= _GOOD:
                return best
        if best_value >= _ENOUGH:
            break
    return best


class _Look(NamedTuple):
    value: float  # presence; 0 where the landmarks are not on the box
    picture: np.ndarray  # the image, or a copy with more contrast
    seen: Seen


def _stages(
    models: Networks, image: np.ndarray, box: np.ndarray, near: list[RawDetection]
) -> Iterator[list[_Look]]:
    """Sets of passes, each wider: detections near the box, crops around it, more contrast, rotations."""
    detected = [roi_of_box(face.box, angle) for face in _distinct(near) for angle in _angles(face)]
    yield [_looked(models, image, roi, box) for roi in detected]
    start = roi_of_box(box)
    level, *scaled = ([moved(start, dx, 0.0, scale) for dx in _SIDEWAYS] for scale in (1.0, 0.8, 1.25))
    yield [_looked(models, image, roi, box) for roi in level]
    around = [*scaled[0], *scaled[1], moved(start, 0.0, -0.15), moved(start, 0.0, 0.15)]
    yield [_looked(models, image, roi, box) for roi in around]
    clear = _more_contrast(image)
    yield [_looked(models, clear, roi, box) for roi in (*level, *scaled[0])]
    turned = [roi._replace(angle=angle) for roi in level for angle in (-0.35, 0.35)]
    yield [_looked(models, image, roi, box) for roi in turned]


def _angles(face: RawDetection) -> tuple[float, ...]:
    """The roll that the detector says, and none where that is another crop; profiles have a wrong one."""
    return (face.roll,) if abs(face.roll) < _LEVEL else (face.roll, 0.0)


def _distinct(faces: list[RawDetection]) -> list[RawDetection]:
    """The detections, the most certain first, without those that give nearly the same crop as another."""
    kept: list[RawDetection] = []
    for face in sorted(faces, key=lambda one: -one.score):
        if all(overlap(face.box, other.box) < _SAME for other in kept):
            kept.append(face)
    return kept


def _looked(models: Networks, image: np.ndarray, roi: Roi, box: np.ndarray) -> _Look:
    seen = look(models, image, roi)
    shared = overlap(box_of(seen.plain), box)
    return _Look(seen.presence if shared >= ON_BOX - 0.1 else 0.0, image, seen)


def _more_contrast(image: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(2.0, (4, 4)).apply(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
