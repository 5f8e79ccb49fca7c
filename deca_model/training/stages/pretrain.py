"""The first stage: the head is fitted to the landmarks, without rendering.

encode -> (codes twice, shapes swapped within each subject) -> head -> camera -> landmark, dense, eye and lip
losses, and priors on the codes.
"""

from __future__ import annotations

from torch import nn

from deca_model.data.loading import FaceBatch
from deca_model.losses.swapping import doubled, doubled_codes
from deca_model.losses.terms import Terms, landmark_terms, prior_terms
from deca_model.networks.model import Deca
from deca_model.settings.groups import TrainingConfig
from deca_model.training.stages.dense_terms import dense_terms
from deca_model.training.stages.ring_terms import ring_terms


class PretrainStage(nn.Module):
    """Trains E_flame on landmarks; a loss of weight 0 is left out."""

    parts: tuple[str, ...] = ("coarse",)
    network_losses: tuple[str, ...] = ()

    def __init__(self, model: Deca, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model
        self.weights = config.loss

    def forward(self, batch: FaceBatch) -> Terms:
        """The losses on the batch and, in training with partners, also on its copy with swapped shapes.

        DECA has one photo of a person here, and so no partners. With two or more, the landmarks of all of
        them say which shape the person has.
        """
        codes, truth = self.model.encode(batch.faces()), batch.landmarks
        partners = batch.partners if self.training else None
        used = codes
        if partners is not None:
            used, truth = doubled_codes(codes, partners), doubled(truth)
        posed = self.model.pose(used)
        priors = {"shape": codes.shape, "expression": codes.expression}
        losses = landmark_terms(posed, truth, self.weights)
        losses |= dense_terms(self.model, posed, batch, self.weights, self.training)
        losses |= ring_terms(codes.shape, partners, batch.subjects, self.weights)
        return Terms(losses | prior_terms(priors, self.weights), {})

    def trainable(self) -> nn.Module:
        """E_flame."""
        return self.model.coarse
