"""The setting model.detail_start: the detail encoder begins with what the coarse encoder has learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from deca_model.settings.reading import load_config
from deca_model.training.checkpoints import load_checkpoint
from deca_model.training.loop import train
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.said import Said

SMALL = [
    "data.size=64", "data.workers=0", "model.uv_size=64", "model.render_size=64", "log.pictures_every=1000",
    "pretrain.steps=1", "pretrain.subjects=2", "pretrain.images=2", "detail.steps=1", "detail.subjects=2",
]  # fmt: skip
STILL = ["detail.learning_rate=1e-30", "run.frozen_norm=true"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_manifest(tmp_path_factory.mktemp("faces"), (2, 2))


@pytest.fixture(scope="module")
def coarse(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pretrain stage trains the same encoder as the coarse one, and is faster."""
    out = tmp_path_factory.mktemp("coarse") / "run"
    return train(load_config("cpu", [*SMALL, "stage=pretrain"]), manifest, None, out)


def backbones(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of the coarse encoder's network for the photo, and of the detail encoder's."""
    state = load_checkpoint(path)["model"]
    return _below(state, "coarse.picture."), _below(state, "detail.encoder.encoder.")


def _below(state: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}


def train_details(coarse: Path, manifest: Path, out: Path, *settings: str) -> tuple[Path, list[str]]:
    notes = Said()
    config = load_config("cpu", [*SMALL, "stage=detail", *settings])
    return train(config, manifest, None, out, progress=notes, start_from=coarse), notes.notes


def test_the_cpu_preset_starts_the_detail_encoder_from_the_coarse_one(coarse, manifest, tmp_path):
    last, said = train_details(coarse, manifest, tmp_path / "still", *STILL)
    first, second = backbones(last)
    assert first.keys() == second.keys()
    assert len(first) > 10
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not any("random weights" in line for line in said)

    moved, _ = train_details(coarse, manifest, tmp_path / "moved", "detail.learning_rate=1e-2")
    learned = backbones(moved)[1]
    assert not torch.allclose(first["0.weight"], learned["0.weight"])
    kept, _ = train_details(moved, manifest, tmp_path / "kept", *STILL)  # a trained detail encoder stays
    assert torch.equal(backbones(kept)[1]["0.weight"], learned["0.weight"])


def test_another_backbone_starts_from_random_weights_and_says_so(coarse, manifest, tmp_path):
    other = "model.detail_encoder.backbone=resnet18"
    _, said = train_details(coarse, manifest, tmp_path / "other", *STILL, other)
    assert [line for line in said if "its backbone is resnet18, and the coarse encoder's is small" in line]
