"""Fits the mesh to a turned head from several start crops, and checks whether the results agree.

On a difficult face the fit can end in several places, and which one depends on the first crop. One result
does not show this. So the fit is repeated from other crops. Results that agree are averaged. If they do not
agree, the results near the most central one are averaged, and the confidence is lower.
"""

from __future__ import annotations

import numpy as np

from deca_data.backends.mediapipe.fit import Fit, distance, fit, look, moved, roi_of_box, roi_of_mesh, settle
from deca_data.backends.mediapipe.models import FaceModels
from deca_data.backends.mediapipe.search import FOUND, TRUSTED, fit_or_search

_STARTS = ((0.05, -0.05), (-0.05, 0.05))  # offsets of the other start crops, in parts of the crop's side
_SAME = 0.03  # distance below which two results agree, and a third start is not tried
_NEAR = 0.06  # distance from the most central result below which others are averaged with it


def fit_on_box(models: FaceModels, image: np.ndarray, box: np.ndarray) -> Fit | None:
    """The mesh of the face in ``box`` (x0 y0 x1 y1, pixels), or None where no mesh fits."""
    first = fit_or_search(models, image, box)
    if first is None or first.error == 0:  # one pass was enough
        return first
    return agreed(models, image, box, first)


def agreed(models: FaceModels, image: np.ndarray, box: np.ndarray, first: Fit) -> Fit:
    """The mean of ``first`` and of the results from other starts on the same box."""
    fits, asked = [first], 1
    for dx, dy in _STARTS:
        if len(fits) == 2 and distance(fits[0].plain, fits[1].plain) < _SAME:
            break
        asked += 1
        again = fit_again(models, image, box, first, dx, dy)
        if again.confidence >= FOUND:
            fits.append(again)
    apart = np.array([[min(distance(a.plain, b.plain), 2 * _NEAR) for b in fits] for a in fits])
    central = int(apart.sum(0).argmin())
    near = [one for one, far in zip(fits, apart[central], strict=True) if far < _NEAR]
    mesh, plain = (np.mean([getattr(one, name) for one in near], axis=0) for name in ("mesh", "plain"))
    return Fit(mesh, plain, fits[central].presence, fits[central].error, len(near) / asked)


def fit_again(
    models: FaceModels, image: np.ndarray, box: np.ndarray, first: Fit, dx: float, dy: float
) -> Fit:
    """A fit from a shifted start on the box; if it fails, from the first fit's crop, shifted likewise."""
    found = fit(models, image, moved(roi_of_box(box), dx, dy))
    if found.confidence >= TRUSTED:
        return found
    return settle(models, image, look(models, image, moved(roi_of_mesh(first.plain), dx, dy)))
