"""Writing a trained FLAME model as the official code's ``model.tar``."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from deca_model.networks.encoder import coarse_encoder
from deca_model.networks.model import DetailNetworks
from deca_model.networks.official_checkpoint import CROP_SIZE, ENDING, save_official
from deca_model.settings.groups import ModelSettings, TrainingConfig
from deca_model.settings.reading import check_config
from deca_model.training.checkpoints import last_stage, load_checkpoint, load_weights
from manifests.errors import UsageError


def export_official(checkpoint: Path, out: Path) -> list[str]:
    """Write a checkpoint as a ``model.tar``. The head's and other files of the run are not needed.

    Args:
        checkpoint: A checkpoint, or a run folder, of which the last stage is taken.
        out: The file to write; it ends in ``.tar``.

    Returns:
        What to know about the file, a sentence each.

    Raises:
        UsageError: There is no checkpoint, or the official code cannot use its model.
    """
    if out.suffix != ENDING:
        raise UsageError(f"--out {out}: name a file that ends in {ENDING}.")
    saved = load_checkpoint(last_stage(checkpoint))
    config = check_config(saved["config"], str(checkpoint))
    parts = {name.split(".")[0] for name in saved["model"]}
    _check(checkpoint, config.model, parts)
    networks = _Networks(config.model, "detail" in parts)
    load_weights(networks, saved["model"], checkpoint)
    detail = networks.detail
    untrained = save_official(
        out,
        networks.coarse,
        detail and detail.encoder,
        detail and detail.decoder,
        step=saved["step"],
        subjects=saved.get("subjects", config.stage_settings(saved["stage"]).subjects),
    )
    return _notes(config, untrained)


def _check(checkpoint: Path, settings: ModelSettings, parts: set[str]) -> None:
    if settings.head != "flame":
        raise UsageError(
            f"{checkpoint}: it was trained on the {settings.head} head, but the official code has FLAME; "
            "train with model.head=flame."
        )
    if "expression" in parts:
        raise UsageError(
            f"{checkpoint}: its expression encoder has no place in DECA's model.tar; "
            "export the coarse run from which it started."
        )


class _Networks(nn.Module):
    """The networks of ``Deca`` under its names; no files are needed to build them."""

    def __init__(self, settings: ModelSettings, details: bool) -> None:
        super().__init__()
        bare = {"weights": None}
        self.coarse = coarse_encoder(settings.encoder.model_copy(update=bare), torch.zeros(3))
        encoder = settings.detail_encoder.model_copy(update=bare)
        self.detail = DetailNetworks(encoder, settings.uv_size) if details else None


def _notes(config: TrainingConfig, untrained: list[str]) -> list[str]:
    notes = []
    if untrained:
        names = " and ".join(untrained)
        notes.append(f"{names} have initial weights, because the official code needs them: use no details")
    side = config.model.input_size or config.data.size
    if side != CROP_SIZE:
        notes.append(f"the run saw {side} pixels, but the official code gives {CROP_SIZE}: codes will differ")
    if config.model.albedo_path is None:
        notes.append("the run had the built-in albedo: the official code will show other colours")
    return notes
