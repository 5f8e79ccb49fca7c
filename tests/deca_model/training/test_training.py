from __future__ import annotations

import math
import os
import signal
import sys

import cv2
import numpy as np
import pytest
import torch

from deca_model.settings.reading import load_config
from deca_model.training.checkpoints import checkpoints, load_checkpoint
from deca_model.training.finite_check import NonFiniteLoss
from deca_model.training.headline import EXPLAINED, MEANINGS
from deca_model.training.loop import train
from deca_model.training.records import read_metrics
from manifests.errors import UsageError
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.said import Said

SMALL = [
    "stage=pretrain",
    "data.size=64",
    "model.input_size=null",
    "data.workers=0",
    "model.uv_size=64",
    "model.render_size=64",
    "pretrain.steps=4",
    "pretrain.subjects=2",
    "pretrain.images=2",
    "log.pictures_every=1000",
    "log.checkpoint_every=1000",
    "log.validation_gap=0",
]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    make_manifest(folder, (3,), name="val", seed=9)
    return make_manifest(folder, (4, 4, 3))


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Watch(Said):
    """Records losses and notes, and calls ``act`` after each step."""

    def __init__(self, act=None):
        super().__init__()
        self.totals, self.act = [], act

    def step(self, step, values, images_per_second):
        self.totals.append(values["total"])
        if self.act:
            self.act(step)


def run(manifest, out, *overrides, watch=None, **more):
    watch = watch or Watch()
    train(load_config("cpu", [*SMALL, *overrides]), manifest, None, out, progress=watch, **more)
    return watch


def flat(value):
    """All tensors and numbers of a nested checkpoint, by path."""
    if isinstance(value, dict):
        return {f"{k}/{rest}": v for k, inner in value.items() for rest, v in flat(inner).items()}
    if isinstance(value, (list, tuple)):
        return {f"{k}/{rest}": v for k, inner in enumerate(value) for rest, v in flat(inner).items()}
    return {"": value}


