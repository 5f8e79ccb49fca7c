"""The first stage: the head follows the landmarks, without rendering.

encode -> head -> camera -> landmark, eye and lip losses, and priors on the codes.
"""

from __future__ import annotations

from torch import Tensor, nn

from deca_model.config import LossSettings
from deca_model.data import FaceBatch
from deca_model.losses.landmarks import corner_loss, eye_loss, landmark_loss, lip_loss
from deca_model.losses.regularizers import code_prior
from deca_model.model import Deca, Posed


class PretrainStage(nn.Module):
    """Losses of a batch by name, not weighted; a loss of weight 0 is left out."""

    def __init__(self, model: Deca, weights: LossSettings) -> None:
        super().__init__()
        self.model = model
        self.weights = weights

    def forward(self, batch: FaceBatch) -> dict[str, Tensor]:
        """Encodes the batch once: no copies, since without rendering there is nothing to swap."""
        posed = self.model.pose(self.model.encode(batch.faces()))
        return {**landmark_terms(posed, batch.landmarks, self.weights), **prior_terms(posed, self.weights)}

    def trainable(self) -> nn.Module:
        """What this stage trains."""
        return self.model.coarse


def landmark_terms(
    posed: Posed,
    target: Tensor,  # (B, 68, 2)
    weights: LossSettings,
) -> dict[str, Tensor]:
    """The losses on landmarks that have a weight."""
    terms = {"landmark": landmark_loss, "eye": eye_loss, "lip": lip_loss, "corner": corner_loss}
    return {name: term(posed.landmarks, target) for name, term in terms.items() if getattr(weights, name)}


def prior_terms(posed: Posed, weights: LossSettings) -> dict[str, Tensor]:
    """The priors on shape and expression that have a weight."""
    terms = {"shape_prior": posed.codes.shape, "expression_prior": posed.codes.expression}
    return {name: code_prior(code) for name, code in terms.items() if getattr(weights, name)}
