"""Light and albedo from a photo, once the shape is known: linear least squares in turns.

The photo's colours are taken to the head's UV square. There, albedo times shading is linear in the light's
coefficients for a given albedo, and in the albedo's codes for a given light. Texels that do not fit, such as
hair, highlights and glasses, count less in each turn.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from deca_model.networks.codes import CODE_SIZES, Codes
from deca_model.networks.model import Deca, Posed
from deca_model.render.light import ambient_light, harmonics
from deca_model.render.normals import vertex_normals

TURNS = 4
LIGHT_WEIGHT, COLOUR_WEIGHT, ALBEDO_WEIGHT = 0.003, 0.3, 0.001
"""Weights of the priors, relative to one texel's mean error: light from all sides, white light, and the mean
albedo. The colour of skin is the albedo's where it can be: light of its own colour would explain it too."""
SECOND_ORDER = 10.0
"""Factor on the prior of the light's five finest coefficients."""
FIRST_MODES = 5
"""Albedo codes that are found together with the light. The others, broad waves of colour, come last: they
could explain light from one side."""
OUTLIER = 0.08
"""Colour error from which a texel counts less, of a range of 1."""
_STRIDE = 2  # every second texel in each direction is enough


def fit_colours(
    model: Deca,
    posed: Posed,
    photos: Tensor,  # (B, 3, S, S)
    masks: Tensor,  # (B, 1, S, S), 1 where the photo shows skin of the face
) -> Codes:
    """The codes with the light and the texture of each photo."""
    seen = model.surface.visible(posed.head.vertices, posed.vertices, masks)[..., ::_STRIDE, ::_STRIDE] > 0.5
    colours = model.layout.from_image(photos, posed.vertices)[..., ::_STRIDE, ::_STRIDE]
    normals = model.layout.from_vertices(vertex_normals(posed.head.vertices, model.head.faces))
    normals = normalize(normals, dim=1)[..., ::_STRIDE, ::_STRIDE]
    mean = model.albedo.mean[:, ::_STRIDE, ::_STRIDE]
    size = model.layout.size
    basis = model.albedo.basis.view(-1, 3, size, size)[:, :, ::_STRIDE, ::_STRIDE]
    lights, textures = [], []
    for n in range(len(photos)):
        where = seen[n, 0]
        light, texture = _fit_one(
            colours[n][:, where].T,
            harmonics(normals[n][:, where].T),
            mean[:, where].T,
            basis[:, :, where].permute(2, 1, 0),
        )
        lights.append(light)
        textures.append(texture)
    padded = photos.new_zeros(len(photos), CODE_SIZES["texture"])
    padded[:, : len(basis)] = torch.stack(textures)
    return posed.codes._replace(light=torch.stack(lights), texture=padded)


def _fit_one(
    colours: Tensor,  # (N, 3)
    functions: Tensor,  # (N, 9)
    mean: Tensor,  # (N, 3)
    basis: Tensor,  # (N, 3, M)
) -> tuple[Tensor, Tensor]:
    """Light (9, 3) and texture codes (M,) from the seen texels; the priors alone if there are few."""
    start = ambient_light(1, device=colours.device)[0]
    light, texture = start.clone(), colours.new_zeros(basis.shape[2])
    if len(colours) < 50:
        return light, texture
    strength = torch.full((9,), LIGHT_WEIGHT)
    strength[4:] *= SECOND_ORDER  # on a face seen from its front, they look like the others
    for turn in range(TURNS):
        albedo = mean + basis @ texture
        error = (colours - albedo * (functions @ light)).norm(dim=1)
        weight = (OUTLIER / error.clamp(min=1e-6)).clamp(max=1)
        rows = (albedo[..., None] * functions[:, None]).flatten(0, 1)
        white = _solve(rows, colours.flatten(), weight.repeat_interleave(3), strength, start[:, 0])
        for channel in range(3):
            rows = albedo[:, channel, None] * functions
            light[:, channel] = _solve(rows, colours[:, channel], weight, COLOUR_WEIGHT, white)
        shading = functions @ light
        wanted = (colours - mean * shading).flatten()
        modes = slice(None if turn == TURNS - 1 else FIRST_MODES)
        rows = (basis[..., modes] * shading[..., None]).flatten(0, 1)
        found = _solve(
            rows, wanted, weight.repeat_interleave(3), ALBEDO_WEIGHT, torch.zeros_like(texture[modes])
        )
        texture[modes] = found
    return light, texture


def _solve(rows: Tensor, wanted: Tensor, weight: Tensor, prior: float | Tensor, middle: Tensor) -> Tensor:
    """Weighted least squares with a prior around ``middle``, of one strength or one for each unknown."""
    scaled = rows * weight[:, None]
    matrix = (rows.T @ scaled).double() / weight.sum() + torch.eye(rows.shape[1], dtype=torch.float64) * prior
    right = (scaled.T @ wanted).double() / weight.sum() + prior * middle
    return torch.linalg.solve(matrix, right).to(rows.dtype)
