"""Wrinkles from brightness: a displacement map from one photo, in milliseconds.

Beeler et al. 2010, "High-quality single-shot capture of facial geometry", section 7: on skin, what is darker
than its surroundings is mostly a fold that less light reaches, so it is deeper. The logarithm of the photo's
brightness in the UV square is filtered to the sizes of wrinkles and folds and becomes the displacement.
Gradient descent on the shading of the map was tried first: flat light, which most photos have, explains dark
folds only by absurd slopes, and the result was rough.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from deca_model.networks.model import Deca, Posed
from deca_model.render.normals import vertex_normals

BANDS = ((1 / 256, 1 / 40, 4.0), (1 / 100, 1 / 16, 5.0))
"""Smallest and largest size of details, as parts of the map's side, and millimetres per natural logarithm."""
CONTRAST = 0.4
"""Largest natural logarithm of a brightness ratio; more is a brow, a beard or a frame of glasses."""
FEATHER = 1 / 24
"""Width, as a part of the map's side, over which details fade towards hair and the unseen side."""
_BRIGHTNESS = (0.6, 0.4, 0.0)  # red skin and lips are not dark in red; blue is noisy


@torch.no_grad()
def fit_details(
    model: Deca,
    posed: Posed,
    photos: Tensor,  # (B, 3, S, S)
    masks: Tensor,  # (B, 1, S, S), 1 where the photo shows skin of the face
) -> Tensor:  # (B, 1, U, U) metres
    """Displacement maps; 0 where the photo does not show skin from its front."""
    seen = model.surface.visible(posed.head.vertices, posed.vertices, masks)
    colours = model.layout.from_image(photos, posed.vertices)
    bright = (colours * colours.new_tensor(_BRIGHTNESS).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    logarithm = bright.clamp(min=0.05).log()
    size = seen.shape[-1]
    total = torch.zeros_like(seen)
    for small, large, gain in BANDS:
        band = _mean(logarithm, seen, small * size) - _mean(logarithm, seen, large * size)
        total = total + gain / 1000 * CONTRAST * (band / CONTRAST).tanh()
    rim = _blur(seen, FEATHER * size)  # 1/2 at a straight rim
    fade = (2 * rim - 1).clamp(0, 1)
    return total * seen * fade * _frontal(model, posed.head.vertices) * model.surface.region


def _frontal(model: Deca, vertices: Tensor) -> Tensor:  # (B, 1, U, U), 0 to 1
    """How much each texel faces the viewer; colours at grazing angles are smeared."""
    normals = model.layout.from_vertices(vertex_normals(vertices, model.head.faces))
    return (normals[:, 2:] * 2 - 0.3).clamp(0, 1)


def _mean(values: Tensor, seen: Tensor, deviation: float) -> Tensor:
    """A blur over the seen texels only."""
    return _blur(values * seen, deviation) / _blur(seen, deviation).clamp(min=1e-3)


def _blur(maps: Tensor, deviation: float) -> Tensor:
    """Three box blurs, which are nearly a Gaussian; none below half a texel."""
    reach = round(deviation)
    for _ in range(3 * (reach > 0)):
        maps = avg_pool2d(maps, 2 * reach + 1, 1, reach, count_include_pad=False)
    return maps
