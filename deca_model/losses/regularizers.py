"""Priors on the codes."""

from __future__ import annotations

from torch import Tensor


def code_prior(code: Tensor) -> Tensor:  # (B, N) -> ()
    """Half the squared length of a code, mean over the batch: for shape, expression and texture.

    The negative logarithm of a standard normal prior. The official trainer sums over the batch too, so its
    weight of 1e-4 follows the batch size; the same pull needs that weight times its batch (64 doubled codes
    there) here.
    """
    return code.square().sum(dim=1).mean() / 2


def white_light_prior(light: Tensor) -> Tensor:  # (B, 9, 3) -> ()
    """Mean squared distance of the light's coefficients from their mean over the colours."""
    return (light - light.mean(dim=2, keepdim=True)).square().mean()
