"""Faults of the official trainer that touch training, each with a test that would have caught it.

The numbers are those of the list of known faults: repeated keys (2), validation (3), resume (4), checkpoint
schedule and length (5), doubled pretraining (6), frames (9), columns (10), landmark loss (11), seeds, frozen
networks and mixed precision (12).
"""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset
from deca_model.data.sampler import SubjectSampler
from deca_model.losses.id_mrf import VggFeatures, vgg19_layers
from deca_model.losses.landmarks import LANDMARK_WEIGHTS, landmark_loss
from deca_model.networks.model import Deca
from deca_model.settings.groups import LossSettings, TrainingConfig
from deca_model.settings.reading import load_config
from deca_model.training.checkpoints import checkpoints, load_checkpoint, load_weights, seed_everything
from deca_model.training.loop import train
from deca_model.training.records import read_metrics
from deca_model.training.stages.pretrain import PretrainStage
from manifests.errors import UsageError
from tests.deca_model.synthetic import make_manifest

SMALL = [
    "stage=pretrain", "data.size=64", "data.workers=0", "model.uv_size=64", "model.render_size=64",
    "pretrain.subjects=2", "pretrain.images=1", "log.pictures_every=1000", "log.validation_gap=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 5 steps over 3 batches an epoch, its validation manifest in a folder of its own."""
    folder = tmp_path_factory.mktemp("run")
    manifest = make_manifest(folder / "train", (3, 3))
    held_out = make_manifest(folder / "elsewhere", (2,), name="held-out", seed=4)
    settings = [*SMALL, "pretrain.steps=5", "log.checkpoint_every=2", "log.keep=2"]
    train(load_config("cpu", settings), manifest, held_out, folder / "out")
    return folder / "out", manifest, settings


def test_fault_2_repeated_and_unknown_keys_are_errors(tmp_path):
    path = tmp_path / "detail.yaml"
    path.write_text("detail: {steps: 5, subjects: 6, images: 3}\nlog: {every: 1}\ndetail: {steps: 5}\n")
    with pytest.raises(UsageError, match=r'line 3: .*duplicate key "detail"'):
        load_config(path)
    path.write_text("detail:\n  steps: 5\n  K: 3\n")
    with pytest.raises(UsageError, match=r"no setting detail\.K"):
        load_config(path)


def test_fault_3_validation_runs_on_the_manifest_that_was_given(run):
    out, _, _ = run
    figures = [r for r in read_metrics(out / "metrics.jsonl") if r["kind"] == "validation"]
    assert [r["step"] for r in figures] == [3, 5]  # the end of the first epoch, and the end of the run
    assert all(r["faces"] == 2 and r["landmark_error"] > 0 for r in figures)


def test_fault_4_resume_restores_adam_and_shows_shape_mismatches(run):
    out, manifest, settings = run
    saved = load_checkpoint(out)
    state = saved["optimizer"]["state"]
    assert all(float(entry["step"]) == 5 for entry in state.values())
    train(load_config("cpu", [*settings, "pretrain.steps=6"]), manifest, None, out, resume=True)
    after = load_checkpoint(out)["optimizer"]["state"]
    assert all(float(entry["step"]) == 6 for entry in after.values())

    config = load_config("cpu", [*SMALL, "model.encoder.backbone=resnet34"])
    with pytest.raises(UsageError, match=r"coarse\.encoder\..* use the model settings of"):
        load_weights(Deca(config.model, config.run), saved["model"], out)
    config = load_config("cpu", SMALL)
    wrong = {**saved["model"], "coarse.layers.2.bias": torch.zeros(235)}
    with pytest.raises(UsageError, match=r"coarse\.layers\.2\.bias is \(235,\), here it is \(236,\)"):
        load_weights(Deca(config.model, config.run), wrong, out)


def test_fault_5_steps_and_checkpoints_are_counted_right(run):
    out, _, _ = run
    train_steps = [r["step"] for r in read_metrics(out / "metrics.jsonl") if r["kind"] == "train"]
    assert train_steps[:5] == [1, 2, 3, 4, 5]  # 5 steps, though an epoch has 3 batches
    # every second step and the last one were written, and only the newest two stay
    assert len(checkpoints(out / "checkpoints")) == 2
    assert checkpoints(out / "checkpoints")[0].name in ("step-00000004.pt", "step-00000005.pt")


def test_fault_6_pretraining_encodes_each_image_once(run):
    _, manifest, _ = run
    config = load_config("cpu", SMALL)
    table = open_table([manifest])
    model = Deca(config.model, config.run)
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=4, images=1, seed=0)
    batch = FaceDataset(table, 64).load(sampler.batch(0, 0))
    seen = {"encoder": 0, "head": 0}
    model.coarse.register_forward_hook(lambda _, inputs, __: seen.update(encoder=len(inputs[0])))
    model.head.register_forward_hook(lambda _, inputs, __: seen.update(head=len(inputs[0])))
    PretrainStage(model, config)(batch)
    assert seen == {"encoder": 4, "head": 4}


