"""Early stopping in real runs; the learning rate is so large that the held-out loss soon rises."""

from __future__ import annotations

import math
import os
import signal
from functools import partial

import pytest
import torch

from deca_model.data.faces import open_table
from deca_model.networks.model import Deca
from deca_model.settings.reading import load_config
from deca_model.training.checkpoints import checkpoints, load_checkpoint, load_weights
from deca_model.training.early_stopping import BestValidation
from deca_model.training.loop import train
from deca_model.training.records import read_metrics
from deca_model.training.stages.registry import make_stage
from deca_model.training.validation import HeldOut, stage_loss, validate
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.said import Said

SETTINGS = [
    "stage=pretrain",
    *("data.size=64", "data.workers=0", "model.input_size=null", "model.uv_size=64", "model.render_size=64"),
    *("pretrain.steps=40", "pretrain.subjects=2", "pretrain.images=2", "pretrain.learning_rate=0.02"),
    *("pretrain.patience=3", "optimizer.warmup_steps=0", "optimizer.decay=none"),
    *("log.validation_every=1", "log.pictures_every=1000", "log.checkpoint_every=1000", "log.keep=1"),
]
CONFIG = load_config("cpu", SETTINGS)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    make_manifest(folder, (3,), name="val", seed=9)
    return make_manifest(folder, (4, 4, 3))


class Watch(Said):
    """Keeps the notes and interrupts the run after the given step."""

    def __init__(self, interrupt_at=None):
        super().__init__()
        self.interrupt_at = interrupt_at

    def step(self, step, values, images_per_second):
        if step == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def stopped(manifest, tmp_path_factory):
    """A run that ends early: its folder, its result, its notes."""
    folder, watch = tmp_path_factory.mktemp("run"), Watch()
    return folder, train(CONFIG, manifest, None, folder, progress=watch), watch.notes


def losses_of(folder):
    found = [record for record in read_metrics(folder / "metrics.jsonl") if record["kind"] == "validation"]
    return {record["step"]: record["loss"] for record in found}


def test_a_stage_ends_after_its_patience_and_its_result_is_the_best_validation(stopped, manifest):
    folder, result, notes = stopped
    losses = losses_of(folder)
    best = min(losses, key=losses.__getitem__)
    last = max(losses)
    assert last == best + 3 < 40
    lowest = math.inf
    waited = 0
    for step in range(1, last + 1):  # it did not stop too late
        waited = 0 if losses[step] < lowest else waited + 1
        lowest = min(lowest, losses[step])
        assert (waited == 3) == (step == last)
    assert result == folder / f"checkpoints/step-{best:08d}.pt"
    assert [path.name for path in checkpoints(folder / "checkpoints")] == [
        f"step-{best:08d}.pt", f"step-{last:08d}.pt"
    ]  # fmt: skip
    assert load_checkpoint(folder)["step"] == best
    ending = f"pretrain ends at step {last}: the held-out loss has not fallen for 3 validations"
    assert f"{ending}; the result is step {best}" in notes
    model = Deca(CONFIG.model, CONFIG.run, {"coarse"})
    load_weights(model, load_checkpoint(result)["model"], result)
    held_out = HeldOut(open_table([manifest.with_name("val.parquet")]), 64, 100)
    stage = make_stage("pretrain", model, CONFIG)
    loss = partial(stage_loss, stage, CONFIG.loss)
    assert validate(model, held_out, torch.device("cpu"), loss=loss)["loss"] == losses[best]


def test_an_interrupted_run_ends_at_the_same_step_with_the_same_result(stopped, manifest, tmp_path):
    folder, result, _ = stopped
    with pytest.raises(KeyboardInterrupt):  # between the best validation and the end
        train(CONFIG, manifest, None, tmp_path, progress=Watch(int(result.stem[5:]) + 1))
    again = train(CONFIG, manifest, None, tmp_path, resume=True)
    assert again.name == result.name
    assert losses_of(tmp_path) == losses_of(folder)
    first, second = load_checkpoint(folder)["model"], load_checkpoint(tmp_path)["model"]
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_a_resume_after_the_end_makes_no_step(stopped, manifest):
    folder, result, _ = stopped
    records = read_metrics(folder / "metrics.jsonl")
    assert train(CONFIG, manifest, None, folder, resume=True) == result
    assert read_metrics(folder / "metrics.jsonl") == records


def test_without_held_out_faces_the_stage_runs_to_its_end_and_says_so(tmp_path):
    manifest, watch = make_manifest(tmp_path, (4, 4)), Watch()
    result = train(
        load_config("cpu", [*SETTINGS, "pretrain.steps=2"]), manifest, None, tmp_path / "run", progress=watch
    )
    assert result.name == "step-00000002.pt"
    assert "without held-out faces, pretrain.patience=3 has no effect" in watch.notes


def test_a_loss_that_is_not_finite_is_never_the_best():
    best = BestValidation()
    found = [best.add(step, loss) for step, loss in enumerate([math.nan, 2.0, 2.0, math.inf, 1.0, math.nan])]
    assert found == [False, True, False, False, True, False]
    assert (best.step, best.loss, best.later) == (4, 1.0, 1)
    assert best.over(1)
    assert not best.over(2)
    assert not best.over(None)


def test_validations_per_epoch_are_evenly_spaced(manifest, tmp_path):
    even = ["pretrain.epochs=2", "pretrain.steps=null", "pretrain.images=1", "pretrain.patience=null"]
    even += ["log.validation_every=null", "log.validations_per_epoch=2", "log.validation_gap=0"]
    train(load_config("cpu", [*SETTINGS, *even]), manifest, None, tmp_path)
    steps = [
        record["step"] for record in read_metrics(tmp_path / "metrics.jsonl") if record["kind"] != "train"
    ]
    assert steps == [3, 5, 8, 10]  # 11 faces, 2 a batch: 5 batches in an epoch
