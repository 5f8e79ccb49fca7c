"""What a run starts from: checkpoints of older versions, of other settings, and runs of all stages."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deca_model.settings.reading import load_config
from deca_model.training.checkpoints import checkpoints, load_checkpoint
from deca_model.training.loop import train
from manifests.errors import UsageError
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.test_detail_start import SMALL

SETTINGS = [*SMALL, "stage=pretrain", "model.encoder.backbone=small", "model.detail_start=random"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_manifest(tmp_path_factory.mktemp("faces"), (2, 2))


@pytest.fixture(scope="module")
def one_step(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a stage's folder in it, as a run of all stages has."""
    out = tmp_path_factory.mktemp("run")
    train(load_config("cpu", SETTINGS), manifest, None, out / "pretrain")
    return out


@pytest.fixture
def folder(one_step: Path, tmp_path: Path) -> Path:
    shutil.copytree(one_step, tmp_path / "copy")
    return tmp_path / "copy"


def change(stage: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """Writes the stage's only checkpoint anew."""
    path = checkpoints(stage / "checkpoints")[0]
    saved = load_checkpoint(path)
    edit(saved)
    torch.save(saved, path)
    return path


def test_a_checkpoint_from_before_a_setting_was_there_goes_on(folder: Path, manifest: Path):
    change(folder / "pretrain", lambda saved: saved["config"]["model"].pop("detail_start"))
    stage = folder / "pretrain"
    coarse = load_config("cpu", [*SETTINGS, "pretrain.steps=2", "model.detail_start=coarse"])
    with pytest.raises(UsageError, match=r"the setting model\.detail_start has changed"):
        train(coarse, manifest, None, stage, resume=True)
    last = train(load_config("cpu", [*SETTINGS, "pretrain.steps=2"]), manifest, None, stage, resume=True)
    assert last.name == "step-00000002.pt"


def test_weights_of_another_backbone_are_refused_with_the_settings_that_differ(folder: Path, manifest: Path):
    other = load_config("cpu", [*SMALL, "stage=pretrain"])
    said = r"not part of this model; .* they differ in model\.detail_start, model\.encoder\.backbone\.$"
    with pytest.raises(UsageError, match=said):
        train(other, manifest, None, folder / "pretrain", resume=True)


def test_training_starts_from_the_last_stage_of_a_run_of_all_stages(folder: Path, manifest: Path):
    still = load_config("cpu", [*SETTINGS, "pretrain.learning_rate=1e-30"])
    last = train(still, manifest, None, folder / "next", start_from=folder)
    first = load_checkpoint(folder / "pretrain")["model"]["coarse.layers.0.weight"]
    assert torch.equal(load_checkpoint(last)["model"]["coarse.layers.0.weight"], first)


def test_weights_that_are_not_finite_are_named(folder: Path, manifest: Path):
    name = "coarse.layers.0.weight"
    change(folder / "pretrain", lambda saved: saved["model"][name][0].fill_(float("nan")))
    with pytest.raises(UsageError, match=rf"{name} holds numbers that are not finite"):
        train(load_config("cpu", SETTINGS), manifest, None, folder / "next", start_from=folder / "pretrain")
