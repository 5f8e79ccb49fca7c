"""Priors on the codes."""

from __future__ import annotations

from torch import Tensor


def code_prior(code: Tensor) -> Tensor:  # (B, N) -> ()
    """Half the squared length of a code, mean over the batch: for shape, expression and texture.

    This is the negative logarithm of a standard normal prior, up to a constant. The official trainer also
    sums over the batch, so its weight of 1e-4 depends on the batch size. The equal weight here is 1e-4 times
    its batch of 64 codes (32 images, doubled).
    """
    return code.square().sum(dim=1).mean() / 2


def white_light_prior(light: Tensor) -> Tensor:  # (B, 9, 3) -> ()
    """Mean squared distance of the light's coefficients from their mean over the colours."""
    return (light - light.mean(dim=2, keepdim=True)).square().mean()
