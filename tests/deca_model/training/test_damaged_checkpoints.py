from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from deca_model.networks.pictures import draw_landmarks
from deca_model.training.checkpoints import checkpoints, load_checkpoint, result
from deca_model.training.finite_check import NonFinite
from manifests.errors import UsageError
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.test_training import run

EVERY = "log.checkpoint_every=1"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    make_manifest(folder, (3,), name="val", seed=9)
    return make_manifest(folder, (4, 4, 3))


@pytest.fixture(scope="module")
def finished(manifest, tmp_path_factory):
    """A run of three steps, each with a checkpoint, and its losses."""
    out = tmp_path_factory.mktemp("run")
    return out, run(manifest, out, "pretrain.steps=3", EVERY).totals


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.reliability("damaged checkpoints, then the same command")
def test_a_cut_off_newest_checkpoint_is_said_and_the_one_before_is_used(manifest, copy, capsys):
    newest = checkpoints(copy / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    assert result(copy).name == "step-00000002.pt"
    said = capsys.readouterr().err
    assert f"{newest}: this is not a readable checkpoint; it is cut off or damaged." in said
    assert "The one before is used, step-00000002.pt." in said
    watch = run(manifest, copy, "pretrain.steps=4", EVERY, "log.keep=1", resume=True)
    assert len(watch.totals) == 2
    assert any("The one before is used" in note for note in watch.notes)
    # the damaged one is kept under another name, and does not count as the newest
    names = sorted(path.name for path in (copy / "checkpoints").iterdir())
    assert names == ["damaged-step-00000003.pt", "step-00000004.pt"]


@pytest.mark.reliability("damaged checkpoints, then the same command")
def test_a_resume_after_a_damaged_checkpoint_gives_the_same_run(manifest, finished, copy):
    newest = checkpoints(copy / "checkpoints")[-1]
    newest.write_bytes(b"")
    again = run(manifest, copy, "pretrain.steps=3", EVERY, resume=True)
    assert again.totals == finished[1][2:]


@pytest.mark.reliability("damaged checkpoints, then the same command")
def test_flipped_bits_in_the_weights_are_noticed(copy):
    newest = checkpoints(copy / "checkpoints")[-1]
    intact = newest.read_bytes()
    load_checkpoint(newest)
    for place in range(len(intact) // 7, len(intact) - 5000, len(intact) // 7):
        data = bytearray(intact)
        data[place] ^= 0x10
        newest.write_bytes(data)
        with pytest.raises(UsageError, match=r"step-00000003\.pt: this .*damaged"):
            load_checkpoint(newest)


def test_without_an_intact_checkpoint_the_newest_is_named(manifest, copy):
    for path in checkpoints(copy / "checkpoints"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"step-00000003\.pt: this is not a readable checkpoint"):
        result(copy)
    with pytest.raises(UsageError, match=r"step-00000003\.pt: this is not a readable checkpoint"):
        run(manifest, copy, "pretrain.steps=3", EVERY, resume=True)


class Attack:
    def __reduce__(self):
        return print, ("code of the file ran",)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": Attack()}, "holds more than tensors and plain values"),
        ({"model": [1]}, "has no valid 'model'"),
        ({"model": {"coarse.layers.2.bias": 1}}, "has no valid 'model'"),
        ({"config": None}, "has no valid 'config'"),
        ({"step": "3"}, "has no valid 'step'"),
        ({"format": 9}, "not a checkpoint of `deca train`"),
        ({"optimizer": {"state": 1}}, "has no valid optimizer"),
        ({"scheduler": []}, "has no valid optimizer"),
        ({"random": {}}, "has no valid optimizer"),
        ({"best": {"colour": 1}}, "has no valid optimizer"),
    ],
)
def test_wrong_content_is_one_sentence_that_names_the_file(manifest, copy, capsys, change, sentence):
    for path in checkpoints(copy / "checkpoints"):
        torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(UsageError, match=r"step-0000000\d\.pt: .*") as raised:
        run(manifest, copy, "pretrain.steps=4", EVERY, resume=True)
    assert sentence in str(raised.value)
    assert "weights_only" not in str(raised.value)
    assert "code of the file ran" not in capsys.readouterr().out


def test_a_run_that_diverges_says_so_and_keeps_its_last_good_checkpoint(manifest, tmp_path):
    settings = ["pretrain.learning_rate=1e6", "optimizer.warmup_steps=0", "log.pictures_every=1", EVERY]
    with pytest.raises(NonFinite, match=r"is not finite|are not finite") as raised:
        run(manifest, tmp_path / "out", *settings, "log.validation_every=1")
    assert "lower the learning rate (optimizer.learning_rate, or the stage's own)" in str(raised.value)
    for path in checkpoints(tmp_path / "out/checkpoints"):
        state = torch.load(path, weights_only=True)["model"]
        assert all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())


def test_a_lower_learning_rate_counts_in_a_resumed_run(manifest, copy):
    run(manifest, copy, "pretrain.steps=4", EVERY, "pretrain.learning_rate=1e-9", resume=True)
    before, after = (torch.load(path, weights_only=True) for path in checkpoints(copy / "checkpoints")[-2:])
    moved = [
        float((after["model"][name] - value).abs().max())
        for name, value in before["model"].items()
        if name.startswith("coarse.layers")
    ]
    assert 0 < max(moved) < 1e-7
    assert after["optimizer"]["param_groups"][0]["initial_lr"] == 1e-9


def test_landmarks_far_outside_the_photo_are_drawn():
    points = np.full((68, 2), 1e30, np.float32)
    picture = draw_landmarks(np.zeros((64, 64, 3), np.uint8), points, (255, 0, 0))
    assert picture.shape == (64, 64, 3)
