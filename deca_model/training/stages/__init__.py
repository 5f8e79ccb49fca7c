"""The stages by name."""

from __future__ import annotations

from collections.abc import Sequence

from deca_model.networks.model import Deca
from deca_model.settings.groups import TrainingConfig
from deca_model.training.stages.coarse import (
    EMOTION_FILE,
    IDENTITY_FILE,
    CoarseStage,
    ExpressionStage,
    missing,
)
from deca_model.training.stages.detail import VGG_FILE, DetailStage
from deca_model.training.stages.pretrain import PretrainStage
from manifests.errors import UsageError

Stage = PretrainStage | CoarseStage | DetailStage
"""A module that turns a batch into ``Terms``; ``trainable()`` is the part that the optimiser changes."""

PARTS = {
    "pretrain": PretrainStage.parts,
    "coarse": CoarseStage.parts,
    "expression": ExpressionStage.parts,
    "detail": DetailStage.parts,
}
"""The parts of the model that each stage needs."""


def make_stage(name: str, model: Deca, config: TrainingConfig) -> Stage:
    """Build a stage for a model.

    Raises:
        UsageError: a loss whose weight is not 0 lacks its weight file.
    """
    images = config.stage_settings(name).images
    if name == "pretrain":
        return PretrainStage(model, config)
    if name == "coarse":
        return CoarseStage(model, config, images)
    if name == "expression":
        return ExpressionStage(model, config, images)
    return DetailStage(model, config, images)


def check_files(stages: Sequence[str], config: TrainingConfig) -> None:
    """Check before the first stage that the losses of all stages have their files.

    Raises:
        UsageError: names the loss, the missing file, and how to switch the loss off.
    """
    rendered = ("identity", "identity_weights", IDENTITY_FILE), ("emotion", "emotion_weights", EMOTION_FILE)
    needs = {"coarse": rendered, "expression": rendered, "detail": (("id_mrf", "vgg_weights", VGG_FILE),)}
    for stage in stages:
        for loss, setting, what in needs.get(stage, ()):
            path = getattr(config.loss, setting)
            if not getattr(config.loss, loss):
                continue
            if path is None:
                raise UsageError(missing(loss, setting, what))
            if not path.is_file():
                raise UsageError(
                    f"loss.{setting}={path}: there is no such file; give {what}, or set loss.{loss}=0."
                )
