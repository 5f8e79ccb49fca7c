"""The losses that several stages share (landmarks, code priors), and the type that a stage returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from deca_model.losses.landmarks import corner_loss, eye_loss, landmark_loss, lip_loss
from deca_model.losses.regularizers import code_prior
from deca_model.networks.model import Posed
from deca_model.settings.groups import LossSettings


class Terms(NamedTuple):
    """The unweighted losses of a batch by their names in the settings, and figures that are only logged."""

    losses: dict[str, Tensor]
    counts: dict[str, Tensor]  # without gradient


def landmark_terms(
    posed: Posed,
    target: Tensor,  # (B, 68, 2)
    weights: LossSettings,
) -> dict[str, Tensor]:
    """The landmark losses whose weight is not 0."""
    terms = {"landmark": landmark_loss, "eye": eye_loss, "lip": lip_loss, "corner": corner_loss}
    return {name: term(posed.landmarks, target) for name, term in terms.items() if getattr(weights, name)}


def prior_terms(codes: dict[str, Tensor], weights: LossSettings) -> dict[str, Tensor]:
    """The priors ``NAME_prior`` of the given codes whose weight is not 0."""
    named = {f"{name}_prior": code for name, code in codes.items()}
    return {name: code_prior(code) for name, code in named.items() if getattr(weights, name)}
