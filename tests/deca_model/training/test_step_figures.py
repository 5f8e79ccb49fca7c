"""Figures that are read late, as on a GPU: the same run, and no step is taken on a loss that is not finite.

Here the device is the CPU, with the fused Adam that a GPU has; only the time of the reading is that of a GPU.
"""

from __future__ import annotations

import math
import os
import signal

import pytest
import torch

import deca_model.training.state as training
from deca_model.training import step, step_figures
from deca_model.training.checkpoints import checkpoints, load_checkpoint
from deca_model.training.finite_check import NonFiniteLoss
from deca_model.training.records import read_metrics
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.test_training import Watch, flat, run

PLAIN = ["optimizer.warmup_steps=0", "optimizer.decay=none", "log.every=4"]
ADAM = torch.optim.Adam


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("faces"), (4, 4, 3))


@pytest.fixture(autouse=True)
def _fused(monkeypatch):
    monkeypatch.setattr(torch.optim, "Adam", lambda *of, **options: ADAM(*of, **{**options, "fused": True}))


def read_late(monkeypatch):
    for module in (step, step_figures):
        monkeypatch.setattr(module, "at_once", lambda device: False)


def poison(monkeypatch, number):
    """From the forward pass ``number`` on the losses are not finite; returns the model, once it is made."""
    made = {}
    make = training.make_stage

    def remember(name, model, config):
        def spoil(module, _, codes):
            made["passes"] = made.get("passes", 0) + module.training
            return codes * math.nan if made["passes"] == number and module.training else None

        made["model"] = model
        model.coarse.register_forward_hook(spoil)
        return make(name, model, config)

    monkeypatch.setattr(training, "make_stage", remember)
    return made


@pytest.mark.parametrize("stage", ["pretrain", "coarse"])
def test_reading_late_changes_no_number(stage, manifest, tmp_path, monkeypatch):
    settings = [*PLAIN, f"stage={stage}", "coarse.steps=7", "coarse.subjects=2", "pretrain.steps=7"]
    run(manifest, tmp_path / "now", *settings)
    with monkeypatch.context() as patch:
        read_late(patch)
        watch = run(manifest, tmp_path / "late", *settings)
    assert len(watch.totals) == 7
    varying = ("images_per_second", "waiting_share")
    now, late = (
        [
            {k: v for k, v in r.items() if k not in varying}
            for r in read_metrics(tmp_path / name / "metrics.jsonl")
        ]
        for name in ("now", "late")
    )
    assert now == late
    assert [record["step"] for record in late] == [4]
    ends = [flat(load_checkpoint(tmp_path / name)) for name in ("now", "late")]
    assert ends[0].keys() == ends[1].keys()
    for key, value in ends[0].items():
        same = torch.equal(value, ends[1][key]) if isinstance(value, torch.Tensor) else value == ends[1][key]
        assert same, key


def test_no_step_is_taken_from_the_first_bad_one_on(manifest, tmp_path, monkeypatch):
    run(manifest, tmp_path / "two", *PLAIN, "pretrain.steps=2")
    good = load_checkpoint(tmp_path / "two")["model"]
    read_late(monkeypatch)
    made = poison(monkeypatch, 3)
    watch = Watch()
    with pytest.raises(
        NonFiniteLoss, match=r"step 3: .*landmark.* is not finite.*astronauts/train"
    ) as raised:
        run(manifest, tmp_path / "run", *PLAIN, "log.every=8", "pretrain.steps=9", watch=watch)
    assert made["passes"] == 8  # it was read after step 8
    saved = torch.load(tmp_path / "run/non-finite-step-00000003.pt", weights_only=True)
    assert saved["step"] == 3
    assert saved["images"].shape == (4, 64, 64, 3)
    assert all(name in str(raised.value) for name in saved["sample_ids"])
    assert not checkpoints(tmp_path / "run/checkpoints")
    for name, value in made["model"].coarse.named_parameters():
        assert torch.equal(value, good[f"coarse.{name}"]), name


def test_no_checkpoint_is_written_after_a_bad_step(manifest, tmp_path, monkeypatch):
    read_late(monkeypatch)
    poison(monkeypatch, 6)
    with pytest.raises(NonFiniteLoss, match="step 6: "):
        run(manifest, tmp_path, *PLAIN, "log.every=9", "log.checkpoint_every=4", "pretrain.steps=9")
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-00000004.pt"]


def test_a_stop_after_a_bad_step_writes_no_checkpoint(manifest, tmp_path, monkeypatch):
    read_late(monkeypatch)
    made = poison(monkeypatch, 3)

    def stop(module, _):
        if made.get("passes") == 4:  # in step 5
            os.kill(os.getpid(), signal.SIGINT)

    remembered = training.make_stage

    def watched(name, model, config):
        stage = remembered(name, model, config)
        model.coarse.register_forward_pre_hook(stop)
        return stage

    monkeypatch.setattr(training, "make_stage", watched)
    with pytest.raises(NonFiniteLoss, match="step 3: "):
        run(manifest, tmp_path, *PLAIN, "log.every=9", "pretrain.steps=9")
    assert made["passes"] == 5
    assert not checkpoints(tmp_path / "checkpoints")


def test_a_run_that_reads_late_can_be_stopped_and_goes_on(manifest, tmp_path, monkeypatch):
    read_late(monkeypatch)
    run(manifest, tmp_path / "whole", *PLAIN, "pretrain.steps=7")
    made = poison(monkeypatch, 0)
    remembered = training.make_stage

    def watched(name, model, config):
        def stop(module, _):
            if made.get("passes") == 5:
                os.kill(os.getpid(), signal.SIGINT)

        model.coarse.register_forward_pre_hook(stop)
        return remembered(name, model, config)

    with monkeypatch.context() as patch:
        patch.setattr(training, "make_stage", watched)
        with pytest.raises(KeyboardInterrupt, match="stopped at step 6 of 7"):
            run(manifest, tmp_path / "out", *PLAIN, "pretrain.steps=7")
    run(manifest, tmp_path / "out", *PLAIN, "pretrain.steps=7")
    ends = [load_checkpoint(tmp_path / name)["model"] for name in ("whole", "out")]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
