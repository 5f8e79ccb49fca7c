"""Training steps with the losses that need weight files: files of random weights in the publishers' formats.

The networks then know nothing about faces, but everything else is real: the file's format, the image that is
compared, the gradient, mixed precision, the optimiser's step.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cli import deca
from commands.exit_codes import run_app
from deca_model.data.faces import open_table
from deca_model.data.loading import FaceBatch, FaceDataset
from deca_model.data.sampler import SubjectSampler
from deca_model.networks.codes import code_slice
from deca_model.networks.model import Deca
from deca_model.settings.groups import TrainingConfig
from deca_model.settings.reading import load_config
from deca_model.training.checkpoints import checkpoints, load_checkpoint
from deca_model.training.loop import train
from deca_model.training.records import read_metrics
from deca_model.training.stages.registry import STAGES, make_stage
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.network_files import Files, write_network_files

SMALL = [
    "data.size=64", "data.workers=0", "model.uv_size=64", "model.render_size=64", "log.pictures_every=1000",
    "log.every=1",
    *(f"{stage}.{rest}" for stage in ("pretrain", "coarse", "expression", "detail") for rest in (
        "steps=2", "subjects=2", "images=2")),
]  # fmt: skip
WITH_FILE = [("coarse", "identity"), ("coarse", "emotion"), ("expression", "emotion"), ("detail", "id_mrf")]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    return write_network_files(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> FaceBatch:
    table = open_table([make_manifest(tmp_path_factory.mktemp("faces"), (2, 2))])
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=2, images=2, seed=0)
    return FaceDataset(table, 64).load(sampler.batch(0, 0))


def _config(stage: str, loss: str, files: Files, precision: str) -> TrainingConfig:
    """Settings with one loss only, so that every gradient comes from it."""
    others = [name for name, field in load_config("cpu").loss if isinstance(field, float) and name != loss]
    setting = {"identity": "identity", "emotion": "emotion", "id_mrf": "vgg"}[loss] + "_weights"
    return load_config("cpu", [
        *SMALL, f"stage={stage}", f"run.precision={precision}", *(f"loss.{name}=0" for name in others),
        f"loss.{loss}=1", f"loss.{setting}={getattr(files, loss)}",
    ])  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "loss"), WITH_FILE)
def test_a_loss_with_a_network_teaches_the_encoder_and_leaves_the_network(
    files: Files, batch: FaceBatch, name: str, loss: str, precision: str
):
    config = _config(name, loss, files, precision)
    torch.manual_seed(0)
    stage: Any = make_stage(name, Deca(config.model, config.run, STAGES[name].parts), config)
    stage.train()
    frozen = {key: value.clone() for key, value in stage.networks.state_dict().items()}
    optimizer = torch.optim.Adam(stage.trainable().parameters(), lr=1e-4)
    computed: set[torch.dtype] = set()
    first = next(part for part in stage.networks.modules() if isinstance(part, nn.Conv2d))
    first.register_forward_hook(lambda layer, inputs, output: computed.add(output.dtype))
    values = []
    for _ in range(2):
        losses = stage(batch).losses
        assert list(losses) == [loss]
        values.append(losses[loss].item())
        assert losses[loss].dtype == torch.float32
        optimizer.zero_grad()
        losses[loss].backward()
        _check_gradients(stage)
        if loss == "identity":
            _check_that_only_the_geometry_learns(stage)
        optimizer.step()
    assert np.isfinite(values).all()
    assert computed == {getattr(torch, precision)}
    assert values[0] > 1e-6
    assert values[0] != values[1]
    after = stage.networks.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in frozen.items())


def _check_gradients(stage: Any) -> None:
    """All trained parameters, from the first layer on, have a finite gradient; no other parameter has one."""
    trained = dict(stage.trainable().named_parameters())
    for key, parameter in trained.items():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    assert next(iter(trained.values())).grad.abs().max() > 0
    own = {id(parameter) for parameter in trained.values()}
    networks = list(stage.networks.parameters())
    assert networks
    assert not any(parameter.requires_grad for parameter in networks)
    others = [p for p in (*stage.model.parameters(), *networks) if id(p) not in own]
    assert all(parameter.grad is None for parameter in others)


def _check_that_only_the_geometry_learns(stage: Any) -> None:
    """The identity loss gives a gradient to shape and camera, but not to colours and light."""
    rows = stage.trainable().layers[2].weight.grad.abs().amax(dim=1)
    assert rows[code_slice("shape")].max() > 0
    assert rows[code_slice("camera")].max() > 0
    assert rows[code_slice("texture")].max() == 0
    assert rows[code_slice("light")].max() == 0


def test_a_run_of_all_stages_with_all_losses(files: Files, tmp_path: Path):
    manifest = make_manifest(tmp_path, (2, 2))
    weights = [
        "loss.identity=0.2", f"loss.identity_weights={files.identity}", "loss.emotion=1",
        f"loss.emotion_weights={files.emotion}", "loss.id_mrf=0.1", f"loss.vgg_weights={files.id_mrf}",
    ]  # fmt: skip
    config = load_config("cpu", [*SMALL, "stage=all", "run.precision=bfloat16", *weights])
    train(config, manifest, None, tmp_path / "run")
    for stage, named in {"coarse": {"identity", "emotion", "photometric"}, "detail": {"id_mrf"}}.items():
        records = [
            r for r in read_metrics(tmp_path / "run" / stage / "metrics.jsonl") if r["kind"] == "train"
        ]
        assert len(records) == 2
        for record in records:
            assert named < set(record)
            numbers = [value for value in record.values() if isinstance(value, (int, float))]
            assert np.isfinite(numbers).all()
        saved = load_checkpoint(checkpoints(tmp_path / "run" / stage / "checkpoints")[-1])
        assert {key.split(".")[0] for key in saved["model"]} <= {"coarse", "detail"}  # no licensed weights


def test_the_emoca_preset_trains_the_expression_on_a_coarse_run(files: Files, tmp_path: Path):
    manifest = make_manifest(tmp_path, (2, 2), expressions=(0, 0, 3, 3))
    small = [*SMALL, "model.encoder.backbone=resnet18", "model.detail_encoder.backbone=resnet18"]
    coarse = train(load_config("cpu", [*small, "stage=coarse"]), manifest, None, tmp_path / "coarse")
    weights = f"loss.emotion_weights={files.emotion}"
    config = load_config("emoca", [*small, weights, "model.input_size=64"])
    last = train(config, manifest, None, tmp_path / "emoca", start_from=coarse)
    records = [r for r in read_metrics(tmp_path / "emoca/metrics.jsonl") if r["kind"] == "train"]
    assert {"eye", "lip", "corner", "photometric", "emotion", "expression_prior"} <= set(records[0])
    assert not {"landmark", "identity", "shape_prior"} & set(records[0])
    before, after = load_checkpoint(coarse)["model"], load_checkpoint(last)["model"]
    assert all(torch.equal(value, after[key]) for key, value in before.items())  # E_flame is frozen
    assert any(key.startswith("expression.") for key in after)
    details = load_config("emoca", [*small, "stage=detail", "loss.id_mrf=0"])
    detailed = train(details, manifest, None, tmp_path / "detail", start_from=last)
    kept = load_checkpoint(detailed)["model"]
    assert all(torch.equal(value, kept[key]) for key, value in after.items())
    assert any(key.startswith("detail.decoder.") for key in kept)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--stage coarse --set loss.identity=0.2", "switch the loss off with --set loss.identity=0"),
        ("--stage detail --set loss.id_mrf=0.1", "switch the loss off with --set loss.id_mrf=0"),
        ("--stage expression --set loss.emotion=1", "switch the loss off with --set loss.emotion=0"),
        (
            "--stage coarse --set loss.emotion=1 --set loss.emotion_weights=gone.ckpt",
            "loss.emotion_weights=gone.ckpt: there is no such file",
        ),
    ],
)
def test_a_loss_without_its_file_is_one_sentence(tmp_path: Path, monkeypatch, capsys, line, sentence):
    make_manifest(tmp_path, (2, 2))
    monkeypatch.chdir(tmp_path)
    words = f"deca train --manifest train.parquet --preset cpu --quiet {line}"
    monkeypatch.setattr(sys, "argv", shlex.split(words))
    with pytest.raises(SystemExit) as exit_:
        run_app(deca)
    told = capsys.readouterr().err
    assert exit_.value.code == 2
    assert sentence in told
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert not (tmp_path / "runs").exists()
