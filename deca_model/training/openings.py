"""How far mouths and eyes are open: does the reconstruction follow the photo?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from deca_model.losses.landmarks import EYELID_PAIRS, LIP_PAIRS
from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca

LEAST_SPREAD = 0.004
"""Standard deviation of the photos' openings, in sizes of the face, below which there is nothing to follow:
so much is the jitter of landmarks. Photos of many persons have some 0.04 (mouths) and 0.012 (eyes)."""
_LEAST = 1e-9


def openings(points: Tensor) -> Tensor:  # (N, 68, >= 2) -> (N, 2) mouth, eyes
    """Mean distance of the inner lips' and of the lids' points, over the root of the landmark box's area."""
    flat = points[..., :2].double()
    size = (flat.amax(dim=1) - flat.amin(dim=1)).prod(dim=1).sqrt()
    found = []
    for pairs in (LIP_PAIRS, EYELID_PAIRS):
        first, second = (flat[:, list(side)] for side in zip(*pairs, strict=True))
        found.append((first - second).norm(dim=2).mean(dim=1) / size)
    return torch.stack(found, dim=1)


@torch.no_grad()
def carried_openings(model: Deca, codes: Codes, shape: Tensor) -> Tensor:  # (1, 100) -> (N, 2)
    """The openings of one person's head, seen from the front, with each face's expression and jaw pose.

    This is what ``deca transfer`` and ``deca animate`` make of the codes.
    """
    pose = torch.cat([torch.zeros_like(codes.pose[:, :3]), codes.pose[:, 3:]], dim=1)
    output = model.head(shape.expand(len(pose), -1), codes.expression, pose)
    return openings(output.landmarks_3d)


def opening_figures(
    photo: Tensor,  # (N, 2)
    reconstructed: Tensor,  # (N, 2)
    carried: Tensor,  # (N, 2)
) -> dict[str, float]:
    """Pearson's correlations with the photos' openings, of mouth and eyes.

    Those of the reconstruction, and (``carried_...``) those of the expression on another person's head. A
    figure is left out where the photos' openings vary by less than ``LEAST_SPREAD``, or where all of the
    head's are equal.
    """
    figures = {}
    for prefix, ours in (("", reconstructed), ("carried_", carried)):
        for number, name in enumerate(("mouth", "eye")):
            value = _correlation(photo[:, number].tolist(), ours[:, number].tolist())
            if value is not None:
                figures[f"{prefix}{name}_correlation"] = value
    return figures


def _correlation(photo: Sequence[float], other: Sequence[float]) -> float | None:
    if len(photo) < 2 or np.std(photo) < LEAST_SPREAD or np.std(other) < _LEAST:
        return None
    return float(np.corrcoef(photo, other)[0, 1])
