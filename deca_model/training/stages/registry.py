"""The stages by name."""

from __future__ import annotations

from collections.abc import Sequence

from deca_model.losses.weight_files import check_weight_files
from deca_model.networks.model import Deca
from deca_model.settings.groups import TrainingConfig
from deca_model.training.stages.coarse import CoarseStage, ExpressionStage
from deca_model.training.stages.detail import DetailStage
from deca_model.training.stages.pretrain import PretrainStage

Stage = PretrainStage | CoarseStage | DetailStage
"""A module that turns a batch into ``Terms``; ``trainable()`` is the part that the optimiser changes."""

STAGES: dict[str, type[Stage]] = {
    "pretrain": PretrainStage,
    "coarse": CoarseStage,
    "expression": ExpressionStage,
    "detail": DetailStage,
}
"""The class of each stage; ``parts`` are the parts of the model that it needs."""


def make_stage(name: str, model: Deca, config: TrainingConfig) -> Stage:
    """Build a stage for a model.

    Raises:
        UsageError: a loss whose weight is not 0 lacks its weight file.
    """
    return STAGES[name](model, config)


def check_files(stages: Sequence[str], config: TrainingConfig) -> None:
    """Check before the first stage that the losses of all stages have their files.

    Raises:
        UsageError: names the losses, the missing files, and how to switch the losses off.
    """
    check_weight_files(config.loss, network_losses(stages))


def network_losses(stages: Sequence[str]) -> list[str]:
    """The losses of these stages that compare the features of a network."""
    return [loss for stage in stages for loss in STAGES[stage].network_losses]