def test_fault_9_every_frame_of_a_clip_is_used_and_none_twice(tmp_path):
    # A person's frames: all of them, the first too, once an epoch.
    table = open_table([make_manifest(tmp_path, (6, 4), dataset="voxceleb2")])
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=1, images=2, seed=1)
    rows = np.concatenate([sampler.batch(0, i).rows for i in range(sampler.batches_per_epoch)])
    np.testing.assert_array_equal(np.sort(rows), np.arange(10))


def test_fault_10_all_photos_of_a_person_come_in_changing_groups_without_state(tmp_path):
    table = open_table([make_manifest(tmp_path, (8, 8), dataset="bupt")])
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=2, images=4, seed=1)
    groups = [
        [frozenset(group) for i in range(2) for group in sampler.batch(epoch, i).rows.reshape(-1, 4)]
        for epoch in range(4)
    ]
    for epoch in groups:
        assert sorted(row for group in epoch for row in group) == list(range(16))
    assert len({group for epoch in groups for group in epoch}) > 8
    # the last batch asked for first is the same batch: nothing is carried from sample to sample
    again = SubjectSampler(table.subjects, table.datasets, subjects=2, images=4, seed=1)
    np.testing.assert_array_equal(again.batch(3, 1).rows, sampler.batch(3, 1).rows)


def test_fault_11_the_landmark_loss_leaves_the_truth_alone_with_and_without_weights():
    generator = torch.Generator().manual_seed(0)
    predicted = torch.rand(3, 68, 2, generator=generator, requires_grad=True)
    truth = torch.rand(3, 68, 2, generator=generator)
    before = truth.clone()
    for weights in (LANDMARK_WEIGHTS, (1.0,) * 68):
        landmark_loss(predicted, truth, weights).backward()
        assert torch.equal(truth, before)
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()


def test_fault_12_all_generators_are_seeded():
    draws = []
    for _ in range(2):
        seed_everything(3)
        draws.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert draws[0] == draws[1]


def test_fault_12_perceptual_networks_are_frozen():
    network = VggFeatures(vgg19_layers())
    network.train()
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_fault_12_mixed_precision_trains_and_keeps_the_codes_in_float32(run, tmp_path):
    _, manifest, _ = run
    settings = [*SMALL, "pretrain.steps=2", "run.precision=bfloat16", "run.channels_last=true"]
    train(load_config("cpu", settings), manifest, None, tmp_path)
    config = load_config("cpu", settings)
    codes = Deca(config.model, config.run).encode(torch.rand(1, 3, 64, 64))
    assert all(code.dtype == torch.float32 for code in codes)
    records = [r for r in read_metrics(tmp_path / "metrics.jsonl") if r["kind"] == "train"]
    assert len(records) == 2
    assert all(np.isfinite(r["total"]) for r in records)


@pytest.mark.parametrize(
    ("stage", "loss", "setting"),
    [("coarse", "identity", "identity_weights"), ("detail", "id_mrf", "vgg_weights")],
)
def test_a_loss_without_its_file_must_be_switched_off_by_name(run, tmp_path, stage, loss, setting):
    _, manifest, _ = run
    assert getattr(LossSettings(), loss) > 0
    assert TrainingConfig().loss == LossSettings()
    on = [*SMALL, f"stage={stage}", f"loss.{loss}=0.2"]
    with pytest.raises(UsageError, match=rf"give .* as loss\.{setting}, or .* loss\.{loss}=0"):
        train(load_config("cpu", on), manifest, None, tmp_path)
    with pytest.raises(UsageError, match="there is no such file"):
        train(load_config("cpu", [*on, f"loss.{setting}=nowhere.pth"]), manifest, None, tmp_path)


def test_a_manifest_whose_images_are_gone_is_refused_before_training(tmp_path):
    manifest = make_manifest(tmp_path / "train", (2, 2))
    for image in (tmp_path / "train").rglob("*.jpg"):
        image.unlink()
    with pytest.raises(UsageError, match="its images are gone"):
        train(load_config("cpu", SMALL), manifest, None, tmp_path / "out")
