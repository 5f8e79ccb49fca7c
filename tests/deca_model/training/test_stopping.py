"""Ctrl-C and SIGTERM at bad moments: no step is lost, and the rest of the run is as it would have been."""

from __future__ import annotations

import os
import signal

import pytest
import torch

import deca_model.training.state as training
from deca_model.training.checkpoints import checkpoints, load_checkpoint
from deca_model.training.records import read_metrics
from manifests.errors import WorkFailed
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.test_training import Watch, flat, run

SETTINGS = ["pretrain.patience=9", "log.validation_every=2", "pretrain.steps=5", "log.keep=1"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Eleven faces, and 40 held-out ones: three batches of a validation."""
    folder = tmp_path_factory.mktemp("faces")
    make_manifest(folder, (20, 20), name="val", seed=9)
    return make_manifest(folder, (4, 4, 3))


def figures(folder):
    return [record for record in read_metrics(folder / "metrics.jsonl") if record["kind"] == "validation"]


def test_a_stop_in_a_validation_is_at_once_and_its_figures_come_later(manifest, tmp_path, monkeypatch):
    whole = run(manifest, tmp_path / "whole", *SETTINGS)
    measured = []

    def watched(name, model, config):
        def look(module, _):
            if not module.training:
                measured.append(1)
                if len(measured) == 2:  # in the first validation, after step 2
                    os.kill(os.getpid(), signal.SIGINT)

        model.coarse.register_forward_pre_hook(look)
        return make(name, model, config)

    make = training.make_stage
    with monkeypatch.context() as patch:
        patch.setattr(training, "make_stage", watched)
        with pytest.raises(KeyboardInterrupt, match="stopped at step 2 of 5"):
            run(manifest, tmp_path / "out", *SETTINGS)
    assert len(measured) == 2  # not even the rest of that batch of faces
    assert figures(tmp_path / "out") == []
    assert load_checkpoint(checkpoints(tmp_path / "out/checkpoints")[-1])["figures_due"] is True
    rest = run(manifest, tmp_path / "out", *SETTINGS)
    assert rest.totals == whole.totals[2:]
    assert figures(tmp_path / "out") == figures(tmp_path / "whole")
    ends = [
        flat(load_checkpoint(checkpoints(tmp_path / name / "checkpoints")[-1])) for name in ("whole", "out")
    ]
    assert ends[0].keys() == ends[1].keys()
    for key, value in ends[0].items():
        same = torch.equal(value, ends[1][key]) if isinstance(value, torch.Tensor) else value == ends[1][key]
        assert same, key


def test_a_gap_between_validations_is_kept_over_a_resume(manifest, tmp_path):
    gap = ["log.validations_per_epoch=3", "log.validation_gap=2", "pretrain.steps=6"]
    run(manifest, tmp_path / "whole", *gap)

    def interrupt(step):
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(manifest, tmp_path / "out", *gap, watch=Watch(interrupt))
    run(manifest, tmp_path / "out", *gap)
    assert [r["step"] for r in figures(tmp_path / "out")] == [r["step"] for r in figures(tmp_path / "whole")]


def test_a_face_that_cannot_be_loaded_loses_no_step(tmp_path):
    manifest = make_manifest(tmp_path, (4, 4))

    def spoil(step):
        if step == 2:
            for photo in (tmp_path / "astronauts").rglob("*.jpg"):
                photo.rename(photo.with_suffix(".away"))

    watch = Watch(spoil)
    with pytest.raises(WorkFailed, match="it was kept but cannot be read any more"):
        run(manifest, tmp_path / "out", watch=watch)
    assert [path.name for path in checkpoints(tmp_path / "out/checkpoints")] == ["step-00000002.pt"]
    for photo in (tmp_path / "astronauts").rglob("*.away"):
        photo.rename(photo.with_suffix(".jpg"))
    assert len(run(manifest, tmp_path / "out").totals) == 2
