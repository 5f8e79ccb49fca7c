"""Training on a CUDA device against the CPU: the losses, a resume, no step on a loss that is not finite."""

from __future__ import annotations

import pytest
import torch

from deca_model.training.checkpoints import checkpoints
from deca_model.training.finite_check import NonFiniteLoss
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.test_step_figures import poison
from tests.deca_model.training.test_training import run

DEVICE = "cuda"
SETTINGS = ["optimizer.warmup_steps=0", "optimizer.decay=none", "coarse.subjects=2", "detail.subjects=2"]
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("faces"), (4, 4, 3))


def test_every_stage_has_the_losses_of_the_cpu(manifest, tmp_path):
    start = None
    for stage in ("pretrain", "coarse", "detail"):
        settings = [*SETTINGS, f"stage={stage}", f"{stage}.steps=4"]
        totals = []
        for name, device in (("plain", "cpu"), ("gpu", DEVICE)):
            out = tmp_path / f"{stage}-{name}"
            totals.append(run(manifest, out, *settings, f"run.device={device}", start_from=start).totals)
        assert totals[1][0] == pytest.approx(totals[0][0], rel=0.01), stage
        assert totals[1] == pytest.approx(totals[0], rel=0.1), stage
        start = tmp_path / f"{stage}-plain"


def test_a_resume_gives_the_losses_of_the_whole_run(manifest, tmp_path):
    settings = [*SETTINGS, f"run.device={DEVICE}"]
    whole = run(manifest, tmp_path / "whole", *settings, "pretrain.steps=6")
    first = run(manifest, tmp_path / "parts", *settings, "pretrain.steps=3")
    second = run(manifest, tmp_path / "parts", *settings, "pretrain.steps=6", resume=True)
    assert first.totals + second.totals == pytest.approx(whole.totals, rel=0.02)


def test_no_step_is_taken_from_the_first_bad_one_on(manifest, tmp_path, monkeypatch):
    made = poison(monkeypatch, 3)
    with pytest.raises(NonFiniteLoss, match="step 3: "):
        run(manifest, tmp_path, *SETTINGS, f"run.device={DEVICE}", "log.every=8", "pretrain.steps=9")
    saved = torch.load(tmp_path / "non-finite-step-00000003.pt", weights_only=True)
    assert saved["step"] == 3
    assert all(parameter.isfinite().all() for parameter in made["model"].coarse.parameters())
    assert not checkpoints(tmp_path / "checkpoints")
