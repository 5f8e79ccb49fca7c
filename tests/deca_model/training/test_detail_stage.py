"""The detail stage: it learns details, and its figures show it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from deca_model.data.faces import open_table
from deca_model.data.loading import FaceBatch, FaceDataset
from deca_model.data.sampler import SubjectSampler
from deca_model.networks.codes import code_slice
from deca_model.networks.detail import LARGEST
from deca_model.networks.model import Deca
from deca_model.render.light import studio_light
from deca_model.settings.reading import load_config
from deca_model.training.stages.registry import STAGES, make_stage
from deca_model.training.validation import HeldOut, validate
from tests.deca_model.synthetic import make_manifest

SMALL = ["stage=detail", "data.size=64", "model.uv_size=64", "model.render_size=64"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return open_table([make_manifest(tmp_path_factory.mktemp("faces"), (2, 2))])


@pytest.fixture(scope="module")
def batch(table) -> FaceBatch:
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=2, images=2, seed=0)
    return FaceDataset(table, 64).load(sampler.batch(0, 0))


@pytest.fixture
def stage() -> Any:
    """On a coarse model with light from the front and above: in even light no displacement is visible."""
    config = load_config("cpu", SMALL)
    torch.manual_seed(0)
    model = Deca(config.model, config.run, STAGES["detail"].parts)
    span = code_slice("light")
    with torch.no_grad():
        light = studio_light(1).flatten() / model.coarse.gains[span]
        model.coarse.layers[2].bias[span] = light  # type: ignore[index,operator]
    return make_stage("detail", model, config).train()


def flatten(stage: Any) -> None:
    """Make the decoder give no displacement."""
    with torch.no_grad():
        for parameter in stage.model.detail.decoder.conv_blocks[-2].parameters():
            parameter.zero_()


def test_details_explain_what_the_smooth_head_cannot(stage: Any, batch: FaceBatch):
    """On four fixed faces the displacement lowers the photometric loss, also with swapped codes."""
    optimizer = torch.optim.Adam(stage.trainable().parameters(), lr=2e-3)
    shares = []
    for _ in range(30):
        losses, counts = stage(batch)
        shares.append(losses["detail_photometric"].item() / counts["smooth_photometric"].item())
        optimizer.zero_grad()
        losses["detail_photometric"].backward()
        optimizer.step()
    assert shares[0] == pytest.approx(1, abs=0.01)
    assert shares[-1] < 0.9


def test_the_smooth_figure_is_the_loss_without_displacement(stage: Any, batch: FaceBatch):
    flatten(stage)
    losses, counts = stage(batch)
    assert losses["displacement"] == 0
    assert losses["detail_photometric"].item() == pytest.approx(counts["smooth_photometric"].item(), rel=1e-5)
    assert not counts["smooth_photometric"].requires_grad


def test_held_out_figures_of_the_details(stage: Any, table):
    held_out, device = HeldOut(table, 64, 4), torch.device("cpu")
    flatten(stage)
    figures = validate(stage.model, held_out, device, rendered=True)
    assert figures["displacement_mm"] == 0
    assert figures["detail_error"] == pytest.approx(figures["smooth_error"], rel=1e-6)
    assert 0.01 < figures["smooth_error"] < 1
    with torch.no_grad():
        stage.model.detail.decoder.conv_blocks[-2].bias.fill_(100.0)  # the largest displacement, everywhere
    figures = validate(stage.model, held_out, device, rendered=True)
    assert figures["displacement_mm"] == pytest.approx(LARGEST * 1000, rel=1e-4)
    assert figures["detail_error"] != figures["smooth_error"]
    plain = validate(stage.model, held_out, device)
    assert "detail_error" not in plain
