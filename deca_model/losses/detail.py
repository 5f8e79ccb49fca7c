"""Losses of the detail stage, on UV maps (Feng et al. 2021, section 4.2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from deca_model.losses.photometric import masked_difference

_PATCH = slice(50, 206)  # rows and columns of 256 that hold the face in DECA's layout
_PATCH_OF = 256
_EROSION = 5  # texels


def uv_patch(maps: Tensor) -> Tensor:  # (B, C, S, S) -> (B, C, S, S)
    """The middle of a UV map, scaled up to its full size; DECA compares details there."""
    size = maps.shape[-1]
    part = slice(round(_PATCH.start * size / _PATCH_OF), round(_PATCH.stop * size / _PATCH_OF))
    return interpolate(maps[:, :, part, part], (size, size), mode="bilinear", align_corners=False)


def uv_photometric_loss(
    rendered: Tensor,  # (B, 3, S, S)
    photo: Tensor,  # (B, 3, S, S), the photo sampled in UV
    visible: Tensor,  # (B, 1, S, S), 0 to 1
) -> Tensor:  # ()
    """Absolute colour difference of the visible texels, mean over the images that have any.

    As in the official trainer, an image counts with the mean over its whole map.
    """
    difference = masked_difference(rendered, photo, visible.detach())
    return difference.sum() / has_visible(visible).sum().clamp(min=1)


def has_visible(visible: Tensor) -> Tensor:  # (B, 1, S, S) -> (B,) bool
    """Which images show any texel; one without a mask shows none."""
    return (visible > 0).flatten(1).any(dim=1)


def displacement_prior(displacement: Tensor) -> Tensor:  # (B, 1, S, S) metres -> ()
    """Mean absolute displacement; it keeps details small."""
    return displacement.abs().mean()


def shading_smoothness(shading: Tensor) -> Tensor:  # (B, 3, S, S) -> ()
    """Mean squared difference of neighbouring texels, across plus down; it suppresses noise."""
    across = shading[..., 1:] - shading[..., :-1]
    down = shading[..., 1:, :] - shading[..., :-1, :]
    return across.square().mean() + down.square().mean()


def soft_symmetry(
    displacement: Tensor,  # (B, 1, S, S)
    visible: Tensor,  # (B, 1, S, S), 0 to 1
) -> Tensor:  # ()
    """Absolute difference from the other side of the face where the photo does not show it.

    The mean is over the whole map.

    Hidden texels are pulled towards the visible side. Visible texels get no gradient, because the mirror
    image is detached. Texels near the rim of the visible area count as hidden. The UV layout has to be
    left-right symmetric, as FLAME's and the embedded head's are.
    """
    shown = (visible.detach() > 0).to(displacement.dtype)
    eroded = -max_pool2d(-shown, _EROSION, 1, _EROSION // 2)
    hidden = 1 - eroded
    return ((displacement - displacement.flip(-1).detach()).abs() * hidden).mean()
