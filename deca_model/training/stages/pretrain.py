"""The first stage: the head is fitted to the landmarks, without rendering.

encode -> head -> camera -> landmark, eye and lip losses, and priors on the codes.
"""

from __future__ import annotations

from torch import nn

from deca_model.data.loading import FaceBatch
from deca_model.losses.terms import Terms, landmark_terms, prior_terms
from deca_model.networks.model import Deca
from deca_model.settings.groups import TrainingConfig


class PretrainStage(nn.Module):
    """Trains E_flame on landmarks; a loss of weight 0 is left out."""

    parts: tuple[str, ...] = ("coarse",)
    network_losses: tuple[str, ...] = ()

    def __init__(self, model: Deca, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.weights = config.loss

    def forward(self, batch: FaceBatch) -> Terms:
        """The losses on the batch; codes are not swapped, because nothing is rendered."""
        codes = self.model.encode(batch.faces())
        posed = self.model.pose(codes)
        priors = {"shape": codes.shape, "expression": codes.expression}
        losses = landmark_terms(posed, batch.landmarks, self.weights) | prior_terms(priors, self.weights)
        return Terms(losses, {})

    def trainable(self) -> nn.Module:
        """E_flame."""
        return self.model.coarse
