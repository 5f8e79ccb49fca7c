"""The encoder: the official code layout, the initial codes, the weight file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from deca_model.heads import load_head
from deca_model.losses.landmarks import landmark_loss
from deca_model.networks.codes import CODE_SIZES, Codes, code_slice, split_codes
from deca_model.networks.encoder import (
    ImageEncoder,
    coarse_encoder,
    detail_encoder,
    framing_camera,
)
from deca_model.networks.model import Deca
from deca_model.render.camera import project
from deca_model.settings.groups import EncoderSettings, ModelSettings, RunSettings
from manifests.errors import UsageError

SMALL = EncoderSettings(backbone="resnet18")
CAMERA = torch.tensor([9.0, 0.01, -0.02])


def test_codes_have_the_official_sizes_and_order() -> None:
    flat = torch.arange(2 * 236).float().view(2, 236)
    codes = split_codes(flat)
    assert [tuple(part.shape) for part in codes] == [(2, 100), (2, 50), (2, 50), (2, 6), (2, 3), (2, 9, 3)]
    assert codes.camera[0].tolist() == [206, 207, 208]
    assert codes.light[0, 1].tolist() == [212, 213, 214]
    assert torch.equal(torch.cat([part.flatten(1) for part in codes], dim=1), flat)
    assert code_slice("pose") == slice(200, 206)
    assert tuple(CODE_SIZES) == Codes._fields


def test_layers_are_the_official_ones() -> None:
    with torch.device("meta"):
        encoder = ImageEncoder(236, EncoderSettings())
    shapes = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
    assert shapes["encoder.conv1.weight"] == (64, 3, 7, 7)
    assert shapes["encoder.layer4.2.conv3.weight"] == (2048, 512, 1, 1)
    assert shapes["layers.0.weight"] == (1024, 2048)
    assert shapes["layers.2.weight"] == (236, 1024)
    assert shapes.pop("gains") == (236,)  # ours: the factors that the weights were trained with
    assert all(key.startswith(("encoder.", "layers.")) for key in shapes)
    assert not any("fc" in key for key in shapes)


def test_start_frames_the_head_with_neutral_pose_and_white_light() -> None:
    torch.manual_seed(0)
    codes = split_codes(coarse_encoder(SMALL, CAMERA)(torch.rand(4, 3, 64, 64)))
    assert torch.allclose(codes.camera, CAMERA.expand(4, 3), atol=0.1, rtol=0)
    assert codes.camera[:, 1:].sub(CAMERA[1:]).abs().max() < 0.003
    assert codes.pose.abs().max() < 0.05
    assert codes.shape.abs().max() < 0.1
    assert codes.light[:, 0].sub((4 * torch.pi) ** 0.5).abs().max() < 0.1


def test_framing_camera_follows_the_crop_rule() -> None:
    landmarks = torch.zeros(68, 3)
    landmarks[:2, :2] = torch.tensor([[-0.06, 0.10], [0.10, 0.22]])
    landmarks[2:] = landmarks[:1]
    seen = project(landmarks[None], framing_camera(landmarks)[None])[0]
    low, high = seen[:, :2].amin(0), seen[:, :2].amax(0)
    assert torch.allclose(low, -high, atol=1e-6)
    side_over_box = 2 / (high - low).mean()
    assert float(side_over_box) == pytest.approx(1.6)


def test_weights_of_a_file_are_used(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    donor = resnet18(weights=None)
    torch.save(donor.state_dict(), tmp_path / "resnet18.pth")
    encoder = detail_encoder(EncoderSettings(backbone="resnet18", weights=tmp_path / "resnet18.pth"))
    assert isinstance(encoder.encoder.conv1, nn.Conv2d)
    assert torch.equal(encoder.encoder.conv1.weight, donor.conv1.weight)
    assert encoder(torch.rand(2, 3, 64, 64)).shape == (2, 128)


@pytest.mark.parametrize("content", [None, b"no state dict", "other"])
def test_wrong_weights_are_one_sentence(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "weights.pth"
    if content == "other":
        torch.save({"conv1.weight": torch.zeros(1)}, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"weights\.pth") as caught:
        detail_encoder(EncoderSettings(backbone="resnet18", weights=path))
    assert "\n" not in str(caught.value)


def test_a_pickle_in_the_weight_file_is_not_executed(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"conv1.weight": Evil()}, tmp_path / "weights.pth", pickle_module=pickle)
    with pytest.raises(UsageError):
        detail_encoder(EncoderSettings(backbone="resnet18", weights=tmp_path / "weights.pth"))
    assert not (tmp_path / "executed").exists()


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    encoder = coarse_encoder(SMALL, CAMERA)
    encoder(torch.rand(2, 3, 64, 64)).square().mean().backward()
    missing = [name for name, parameter in encoder.named_parameters() if parameter.grad is None]
    assert not missing


MIRROR = torch.tensor([1.0, -1, -1, 1, -1, -1])
IBUG_SWAP = [
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
]  # fmt: skip


@pytest.mark.parametrize("backbone", ["small", "resnet18"])
def test_a_mirrored_picture_gets_the_mirrored_pose(backbone: str) -> None:
    torch.manual_seed(0)
    settings = EncoderSettings.model_validate({"backbone": backbone, "mirror": True})
    encoder = coarse_encoder(settings, CAMERA).eval()
    last = encoder.layers[2]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, 0.0, 10.0)  # large weights: at the start all rotations are nearly 0
    picture = torch.rand(3, 3, 64, 64)
    seen, mirrored = split_codes(encoder(picture)), split_codes(encoder(picture.flip(-1)))
    assert seen.pose[:, 1].abs().max() > 0.05
    assert torch.allclose(mirrored.pose, seen.pose * MIRROR, atol=1e-3)
    assert torch.allclose(mirrored.camera, seen.camera * torch.tensor([1.0, -1, 1]), atol=1e-3)
    assert not torch.allclose(mirrored.shape, seen.shape, atol=0.01)  # modes need not be symmetric


def test_mirrored_codes_put_the_landmarks_at_the_mirrored_place() -> None:
    head = load_head("open")
    pose = torch.tensor([[0.1, 0.5, -0.2, 0.1, 0.05, 0.02]])
    camera = torch.tensor([[9.0, 0.02, -0.01]])
    still = torch.zeros(1, 1)

    def landmarks(pose: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
        return project(head(still, still, pose).landmarks_2d, camera)[..., :2]

    flipped = landmarks(pose * MIRROR, camera * torch.tensor([1.0, -1, 1])) * torch.tensor([-1.0, 1])
    assert landmark_loss(flipped[:, IBUG_SWAP], landmarks(pose, camera)) < 0.002
    assert landmark_loss(flipped[:, IBUG_SWAP], landmarks(pose * 0.9, camera)) > 0.01  # the bound can fail


def test_small_net_takes_other_sizes_and_refuses_a_weight_file(tmp_path: Path) -> None:
    encoder = detail_encoder(EncoderSettings(backbone="small"))
    assert encoder(torch.rand(2, 3, 112, 112)).shape == (2, 128)
    with pytest.raises(ValueError, match="leave out weights"):
        EncoderSettings(backbone="small", weights=tmp_path / "any.pth")


def test_a_framed_camera_follows_the_posed_head() -> None:
    def model(framed: bool) -> Deca:
        torch.manual_seed(0)
        encoder = EncoderSettings(backbone="small", framed=framed)
        made = Deca(ModelSettings(encoder=encoder, uv_size=32), RunSettings(device="cpu")).eval()
        last = made.coarse.layers[2]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias[code_slice("pose").start + 1] = 1.2  # a head that is turned
        return made

    with torch.no_grad():
        pictures = torch.rand(2, 3, 64, 64)
        still, framed = (each.pose(each.encode(pictures)) for each in (model(False), model(True)))
    assert torch.equal(still.codes.pose, framed.codes.pose)

    def box(landmarks: torch.Tensor) -> torch.Tensor:
        return torch.stack([landmarks.amin(dim=1), landmarks.amax(dim=1)])

    assert box(still.landmarks).sum(dim=0).abs().max() > 0.1  # the turned head is not in the middle
    assert box(framed.landmarks).sum(dim=0).abs().max() < 0.02
    low, high = box(framed.landmarks)
    assert torch.allclose(2 / (high - low).mean(dim=1), torch.tensor(1.6), atol=0.03)
