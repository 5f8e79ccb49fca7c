"""The NoW benchmark's photos, crops, scans and figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from deca_model.evaluation.now_benchmark import NowPhoto, cut_scan, read_now_faces, summarise_by_challenge
from deca_model.networks.model import Deca
from deca_model.settings.groups import ModelSettings, RunSettings
from deca_model.use.photo_batches import reconstruct_faces

OFFICIAL_CROP = [
    [
        [0.685, 0.538, 0.525, 0.665],
        [0.644, 0.782, 0.614, 0.600],
        [0.500, 0.736, 0.727, 0.856],
        [0.373, 0.109, 0.104, 0.718],
    ],
    [
        [0.640, 0.450, 0.445, 0.621],
        [0.592, 0.660, 0.500, 0.546],
        [0.479, 0.628, 0.625, 0.814],
        [0.346, 0.088, 0.091, 0.681],
    ],
    [
        [0.578, 0.312, 0.288, 0.561],
        [0.541, 0.561, 0.401, 0.486],
        [0.487, 0.547, 0.549, 0.799],
        [0.341, 0.067, 0.079, 0.679],
    ],
]
"""Means of 4 x 4 blocks of RGB, from DECA's NoWDataset for the photo and the box below."""


def test_a_photo_is_cropped_by_its_box_as_in_the_official_loader(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # on its side: the official loader does not turn it
    path = tmp_path / "photo.jpg"
    Image.fromarray(astronaut()).save(path, exif=exif, quality=95)
    photo = NowPhoto("s/selfie/photo", path, (170.0, 60.0, 281.0, 200.0), tmp_path, tmp_path)
    model = Deca(ModelSettings(), RunSettings(), set()).eval()
    ((_, found),) = reconstruct_faces(model, 224, read_now_faces([photo]))
    assert found.squares[0].side == pytest.approx(1.6 * (111 + 140) / 2, abs=0.5)
    np.testing.assert_allclose(found.squares[0].center, [225.5, 130], atol=0.5)
    blocks = found.photos[0].reshape(3, 4, 56, 4, 56).mean(dim=(2, 4))
    torch.testing.assert_close(blocks, torch.tensor(OFFICIAL_CROP), rtol=0, atol=0.012)


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
