"""Runs that start from DECA's model.tar, and what they write for the official code."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cli import deca
from commands.exit_codes import run_app
from deca_model.networks.model import Deca
from deca_model.networks.official_checkpoint import save_official
from deca_model.settings.groups import ModelSettings, RunSettings
from deca_model.settings.reading import load_config
from deca_model.training.checkpoints import load_checkpoint
from deca_model.training.loop import train
from deca_model.use.open_model import open_model
from manifests.errors import UsageError
from tests.deca_model.synthetic import make_manifest

FROZEN = ["optimizer.learning_rate=1e-30", "run.frozen_norm=true"]
"""Settings under which a step leaves the weights as they are."""
PLAIN = ["expression.balance=null"]
"""For faces without expressions."""


@pytest.fixture
def settings(tiny_flame_folder: Path) -> list[str]:
    """Settings of a short run on a tiny FLAME, with the official networks."""
    stages = ("pretrain", "coarse", "expression", "detail")
    short = ("steps=1", "subjects=1", "images=2", "learning_rate=null")
    return [
        "data.size=64", "data.workers=0", "model.input_size=null", "model.render_size=64", "model.head=flame",
        f"model.head_path={tiny_flame_folder}", "model.encoder.backbone=resnet50",
        "model.detail_encoder.backbone=resnet50", "log.pictures_every=1000", "model.uv_size=256",
        "model.encoder.framed=false", "model.encoder.mirror=false",
        *(f"{stage}.{rest}" for stage in stages for rest in short),
        *(f"loss.{name}=0" for name in ("identity", "emotion", "id_mrf")),
    ]  # fmt: skip


@pytest.fixture
def official(tiny_flame_folder: Path, tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A model.tar, and the weights in it under our names."""
    torch.manual_seed(3)
    flame = ModelSettings(head="flame", head_path=tiny_flame_folder)
    model = Deca(flame, RunSettings(), {"detail"})
    assert model.detail is not None
    save_official(tmp_path / "model.tar", model.coarse, model.detail.encoder, model.detail.decoder)
    return tmp_path / "model.tar", model.state_dict()


def weights(checkpoint: Path, part: str) -> dict[str, torch.Tensor]:
    """The trainable weights of a part of a checkpoint: no counters of batch norm."""
    state = load_checkpoint(checkpoint)["model"]
    chosen = {name: value for name, value in state.items() if name.startswith(f"{part}.")}
    return {name: value for name, value in chosen.items() if not name.endswith("num_batches_tracked")}


def test_coarse_and_detail_start_from_the_official_weights(
    official: Any, settings: list[str], tmp_path: Path
):
    path, original = official
    manifest = make_manifest(tmp_path / "faces", (2, 2))
    for stage in ("coarse", "detail"):
        config = load_config("cpu", [*settings, *FROZEN, f"stage={stage}"])
        last = train(config, manifest, None, tmp_path / stage, start_from=path)
        for part in ("coarse", "detail"):
            found = weights(last, part)
            assert len(found) > 100
            for name, value in found.items():
                assert torch.allclose(value, original[name], rtol=1e-5, atol=1e-7), (stage, name)
    resumed = load_config("cpu", [*settings, *FROZEN, "stage=coarse", "coarse.steps=2"])
    last = train(resumed, manifest, None, tmp_path / "coarse", resume=True, start_from=path)
    assert load_checkpoint(last)["step"] == 2


def test_the_expression_encoder_starts_with_the_backbone_of_e_flame(
    official: Any, settings: list[str], tmp_path: Path
):
    """EMOCA's ``deca_clone``. A later run keeps the trained expression encoder."""
    path, original = official
    manifest = make_manifest(tmp_path / "faces", (2, 2))
    config = load_config("emoca", [*settings, *FROZEN, *PLAIN, "run.precision=float32"])
    last = train(config, manifest, None, tmp_path / "still", start_from=path)
    found = weights(last, "expression.encoder")
    assert len(found) > 200
    for name, value in found.items():
        assert torch.allclose(value, original[name.replace("expression.", "coarse.")]), name
    head = weights(last, "expression.layers")
    assert head["expression.layers.2.weight"].shape == (50, 1024)
    assert not torch.allclose(head["expression.layers.0.weight"], original["coarse.layers.0.weight"])

    learning = ["optimizer.learning_rate=1e-2", "run.precision=float32"]
    config = load_config("emoca", [*settings, *learning, *PLAIN])
    first = train(config, manifest, None, tmp_path / "moved", start_from=path)
    moved = weights(first, "expression.encoder")
    assert not torch.allclose(
        moved["expression.encoder.conv1.weight"], original["coarse.encoder.conv1.weight"]
    )
    config = load_config("emoca", [*settings, *FROZEN, *PLAIN, "run.precision=float32"])
    second = train(config, manifest, None, tmp_path / "kept", start_from=first)
    for name, value in weights(second, "expression.encoder").items():
        assert torch.allclose(value, moved[name]), name


