"""Fits the mesh to a turned head from several start crops, and checks whether the results agree.

On a difficult face the fit can end in several places, and which one depends on the first crop. One result
does not show this. So the fit is repeated from other crops. Results that agree are averaged. If they do not
agree, the results near the most central one are averaged, and the confidence is lower.
"""

from __future__ import annotations

import numpy as np

from deca_data.backends.mediapipe.detections import Near
from deca_data.backends.mediapipe.fit import (
    Fit,
    Roi,
    distance,
    fit,
    look,
    moved,
    roi_of_box,
    roi_of_mesh,
    settle,
)
from deca_data.backends.mediapipe.outputs import Networks
from deca_data.backends.mediapipe.search import TRUSTED, search, trusted

_STARTS = ((0.05, -0.05), (-0.05, 0.05))  # offsets of the other start crops, in parts of the crop's side
_SAME = 0.04  # distance below which two results agree, and a third start is not tried
_SURE, _EXACT = 0.85, 0.018  # confidence and disagreement of two passes from which one start is enough
_COUNTS = 0.2  # confidence from which a result counts
_NEAR = 0.06  # distance from the most central result below which others are averaged with it


def fit_on_box(models: Networks, image: np.ndarray, box: np.ndarray) -> Fit | None:
    """The mesh of the face in ``box`` (x0 y0 x1 y1, pixels), or None where no mesh fits."""
    start = roi_of_box(box)
    first = fit(models, image, start)
    if first.error == 0 and trusted(first, box):  # one pass was enough
        return first
    near = Near(models, image, box)
    first = first._replace(support=near.support(first.plain))
    if not trusted(first, box):
        # where only the detectors do not agree, the mesh stays, with a low confidence
        fits = trusted(first._replace(support=1.0), box)
        found = search(models, image, box, near, stages=2 if fits else None)
        if found is None:
            return first if fits else None
        if found.error == 0:
            return found
        first, start = found, roi_of_mesh(found.plain)
    if first.confidence >= _SURE and first.error < _EXACT:
        return first
    both = agreed(models, image, start, first)
    return both._replace(support=near.support(both.plain))


def agreed(models: Networks, image: np.ndarray, start: Roi, first: Fit) -> Fit:
    """The mean of ``first`` and of the results from crops beside ``start``, turned like ``first``."""
    fits, asked = [first], 1
    own = roi_of_mesh(first.plain)
    start = start._replace(angle=own.angle)
    for dx, dy in _STARTS:
        if len(fits) == 2 and distance(fits[0].plain, fits[1].plain) < _SAME:
            break
        asked += 1
        again = fit_again(models, image, moved(start, dx, dy), moved(own, dx, dy))
        if again.confidence >= _COUNTS:
            fits.append(again)
    apart = np.array([[min(distance(a.plain, b.plain), 2 * _NEAR) for b in fits] for a in fits])
    central = int(apart.sum(0).argmin())
    near = [one for one, far in zip(fits, apart[central], strict=True) if far < _NEAR]
    mesh, plain = (np.mean([getattr(one, name) for one in near], axis=0) for name in ("mesh", "plain"))
    return Fit(mesh, plain, fits[central].presence, fits[central].error, len(near) / asked)


def fit_again(models: Networks, image: np.ndarray, start: Roi, other: Roi) -> Fit:
    """A fit from the crop ``start``; if it fails, from the crop ``other``."""
    found = fit(models, image, start)
    if found.confidence >= TRUSTED or start == other:
        return found
    return settle(models, image, look(models, image, other))
