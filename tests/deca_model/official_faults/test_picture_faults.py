"""Faults of the official trainer in what it draws and compares, each with a test that would have caught it.

The numbers are those of the list of known faults: no light in the coarse picture (1), background painted as
face and normalised twice in the identity loss (7), a division by a norm that can be zero in ID-MRF (8).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset
from deca_model.data.sampler import SubjectSampler
from deca_model.losses.id_mrf import VggFeatures, id_mrf_loss, vgg19_layers
from deca_model.losses.identity import face_overlay
from deca_model.losses.vggface2 import FaceFeatures
from deca_model.networks.model import Deca
from deca_model.settings.groups import TrainingConfig
from deca_model.settings.reading import load_config
from deca_model.training.stages.registry import make_stage
from tests.deca_model.synthetic import make_manifest


@pytest.fixture(scope="module")
def config() -> TrainingConfig:
    small = ["data.size=64", "data.workers=0", "model.uv_size=64", "model.render_size=64", "stage=coarse"]
    return load_config("cpu", small)


def test_fault_1_the_coarse_picture_is_lit_and_the_light_is_learnt(config: TrainingConfig, tmp_path):
    table = open_table([make_manifest(tmp_path, (2, 2))])
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=2, images=2, seed=0)
    batch = FaceDataset(table, config.data.size).load(sampler.batch(0, 0))
    torch.manual_seed(0)
    stage: Any = make_stage("coarse", Deca(config.model, config.run), config)
    stage(batch).losses["photometric"].backward()
    last: Any = [module for module in stage.trainable().modules() if isinstance(module, nn.Linear)][-1]
    assert last.weight.grad[-27:].abs().max() > 1e-6  # the light's 27 of the 236 outputs


def test_fault_7_the_identity_loss_sees_the_photo_around_the_face_and_is_normalised_once():
    photo, mask = torch.rand(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    overlay = face_overlay(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8), photo, mask)
    assert torch.equal(overlay * (1 - mask), photo * (1 - mask))
    assert (overlay * mask).abs().max() == 0
    seen: list[Tensor] = []
    features = FaceFeatures(nn.Identity())
    features.network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    features(torch.ones(1, 3, 224, 224))
    assert seen[0].amax().item() == pytest.approx(255 - 91.4953, abs=1e-2)
    assert seen[0].amin().item() == pytest.approx(255 - 131.0912, abs=1e-2)


@pytest.mark.parametrize("kind", ["black", "constant", "same", "random"])
def test_fault_8_id_mrf_is_finite_with_its_gradient_on_any_patch(kind: str):
    torch.manual_seed(0)
    features = VggFeatures(vgg19_layers())
    target = torch.rand(1, 3, 32, 32)
    drawn = {
        "black": torch.zeros(1, 3, 32, 32),
        "constant": torch.full((1, 3, 32, 32), 0.5),
        "same": target.clone(),
        "random": torch.rand(1, 3, 32, 32),
    }[kind].requires_grad_()
    for truth in (target, torch.zeros_like(target)):
        loss = id_mrf_loss(drawn, truth, features, torch.ones(len(truth), dtype=torch.bool))
        (gradient,) = torch.autograd.grad(loss, drawn)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()
