"""Opening models of different formats; the emotion network on codes; figures of the NoW benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from deca_model.evaluation.emotion_readout import Labelled, Labels, compare, fit_and_read
from deca_model.evaluation.now_benchmark import cut_scan, summarise_by_challenge
from deca_model.networks.model import Deca
from deca_model.networks.official_checkpoint import save_official
from deca_model.settings.groups import ModelSettings, RunSettings
from deca_model.use.open_model import open_model
from deca_model.use.photo_batches import reconstruct_face_list
from manifests.errors import UsageError


class Face(NamedTuple):
    image: np.ndarray
    box: np.ndarray
    landmarks: np.ndarray | None


def test_the_official_file_opens_with_flame(tiny_flame_folder: Path, tmp_path: Path):
    settings = ModelSettings(head="flame", head_path=tiny_flame_folder)
    torch.manual_seed(0)
    model = Deca(settings, RunSettings(), {"detail"}).eval()
    assert model.detail is not None
    path = tmp_path / "model.tar"
    save_official(path, model.coarse, model.detail.encoder, model.detail.decoder)
    opened, size = open_model(path, "cpu", tiny_flame_folder)
    assert size == 224
    assert opened.crop_scale == pytest.approx(1.375)
    assert model.crop_scale == 1.6
    assert not opened.training
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        pairs = zip(opened.encode(image), model.encode(image), strict=True)
        assert all(torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in pairs)
        assert torch.allclose(opened.encode_detail(image), model.encode_detail(image), atol=1e-6)
    save_official(path, model.coarse)
    coarse, _ = open_model(path, "cpu", tiny_flame_folder)
    assert coarse.detail is None
    with pytest.raises(UsageError, match="has none; train them"):
        open_model(path, "cpu", tiny_flame_folder, details=True)
    with pytest.raises(UsageError, match="--head-path"):
        open_model(path, "cpu")


def test_the_model_decides_the_crop(tiny_flame_folder: Path, tmp_path: Path):
    """Landmarks 100 pixels wide and high: a crop of 138 (137.5) pixels for the official model, else 160"""
    model = Deca(ModelSettings(head="flame", head_path=tiny_flame_folder), RunSettings()).eval()
    save_official(tmp_path / "model.tar", model.coarse)
    official, size = open_model(tmp_path / "model.tar", "cpu", tiny_flame_folder)
    landmarks = np.linspace([50, 50], [150, 150], 68)
    face = Face(np.zeros((200, 200, 3), np.uint8), np.array([50, 50, 150, 150]), landmarks)
    of_box = Face(face.image, face.box, None)
    for each, side in ((official, 138), (model, 160)):
        for one in (face, of_box):
            assert [float(square.side) for square in reconstruct_face_list(each, size, [one]).squares] == [
                side
            ]


def test_emotion_is_read_from_codes_that_hold_it_and_not_from_noise():
    random = np.random.default_rng(0)
    codes = random.normal(size=(700, 53))
    affect = np.tanh(codes[:, :2] * [0.5, -0.5] + 0.2 * codes[:, 2:4])
    classes = np.argmax(codes[:, 4:12], axis=1)
    classes[::7] = -1
    known = Labelled(codes[:500], Labels(affect[:500], classes[:500]))
    truth = Labels(affect[500:], classes[500:])
    read = fit_and_read(known, codes[500:])
    good = compare(read, truth)
    assert good["valence_pcc"] > 0.8
    assert good["arousal_ccc"] > 0.7
    assert good["expression_accuracy"] > 0.4
    assert good["faces"] == 200
    mixed = np.concatenate([codes[500:], random.normal(size=(200, 53))])  # more faces, the same answers
    again = fit_and_read(known, mixed)
    np.testing.assert_allclose(again.affect[:200], read.affect, atol=1e-5)
    noise = compare(Labels(again.affect[200:], again.expression[200:]), truth)
    assert abs(noise["valence_pcc"]) < 0.3


def test_the_scan_is_cut_to_a_ball_around_the_face():
    # eyes 100 apart, nose's base 50 below them: radius 1.4 * (100 + 50) / 2 = 105, around 15 above that base
    points = np.array([[-50, 0, 0], [-15, 0, 0], [15, 0, 0], [50, 0, 0], [0, -50, 0], [-20, -80, 0]], float)
    points = np.concatenate([points, [[20, -80, 0]]])
    scan = np.array([[104.9, -35, 0], [105.1, -35, 0], [0, 69.9, 0], [0, 70.1, 0], [0, -139.9, 0]])
    np.testing.assert_array_equal(cut_scan(scan, points), scan[[0, 2, 4]])


def test_now_figures_are_given_by_challenge_and_over_all():
    errors = {"s/selfie/a": np.array([1.0, 3.0]), "s/multiview_neutral/b": np.array([2.0, 2.0, 7.0])}
    found = summarise_by_challenge(errors)
    assert list(found) == ["multiview_neutral", "selfie", "all"]
    assert found["selfie"]["median_mm"] == 2
    assert found["all"]["mean_mm"] == pytest.approx(3)
    assert found["all"]["faces"] == 2
