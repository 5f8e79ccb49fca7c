"""The features of the face mesh: poses, parts, and what the encoder makes of them."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from deca_model.heads.rotations import axis_angle_to_matrix
from deca_model.networks.codes import split_codes
from deca_model.networks.encoder import MeshEncoder, coarse_encoder
from deca_model.networks.mesh_features import MeshFeatures, aligned
from deca_model.settings.groups import EncoderSettings
from manifests.errors import UsageError

skimage = pytest.importorskip("skimage", reason="needs the photo of scikit-image")
CAMERA = torch.tensor([9.0, 0.01, -0.02])
SETTINGS = EncoderSettings(backbone="mesh", framed=True)


@pytest.fixture(scope="module")
def features() -> MeshFeatures:
    return MeshFeatures().eval()


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """(112, 112, 3), as the loader cuts it: the face's side is 1.6 times that of its landmarks."""
    return cv2.resize(skimage.data.astronaut()[20:220, 120:320], (112, 112), interpolation=cv2.INTER_AREA)


def batch(*photos: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(photos)).permute(0, 3, 1, 2).float() / 255


def turned(photo: np.ndarray, degrees: float) -> np.ndarray:
    """Counterclockwise."""
    matrix = cv2.getRotationMatrix2D((55.5, 55.5), degrees, 1.0)
    return cv2.warpAffine(photo, matrix, (112, 112), borderMode=cv2.BORDER_REPLICATE)


def test_alignment_takes_pose_place_and_size_away(features: MeshFeatures) -> None:
    model = features.canonical
    turn = axis_angle_to_matrix(torch.tensor([[0.2, -0.9, 0.1], [0.0, 0.0, 1.2]]))
    middle, size = torch.tensor([[0.1, 0.2, -0.3], [0.0, 1.0, 0.0]]), torch.tensor([[0.5], [3.0]])
    found = aligned(model @ turn.mT * size[..., None] + middle[:, None], model)
    torch.testing.assert_close(found.rotation, turn, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.points, model.expand(2, -1, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.middle, middle, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.size, size, rtol=1e-5, atol=0)


def test_alignment_never_mirrors_a_face(features: MeshFeatures) -> None:
    found = aligned(features.canonical[None] * torch.tensor([-1.0, 1, 1]), features.canonical)
    assert torch.linalg.det(found.rotation).item() == pytest.approx(1, abs=1e-5)


def test_rotations_of_photos_are_those_of_heads(features: MeshFeatures, face: np.ndarray) -> None:
    upright, left, right, mirrored = features(
        batch(face, turned(face, 20), turned(face, -20), face[:, ::-1].copy())
    )[:, :3]
    assert upright.abs().max() < 0.5
    # counterclockwise in the photo is a positive rotation about the axis towards the viewer
    assert (left - upright)[2].item() == pytest.approx(np.radians(20), abs=0.08)
    assert (right - upright)[2].item() == pytest.approx(-np.radians(20), abs=0.08)
    assert (mirrored - upright * torch.tensor([1.0, -1, -1])).abs().max() < 0.08


def test_features_vary_by_about_one_and_pass_no_gradient(features: MeshFeatures, face: np.ndarray) -> None:
    photos = batch(face, turned(face, 10)).requires_grad_()
    found = features(photos)
    assert found.shape == (2, features.count)
    assert not found.requires_grad
    assert found[:, 12:].abs().mean() < 2
    assert not list(features.parameters())


def test_only_points_say_expression_pose_and_camera(face: np.ndarray) -> None:
    torch.manual_seed(0)
    encoder = coarse_encoder(SETTINGS, CAMERA)
    assert isinstance(encoder, MeshEncoder)
    photos = batch(face, face)
    rough = encoder.encoder(photos)[:, :3]
    codes = split_codes(encoder(photos))
    torch.testing.assert_close(codes.pose[:, :3], rough, rtol=0, atol=0.1)  # from the start
    assert codes.camera.sub(CAMERA).abs().max() < 0.1
    for parameter in encoder.picture_layers.parameters():
        torch.nn.init.normal_(parameter)
    changed = split_codes(encoder(photos))
    for name in ("expression", "pose", "camera"):
        torch.testing.assert_close(getattr(changed, name), getattr(codes, name))
    for name in ("shape", "texture", "light"):
        assert (getattr(changed, name) - getattr(codes, name)).abs().mean() > 0.1


def test_weights_of_the_network_are_saved_but_do_not_learn(face: np.ndarray) -> None:
    encoder = coarse_encoder(SETTINGS, CAMERA)
    saved = encoder.state_dict()
    inside = [name for name in saved if name.startswith("encoder.network.")]
    assert len(inside) > 100
    assert not any(name.startswith("encoder.") for name, _ in encoder.named_parameters())
    encoder(batch(face)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    other = coarse_encoder(SETTINGS, CAMERA)
    other.load_state_dict(saved)
    assert torch.equal(other.eval()(batch(face)), encoder.eval()(batch(face)))


def test_without_mediapipe_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deca_data.backends.mediapipe.mesh_network", None)
    with pytest.raises(UsageError, match=r"needs the package mediapipe.*backbone=small"):
        MeshFeatures()


@pytest.mark.parametrize("wrong", [{"mirror": True}, {"weights": "resnet.pth"}])
def test_settings_that_do_not_fit_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="leave"):
        EncoderSettings.model_validate({"backbone": "mesh", **wrong})


def test_bfloat16_leaves_the_codes_as_they_are(face: np.ndarray) -> None:
    encoder = coarse_encoder(SETTINGS, CAMERA).eval()
    with torch.no_grad():
        plain = encoder(batch(face))
        with torch.autocast("cpu", torch.bfloat16):
            reduced = encoder(batch(face))
    assert reduced.dtype == torch.float32
    assert torch.equal(reduced, plain)
