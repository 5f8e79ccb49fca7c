"""What EMOCA's losses see: the rendered mask only, and a face on black for the emotion network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deca_model.data.faces import open_table
from deca_model.data.loading import FaceBatch, FaceDataset
from deca_model.data.sampler import SubjectSampler
from deca_model.losses.vggface2 import caffe_resnet50
from deca_model.networks.model import Deca
from deca_model.settings.reading import load_config
from deca_model.training.stages.registry import make_stage
from tests.deca_model.synthetic import make_manifest

SMALL = [
    *("data.size=64", "model.uv_size=64", "model.render_size=64", "model.input_size=null"),
    *("loss.photometric=2", "loss.identity=0", "loss.emotion=0", "expression.subjects=2"),
    "expression.images=2",
]


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> FaceBatch:
    """Two persons; the photos of the second have no mask."""
    table = open_table([make_manifest(tmp_path_factory.mktemp("faces"), (2, 2), unmasked=(1,))])
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=2, images=2, seed=0)
    return FaceDataset(table, 64).load(sampler.batch(0, 0))


def stage_with(*settings: str) -> Any:
    config = load_config("cpu", [*SMALL, *settings])
    torch.manual_seed(0)
    model = Deca(config.model, config.run, {"coarse", "expression"})
    return make_stage("expression", model, config).eval()  # no swapped codes


@torch.no_grad()
def rendering(stage: Any, batch: FaceBatch) -> Any:
    posed = stage.model.pose(stage.encode(batch.faces()))
    albedo = stage.model.albedo(posed.codes.texture)
    return stage.model.renderer(posed.head.vertices, posed.vertices, albedo, posed.codes.light, 64)


def test_with_the_rendered_mask_photos_without_a_mask_take_part(batch: FaceBatch):
    assert batch.has_mask.sum() == 2
    stage = stage_with("loss.photometric_mask=rendered")
    picture = rendering(stage, batch)
    difference = (picture.image - batch.faces()).abs() * picture.face_mask
    value = stage(batch).losses["photometric"].detach()
    torch.testing.assert_close(value, difference.mean(), rtol=1e-5, atol=0)
    both = stage_with()(batch).losses["photometric"].detach()
    masked = (difference * batch.visible())[batch.has_mask].mean()
    torch.testing.assert_close(both, masked, rtol=1e-5, atol=0)
    assert value != both


@pytest.mark.parametrize("background", ["photo", "black"])
def test_the_emotion_network_sees_the_rendered_face_on_the_background(
    batch: FaceBatch, background: str, tmp_path
):
    network = caffe_resnet50()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "emotion.ckpt")
    stage = stage_with(
        "loss.photometric=0", "loss.emotion=1", f"loss.emotion_background={background}",
        f"loss.emotion_weights={tmp_path / 'emotion.ckpt'}",
    )  # fmt: skip
    seen: list[Tensor] = []
    hook: nn.Module = stage.networks["emotion"]
    hook.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    stage(batch)
    picture = rendering(stage, batch)
    photos, render = sorted(seen, key=lambda images: not torch.equal(images, batch.faces()))
    assert torch.equal(photos, batch.faces())  # the photo is seen whole
    inside, outside = picture.face_mask, 1 - picture.face_mask
    torch.testing.assert_close(render * inside, picture.image * inside)
    expected = batch.faces() if background == "photo" else torch.zeros_like(batch.faces())
    torch.testing.assert_close(render * outside, expected * outside)
    assert 0.05 < float(inside.mean()) < 0.9
