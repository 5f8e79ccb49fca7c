"""The stages by name."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from deca_model.config import TrainingConfig
from deca_model.data import FaceBatch
from deca_model.model import Deca
from deca_model.pretrain import PretrainStage


class Stage(Protocol):
    """A module that turns a batch into losses by name (settings' names, not weighted)."""

    model: Deca

    def __call__(self, batch: FaceBatch) -> dict[str, Tensor]:
        """The losses."""
        ...

    def trainable(self) -> nn.Module:
        """The submodule whose parameters the optimiser moves."""
        ...

    def train(self, mode: bool = True) -> nn.Module:
        """As ``nn.Module.train``, leaving frozen parts in evaluation mode."""
        ...


def make_stage(name: str, model: Deca, config: TrainingConfig):
    """Builds a stage around a model.

    Raises:
        UsageError: a loss that has a weight lacks its weight file.
    """
    if name == "pretrain":
        return PretrainStage(model, config.loss)
    raise NotImplementedError(name)
