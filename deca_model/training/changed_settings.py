"""How the settings of a checkpoint differ from those of the present run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from deca_model.settings.groups import TrainingConfig
from deca_model.settings.reading import check_config
from deca_model.training.checkpoints import Misfit, load_weights


def changed_settings(saved: Mapping[str, Any], config: TrainingConfig, path: Path) -> list[str]:
    """Full names of the settings that differ, such as ``model.encoder.backbone``.

    A setting that the checkpoint lacks, because it is newer than the checkpoint, had its default there.

    Args:
        saved: the ``config`` part of a checkpoint.
        config: the present settings.
        path: the checkpoint, for errors.

    Raises:
        UsageError: a setting of the checkpoint is unknown here, or not valid.
    """
    before = check_config(saved, str(path)).model_dump(mode="json")
    return _changes(before, config.model_dump(mode="json"))


def load_fitting_weights(
    model: nn.Module, saved: Mapping[str, Any], config: TrainingConfig, path: Path
) -> None:
    """Load a checkpoint's weights into a model of the present settings.

    Raises:
        Misfit: they do not fit; names the model settings that differ.
        UsageError: they are not finite.
    """
    try:
        load_weights(model, saved["model"], path)
    except Misfit as error:
        names = [
            name for name in changed_settings(saved["config"], config, path) if name.startswith("model.")
        ]
        if not names:
            raise
        raise Misfit(f"{str(error).rstrip('.')}; they differ in {', '.join(names)}.") from error


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name in sorted({*old, *new}):
        before, now = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            found += _changes(before, now, f"{prefix}{name}.")
        elif before != now:
            found.append(prefix + name)
    return found
