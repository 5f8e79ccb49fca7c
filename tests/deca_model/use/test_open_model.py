"""Opening models of different formats."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

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


def test_the_newest_run_with_a_checkpoint_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/001").mkdir(parents=True)  # as of a run that has just begun
    with pytest.raises(UsageError, match=r"there is no model in \./runs yet"):
        open_model()
    for name in ("runs/002/checkpoints", "runs/999/coarse/checkpoints", "runs/1000/checkpoints"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "step-00000001.pt").write_bytes(b"x")
        (tmp_path / "runs/2000").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match=f"{name}/step-00000001.pt: this is not a readable checkpoint"):
            open_model()