def test_settings_that_do_not_fit_are_one_sentence(official: Any, settings: list[str], tmp_path: Path):
    manifest = make_manifest(tmp_path / "faces", (2, 2))
    for changes, sentence in (
        (["model.head=open", "model.head_path=null"], r"not on the open head: give --set model\.head=flame"),
        (["model.encoder.backbone=small"], r"is a resnet50: give --set model\.encoder\.backbone=resnet50"),
        (["model.encoder.framed=true"], r"give --set model\.encoder\.framed=false"),
        (["model.uv_size=64"], r"maps of 256 texels: give --set model\.uv_size=256"),
    ):
        config = load_config("cpu", [*settings, "stage=coarse", *changes])
        with pytest.raises(UsageError, match=sentence):
            train(config, manifest, None, tmp_path / "run", start_from=official[0])


def export(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Runs `deca export-official`: exit code, and what it printed."""
    monkeypatch.setattr(sys, "argv", ["deca", "export-official", *shlex.split(line)])
    with pytest.raises(SystemExit) as exit_:
        run_app(deca)
    told = capsys.readouterr()
    return int(exit_.value.code or 0), told.out + told.err


def test_a_coarse_run_is_exported_and_read_again(
    settings: list[str], tiny_flame_folder: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
):
    manifest = make_manifest(tmp_path / "faces", (2, 2))
    train(load_config("cpu", [*settings, "stage=coarse"]), manifest, None, tmp_path / "run")
    out = tmp_path / "out" / "model.tar"
    code, told = export(f"{tmp_path / 'run'} --out {out} --json", monkeypatch, capsys)
    assert code == 0
    said = json.loads(told)
    assert said["file"] == str(out)
    assert said["notes"][0].startswith("E_detail and D_detail have initial weights")
    assert said["notes"][1].startswith("the run saw 64 pixels, but the official code gives 224")
    content = torch.load(out, weights_only=True)
    assert {"E_flame", "E_detail", "D_detail", "opt"} <= set(content)
    assert (content["global_step"], content["batch_size"]) == (1, 1)

    ours, _ = open_model(tmp_path / "run", "cpu", tiny_flame_folder)
    again, _ = open_model(out, "cpu", tiny_flame_folder)
    assert again.detail is None
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for one, other in zip(ours.encode(image), again.encode(image), strict=True):
            np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5)


def test_what_cannot_be_exported_is_one_sentence(tmp_path: Path, monkeypatch: Any, capsys: Any):
    manifest = make_manifest(tmp_path / "faces", (2, 2))
    small = ["data.size=64", "data.workers=0", "pretrain.steps=1", "pretrain.subjects=1", "model.uv_size=64"]
    train(load_config("cpu", [*small, "stage=pretrain"]), manifest, None, tmp_path / "run")
    code, told = export(f"{tmp_path / 'run'} --out {tmp_path / 'model.tar'}", monkeypatch, capsys)
    assert code == 2
    assert "trained on the open head, but the official code has FLAME; train with model.head=flame" in told
    code, told = export(f"{tmp_path / 'run'} --out {tmp_path / 'model.pt'}", monkeypatch, capsys)
    assert code == 2
    assert "name a file that ends in .tar" in told
    code, told = export(f"{tmp_path / 'gone'} --out {tmp_path / 'model.tar'}", monkeypatch, capsys)
    assert code == 2
    assert "no such checkpoint" in told
    assert not (tmp_path / "model.tar").exists()
