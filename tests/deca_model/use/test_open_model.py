"""Opening models of different formats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deca_model.networks.model import Deca
from deca_model.networks.official_checkpoint import save_official
from deca_model.settings.groups import ModelSettings, RunSettings
from deca_model.use.open_model import open_model
from manifests.errors import UsageError


def test_the_official_file_opens_with_flame(tiny_flame_folder: Path, tmp_path: Path):
    settings = ModelSettings(head="flame", head_path=tiny_flame_folder)
    torch.manual_seed(0)
    model = Deca(settings, RunSettings(), {"detail"}).eval()
    assert model.detail is not None
    path = tmp_path / "model.tar"
    save_official(path, model.coarse, model.detail.encoder, model.detail.decoder)
    opened, size = open_model(path, "cpu", tiny_flame_folder)
    assert size == 224
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
