"""Training steps on a pretended CUDA device: no read-back, no copy, no tensor on the wrong device.

Every stage with every preset, with all its networks (of random weights), forward and backward, and the
optimiser's step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from deca_model.data.loading import FaceBatch
from deca_model.losses.emotion import EmotionFeatures
from deca_model.losses.id_mrf import VggFeatures, vgg19_layers
from deca_model.losses.vggface2 import FaceFeatures, caffe_resnet50
from deca_model.networks.model import Deca
from deca_model.render.rasterizers import tensor
from deca_model.settings.groups import TrainingConfig
from deca_model.settings.reading import load_config
from deca_model.training.processes import Processes
from deca_model.training.stages import coarse, detail
from deca_model.training.stages.registry import STAGES, make_stage
from deca_model.training.state import State, prepare
from deca_model.training.step import train_step
from tests.deca_model.pretend_cuda import CUDA, Transfer, backward, no_transfers, pretended_cuda

CASES = [
    ("cpu", "pretrain"), ("cpu", "coarse"), ("cpu", "detail"),
    ("emoca", "expression"), ("emoca", "detail"),
]  # fmt: skip
SUBJECTS, IMAGES = 2, 2


def _random_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (coarse, detail):
        monkeypatch.setattr(module, "weight_file", lambda *_: Path("random"))
    monkeypatch.setattr(coarse, "load_face_features", lambda _: FaceFeatures(caffe_resnet50()))
    monkeypatch.setattr(coarse, "load_emotion_features", lambda _: EmotionFeatures(caffe_resnet50()))
    monkeypatch.setattr(detail, "load_vgg_features", lambda _: VggFeatures(vgg19_layers()))


def _config(preset: str, stage: str, *more: str) -> TrainingConfig:
    losses = ["loss.identity=0.2", "loss.emotion=1", "loss.id_mrf=3.6", "loss.corner=0.5"]
    losses += ["loss.dense=2", "loss.ring=0.05"]
    return load_config(preset, [f"stage={stage}", "optimizer.clip=1", *losses, *more])


def _batch(size: int) -> FaceBatch:
    count = SUBJECTS * IMAGES

    def empty(*shape: int, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
        return torch.empty(count, *shape, dtype=dtype, device=CUDA)

    return FaceBatch(
        images=empty(size, size, 3),
        masks=empty(size, size),
        has_mask=empty(dtype=torch.bool),
        landmarks=empty(68, 2, dtype=torch.float32),
        subjects=empty(dtype=torch.int64),
        squares=empty(3, dtype=torch.float64),
        sample_ids=tuple("abcd"),
        position=(0, 0),
        partners=empty(dtype=torch.int64),
        dense=empty(478, 2, dtype=torch.float32),
        has_dense=empty(dtype=torch.bool),
    )


def _state(model: Deca, config: TrainingConfig) -> State:
    """The stage on the pretended device, as ``state.begin`` makes it."""
    stage: Any = make_stage(config.stage, model, config)
    trained = prepare(stage, config, CUDA)
    optimizer = torch.optim.Adam(trained.parameters(), fused=True)
    stage.train()
    return State(stage, stage, optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0))


@pytest.mark.parametrize(("preset", "name"), CASES)
def test_a_step_reads_nothing_back_and_copies_nothing(preset, name, monkeypatch, tmp_path):
    config = _config(preset, name)
    model = Deca(config.model, config.run, STAGES[name].parts)
    _random_networks(monkeypatch)
    with pretended_cuda(monkeypatch):
        state, group = _state(model, config), Processes(0, 1, CUDA)
        # the first step makes the constants and the optimiser's state
        train_step(state, _batch(config.data.size), config, group, tmp_path)
        with no_transfers():
            train_step(state, _batch(config.data.size), config, group, tmp_path)
        for parameter in state.stage.trainable().parameters():
            assert parameter.grad is not None
            assert parameter.grad.device == CUDA
        assert {figures.own.device for figures in state.unread} == {CUDA}
        named = {name for figures in state.unread for name in figures.names}
    assert name == "detail" or {"dense", "ring"} <= named
    expected = {"coarse": "identity", "expression": "emotion", "detail": "id_mrf", "pretrain": "landmark"}
    assert expected[name] in named


READ_BACKS = [
    lambda x: x.sum().item(),
    lambda x: int(x[0]),
    lambda x: x[x > 0],
    lambda x: bool((x > 0).any()),
]
TRANSFERS = [
    lambda x: x * torch.tensor([1.0, 2.0, 3.0], device=x.device),
    lambda x: x * x.new_tensor([1.0, 2.0, 3.0]),
    lambda x: x.cpu(),
    lambda x: x + torch.zeros(3).to(x.device),
    lambda x: x.copy_(torch.zeros(3)),
    lambda x: x + torch.zeros(3),
    lambda x: x[[0, 2]],
    lambda x: torch.where(x > 0, x, torch.zeros(())),
]
FINE = [
    lambda x: x * 2.0 + torch.zeros(3, device=x.device),
    lambda x: x.masked_fill(x > 0, 0.0),
    lambda x: torch.where(x > 0, x, 0.0),
    lambda x: x * torch.ones(()),
    lambda x: torch.where(x > 0, x, torch.ones_like(x)),
    lambda x: x[..., 1:].to(torch.bfloat16).sum(),
]


def test_the_pretended_device_tells_read_backs_and_transfers(monkeypatch):
    with pretended_cuda(monkeypatch), no_transfers():
        for act in FINE:
            assert act(torch.ones(3, device=CUDA)).device == CUDA
        for act in READ_BACKS:
            with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
                act(torch.ones(3, device=CUDA))
        for act in TRANSFERS:
            with pytest.raises(Transfer):
                act(torch.ones(3, device=CUDA))


def test_the_pretended_backward_pass_gives_autograds_gradients():
    def gradients(run):
        torch.manual_seed(0)
        inputs, layer = torch.randn(4, 3), torch.nn.Linear(3, 6)
        scale = torch.nn.Parameter(torch.ones(6))
        first, second = (layer(inputs) * scale).chunk(2, dim=1)
        run(((first @ second.T).softmax(dim=1) * first.sum()).square().mean() + scale.sum())
        return [parameter.grad for parameter in (layer.weight, layer.bias, scale)]

    expected = gradients(lambda loss: torch.autograd.backward(loss))
    for found, wanted in zip(gradients(backward), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_rasteriser_without_triton_reads_nothing_back(monkeypatch):
    with pretended_cuda(monkeypatch):
        vertices = torch.empty(2, 50, 3, device=CUDA, requires_grad=True)
        faces = torch.empty(90, 3, dtype=torch.int64, device=CUDA)
        tensor.select_faces(vertices.detach(), faces, 64, 48)
        with no_transfers():
            index = tensor.select_faces(vertices.detach(), faces, 64, 48)
            barycentric, depth = tensor.locate(index, vertices, faces)
            backward(barycentric.sum() + depth.sum())
        assert vertices.grad is not None
        assert vertices.grad.device == CUDA