def test_four_steps_are_two_and_a_resume_and_two_bit_for_bit(manifest, tmp_path):
    warm = "optimizer.warmup_steps=3"  # so that the scheduler's state matters
    whole = run(manifest, tmp_path / "whole", warm)

    def interrupt(step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    first = Watch(interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(manifest, tmp_path / "broken", warm, watch=first)
    assert [path.name for path in checkpoints(tmp_path / "broken/checkpoints")] == ["step-00000002.pt"]
    second = run(manifest, tmp_path / "broken", warm, "data.workers=1", resume=True)
    assert first.totals + second.totals == whole.totals

    ends = [flat(load_checkpoint(tmp_path / name)) for name in ("whole", "broken")]
    assert ends[0].keys() == ends[1].keys()
    for key, value in ends[0].items():
        if key.startswith("config/data/workers"):
            continue
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, ends[1][key]), key
        else:
            assert value == ends[1][key], key
    assert any(key.startswith("optimizer/state/0/exp_avg") for key in ends[0])
    assert any(key.startswith("random/numpy") for key in ends[0])
    steps = [r["step"] for r in read_metrics(tmp_path / "broken/metrics.jsonl") if r["kind"] == "train"]
    assert steps == [1, 2, 3, 4]


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(manifest, tmp_path):
    first, second = (run(manifest, tmp_path / str(n), "pretrain.steps=3").totals for n in range(2))
    assert first == second
    assert run(manifest, tmp_path / "other", "pretrain.steps=3", "run.seed=1").totals != first


def test_a_run_leaves_its_files(manifest, tmp_path):
    watch = run(manifest, tmp_path, "log.checkpoint_every=1", "log.keep=2", "log.pictures_every=2")
    assert [path.name[5:13] for path in checkpoints(tmp_path / "checkpoints")] == ["00000003", "00000004"]
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [r["step"] for r in records if r["kind"] == "train"] == [1, 2, 3, 4]
    figures = [r for r in records if r["kind"] == "validation"]
    # 6 groups of images, 3 batches an epoch: figures at the end of the epoch, and at the end of the run
    assert [r["step"] for r in figures] == [3, 4]
    assert all(r["faces"] == 3 and 0 < r["landmark_error"] < 100 for r in figures)
    assert any("held-out faces: landmark error" in note for note in watch.notes)
    assert f"held-out faces measure the run {EXPLAINED}" in watch.notes
    measured = set(figures[-1]) - {"kind", "step"}
    assert {"landmark_error_median", "landmark_loss"} <= measured <= set(MEANINGS)
    assert any((tmp_path / "tensorboard").iterdir())
    grid = cv2.imread(str(tmp_path / "pictures/step-00000004.png"))
    assert grid.shape == (3 * 224, 3 * 224, 3)
    plot = cv2.imread(str(tmp_path / "loss.png"))
    assert plot.shape == (600, 1200, 3)
    assert len(np.unique(plot.reshape(-1, 3), axis=0)) > 100  # curves of several colours
    assert load_config(tmp_path / "config.yaml").pretrain.steps == 4


def test_no_loss_curve_without_matplotlib(manifest, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run(manifest, tmp_path, "log.pictures_every=2")
    assert (tmp_path / "pictures/step-00000004.png").is_file()
    assert not (tmp_path / "loss.png").exists()


def test_training_learns_the_landmarks(manifest, tmp_path):
    steps = 30
    plain = ("optimizer.learning_rate=1e-3", "optimizer.warmup_steps=0", "optimizer.decay=none")
    run(manifest, tmp_path, f"pretrain.steps={steps}", *plain)
    losses = [r["landmark"] for r in read_metrics(tmp_path / "metrics.jsonl") if r["kind"] == "train"]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_nan_stops_before_the_step_and_names_the_batch(manifest, tmp_path):
    def poison(step):
        if step == 2:
            watched["model"].coarse.register_forward_hook(lambda _, __, codes: codes * math.nan)

    watched = {}
    import deca_model.training.state as training

    make = training.make_stage

    def remember(name, model, config):
        watched["model"] = model
        return make(name, model, config)

    training.make_stage = remember
    try:
        with pytest.raises(
            NonFiniteLoss, match=r"step 3: .*landmark.* is not finite.*astronauts/train"
        ) as raised:
            run(manifest, tmp_path, "log.checkpoint_every=1", watch=Watch(poison))
    finally:
        training.make_stage = make
    saved = torch.load(tmp_path / "non-finite-step-00000003.pt", weights_only=True)
    assert saved["images"].shape == (4, 64, 64, 3)
    assert all(name in str(raised.value) for name in saved["sample_ids"])
    # the step was not taken: Adam has counted two steps, and only the poisoned number is not finite
    assert checkpoints(tmp_path / "checkpoints")[-1].name == "step-00000002.pt"
    weights = watched["model"].coarse.layers[2].weight
    assert torch.isfinite(weights).all()


def test_a_second_run_in_a_folder_needs_resume(manifest, tmp_path):
    run(manifest, tmp_path, "pretrain.steps=1")
    with pytest.raises(UsageError, match="--resume"):
        run(manifest, tmp_path, "pretrain.steps=1")


def test_a_resume_refuses_another_manifest_or_another_batch(manifest, tmp_path):
    run(manifest, tmp_path / "run", "pretrain.steps=1")
    other = make_manifest(tmp_path / "other", (4, 4))
    with pytest.raises(UsageError, match="another manifest"):
        run(other, tmp_path / "run", "pretrain.steps=2", resume=True)
    with pytest.raises(UsageError, match=r"pretrain\.images has changed"):
        run(manifest, tmp_path / "run", "pretrain.images=1", resume=True)
    said = r"draws 2 persons .* pretrain\.subjects=3 times 1 process is 3; set pretrain\.subjects=2, or"
    with pytest.raises(UsageError, match=said):
        run(manifest, tmp_path / "run", "pretrain.subjects=3", resume=True)
    watch = run(manifest, tmp_path / "run", "pretrain.steps=2", "loss.lip=0", resume=True)
    assert any("loss.lip" in note for note in watch.notes)
    assert len(watch.totals) == 1


def test_a_balanced_run_leaves_faces_without_an_expression_out_and_says_so(tmp_path):
    manifest = make_manifest(tmp_path, (2, 2, 2), expressions=(0, 0, 0, 5, None, 9))
    balanced = ["pretrain.balance=expression", "pretrain.images=1", "pretrain.steps=2"]
    watch = run(manifest, tmp_path / "run", *balanced)
    assert "2 of 6 faces have no expression from 0 to 7 and are left out" in watch.notes
    assert len(watch.totals) == 2
    with pytest.raises(UsageError, match=r"data\.mix and pretrain\.balance: give only one of them"):
        run(manifest, tmp_path / "both", *balanced, "data.mix={astronauts: 1}")
    with pytest.raises(UsageError, match="no face of the manifest has an expression"):
        run(make_manifest(tmp_path / "other", (2, 2)), tmp_path / "none", *balanced)
