"""Identity, ID-MRF and emotion: frozen networks, finite losses, safe reading of files."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deca_model.losses import id_mrf
from deca_model.losses.emotion import EmotionFeatures, emotion_loss, load_emotion_features
from deca_model.losses.frozen import keep_weights_in
from deca_model.losses.identity import face_overlay, identity_loss
from deca_model.losses.vggface2 import FaceFeatures, caffe_resnet50, load_face_features
from manifests.errors import UsageError


def _images(seed: int, count: int = 2, size: int = 32) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def _colour(images: Tensor) -> Tensor:
    return images.mean(dim=(2, 3))


@pytest.fixture(scope="module")
def vgg() -> id_mrf.VggFeatures:
    torch.manual_seed(0)
    return id_mrf.VggFeatures(id_mrf.vgg19_layers())


@pytest.fixture(scope="module")
def face_net() -> FaceFeatures:
    torch.manual_seed(0)
    return FaceFeatures(caffe_resnet50())


def test_identity_by_hand() -> None:
    red, green = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    red[:, 0], green[:, 1] = 1, 1
    assert identity_loss(red, green, _colour).item() == pytest.approx(1)
    assert identity_loss(red, 0.3 * red, _colour).item() == pytest.approx(0, abs=1e-6)
    assert identity_loss(red + green, green, _colour).item() == pytest.approx(1 - 0.5**0.5)
    both = identity_loss(torch.cat([red, green]), torch.cat([green, green]), _colour)
    assert both.item() == pytest.approx(0.5)


def test_overlay_shows_the_photo_outside_the_face() -> None:
    photo, mask = _images(0, 1, 2), torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    overlay = face_overlay(torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 0.8), photo, mask)
    assert overlay[0, :, 0, 0].tolist() == pytest.approx([0.4] * 3)
    assert torch.equal(overlay[..., 1, :], photo[..., 1, :])


def test_face_features_are_normalised_once_and_cropped(face_net: FaceFeatures) -> None:
    seen: list[Tensor] = []
    probe = FaceFeatures(nn.Identity())
    probe.network.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    images = torch.zeros(1, 3, 224, 224)
    images[:, 0] = 0.5  # red, which is the last channel of BGR
    images[:, :, :10], images[:, :, :, -10:] = 1.0, 1.0  # the border is cut off
    probe(images)
    expected = torch.tensor([-91.4953, -103.8827, 127.5 - 131.0912])
    assert seen[0].shape == (1, 3, 224, 224)
    assert torch.allclose(seen[0].amax(dim=(2, 3))[0], expected, atol=1e-3)
    assert face_net(images).shape == (1, 2048)


def test_perceptual_networks_are_frozen(face_net: FaceFeatures, vgg: id_mrf.VggFeatures) -> None:
    emotion = EmotionFeatures(caffe_resnet50())
    for network in (face_net, vgg, emotion):
        network.train()
        assert not any(module.training for module in network.modules())
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_identity_gradient_reaches_the_overlay_and_not_the_photo(face_net: FaceFeatures) -> None:
    overlay, photo = _images(0).requires_grad_(), _images(1).requires_grad_()
    identity_loss(overlay, photo, face_net).backward()
    assert overlay.grad is not None
    assert overlay.grad.isfinite().all()
    assert overlay.grad.abs().sum() > 0
    assert photo.grad is None
    assert all(parameter.grad is None for parameter in face_net.parameters())


def test_face_features_file_in_the_published_format(tmp_path: Path, face_net: FaceFeatures) -> None:
    path = tmp_path / "resnet50_ft_weight.pkl"
    state = face_net.network.state_dict()
    weights: dict[str, Any] = {k: v.numpy() for k, v in state.items() if "num_batches" not in k}
    weights |= {"fc.weight": np.zeros((8631, 2), np.float32), "fc.bias": np.zeros(8631, np.float32)}
    path.write_bytes(pickle.dumps(weights, 2))
    assert torch.equal(load_face_features(path)(_images(0)), face_net(_images(0)))
    path.write_bytes(pickle.dumps({"conv1.weight": np.zeros((3, 3))}, 2))
    with pytest.raises(UsageError, match=r"'conv1\.weight'.*shape"):
        load_face_features(path)
    path.write_bytes(pickle.dumps({"conv1.weight": np.zeros((64, 3, 7, 7))}, 2))
    with pytest.raises(UsageError, match="lacks 'bn1"):
        load_face_features(path)
    with pytest.raises(UsageError, match="does not exist"):
        load_face_features(tmp_path / "missing.pkl")


def test_caffes_strides() -> None:
    network = caffe_resnet50()
    assert network.layer2[0].conv1.stride == (2, 2)  # type: ignore[index,union-attr]
    assert network.layer2[0].conv2.stride == (1, 1)  # type: ignore[index,union-attr]
    assert network.maxpool(torch.zeros(1, 1, 112, 112)).shape[-1] == 56  # type: ignore[operator]


def test_mrf_term_by_hand() -> None:
    """Two patches of two channels, generated in swapped places: every target patch is matched exactly."""
    target = torch.tensor([[[[1.0, -1.0]], [[-1.0, 1.0]]]])
    assert id_mrf.mrf_term(target.flip(-1), target).item() == pytest.approx(0, abs=1e-4)
    # Both generated patches equal the first: the share of the second target is exp(2 - 2e5) = 0, so the
    # mean of the best shares is 1 / 2.
    same = target[..., :1].expand(-1, -1, -1, 2)
    assert id_mrf.mrf_term(same, target).item() == pytest.approx(np.log(2), abs=1e-4)


def test_mrf_term_ignores_mirroring_and_the_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(2, 3, 8, 4, 4, generator=generator).unbind(0)
    value = id_mrf.mrf_term(ours, theirs)
    assert torch.allclose(id_mrf.mrf_term(ours.flip(-1), theirs.flip(-1)), value)
    assert torch.allclose(id_mrf.mrf_term(ours[[2, 0, 1]], theirs[[2, 0, 1]]), value[[2, 0, 1]])
    assert id_mrf.mrf_term(theirs, theirs).max() < 0.01 < value.min()


CASES = {
    "constant": lambda: (torch.full((1, 3, 32, 32), 0.5), torch.full((1, 3, 32, 32), 0.2)),
    "black": lambda: (torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 32)),
    "identical": lambda: (_images(0, 1, 32), _images(0, 1, 32)),
    "random": lambda: (_images(0, 1, 32), _images(1, 1, 32)),
    "half black": lambda: (_half(0), _half(1)),
}


def _half(seed: int) -> Tensor:
    return _images(seed, 1, 32) * (torch.arange(32) < 16)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_id_mrf_is_finite(vgg: id_mrf.VggFeatures, case: str, dtype: torch.dtype | None) -> None:
    """The official loss divides by the norm of flat patches and takes a logarithm, which gives NaN."""
    generated, target = CASES[case]()
    generated.requires_grad_()
    with torch.autocast("cpu", dtype=torch.float16, enabled=dtype is not None):
        loss = id_mrf.id_mrf_loss(generated, target, vgg, torch.ones(len(target), dtype=torch.bool))
    loss.backward()
    assert loss.isfinite()
    assert generated.grad is not None
    assert generated.grad.isfinite().all()
    if case == "random":
        assert generated.grad.abs().sum() > 0


def test_id_mrf_tells_images_apart_and_is_made_of_the_two_terms(vgg: id_mrf.VggFeatures) -> None:
    ours, theirs = _images(0), _images(1)
    everyone = torch.ones(len(ours), dtype=torch.bool)
    loss = id_mrf.id_mrf_loss(ours, theirs, vgg, everyone)
    assert id_mrf.id_mrf_loss(theirs, theirs, vgg, everyone) < 0.1 * loss
    first, second = (id_mrf.mrf_term(a, b) for a, b in zip(vgg(ours), vgg(theirs), strict=True))
    assert torch.isclose(loss, (first + 2 * second).mean())
    shapes = [tuple(part.shape[1:]) for part in vgg(ours)]
    assert shapes == [(256, 8, 8), (512, 4, 4)]


def test_id_mrf_takes_the_mean_of_the_counted_images(vgg: id_mrf.VggFeatures) -> None:
    """A photo without a mask has no visible texel; compared as black with black it would add a constant."""
    ours, theirs = _images(0, 2), _images(1, 2)
    alone = id_mrf.id_mrf_loss(ours[:1], theirs[:1], vgg, torch.tensor([True]))
    ours[1] = theirs[1] = 0
    assert torch.isclose(id_mrf.id_mrf_loss(ours, theirs, vgg, torch.tensor([True, False])), alone)
    assert id_mrf.id_mrf_loss(ours, theirs, vgg, torch.tensor([False, False])) == 0
    ours, theirs = (part[:1].repeat(3, 1, 1, 1) for part in (ours, theirs))
    assert torch.isclose(id_mrf.id_mrf_loss(ours, theirs, vgg, torch.ones(3, dtype=torch.bool)), alone)


def test_mrf_term_in_blocks_gives_the_same_values_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(4)
    ours, theirs = (torch.randn(5, 6, 4, 4, generator=generator) for _ in range(2))
    weight = torch.rand(5, generator=generator)
    results = []
    for whole, block in ((1 << 26, 1 << 24), (4 * 256, 2 * 256), (0, 1)):  # all, blocks of 2, blocks of 1
        monkeypatch.setattr(id_mrf, "_MOST_DISTANCES", whole)
        monkeypatch.setattr(id_mrf, "_BLOCK_DISTANCES", block)
        ours.grad = None
        found = id_mrf.blocked_mrf_term(ours.requires_grad_(), theirs)
        (found * weight).sum().backward()
        results.append((found.detach(), ours.grad))
    for found, gradient in results[1:]:
        torch.testing.assert_close(found, results[0][0], rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(gradient, results[0][1], rtol=1e-5, atol=1e-7)


def test_the_features_of_doubled_photos_are_computed_once(
    vgg: id_mrf.VggFeatures, face_net: FaceFeatures
) -> None:
    ours, photos = _images(5, 4), _images(6, 2)
    counted = torch.tensor([True, False, True, True])
    seen: list[int] = []
    with torch.no_grad():
        for loss, network, more in (
            (identity_loss, face_net, ()),
            (emotion_loss, EmotionFeatures(face_net.network), ()),
            (id_mrf.id_mrf_loss, vgg, (counted,)),
        ):
            hook = network.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
            once = loss(ours, photos, network, *more)
            hook.remove()
            twice = loss(ours, torch.cat([photos, photos]), network, *more)
            torch.testing.assert_close(once, twice, rtol=1e-4, atol=1e-6)
    assert sorted(seen) == [2, 2, 2, 4, 4, 4]


def test_weights_in_bfloat16_change_no_result_of_autocast(face_net: FaceFeatures) -> None:
    images = _images(7, 2, 64)
    copied = copy.deepcopy(face_net)
    keep_weights_in(torch.bfloat16, [copied])
    assert copied.network.conv1.weight.dtype == torch.bfloat16  # type: ignore[union-attr]
    assert copied.network.bn1.weight.dtype == torch.float32  # type: ignore[union-attr]
    gradients = []
    for network in (face_net, copied):
        seen = images.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            features = network(seen)
        features.float().square().sum().backward()
        gradients.append((features.detach(), seen.grad))
    for expected, found in zip(*gradients, strict=True):
        assert torch.equal(expected, found)


def test_vgg_file(tmp_path: Path, vgg: id_mrf.VggFeatures) -> None:
    path = tmp_path / "vgg19.pth"
    torch.save(
        {f"features.{k}": v for k, v in vgg.network.state_dict().items()}
        | {"classifier.0.bias": torch.zeros(2)},
        path,
    )
    loaded = id_mrf.load_vgg_features(path)
    assert torch.equal(loaded(_images(0))[1], vgg(_images(0))[1])
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(UsageError, match=r"vgg19\.pth holds no VGG-19"):
        id_mrf.load_vgg_features(path)
    with pytest.raises(UsageError, match="do not exist"):
        id_mrf.load_vgg_features(tmp_path / "missing.pth")


def test_emotion_by_hand_and_gradients() -> None:
    rendered, photo = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    rendered[:, 0] = 0.6
    assert emotion_loss(rendered, photo, _colour).item() == pytest.approx(0.12)
    rendered, photo = _images(0).requires_grad_(), _images(1).requires_grad_()
    emotion_loss(rendered, photo, _colour).backward()
    assert rendered.grad is not None
    assert photo.grad is None


@pytest.mark.parametrize("prefix", ["", "module.", "model.backbone."])
def test_emotion_file(tmp_path: Path, prefix: str) -> None:
    torch.manual_seed(0)
    donor = caffe_resnet50()
    path = tmp_path / "deca-epoch=01-val_loss_total/dataloader_idx_0=1.27607644.ckpt"
    path.parent.mkdir()
    for other in ("dataloader_idx_0=1.3.ckpt", "last.ckpt"):
        torch.save({}, path.with_name(other))
    torch.save({"state_dict": {prefix + key: value for key, value in donor.state_dict().items()}}, path)
    for given in (path, tmp_path):  # of a folder, the checkpoint with the smallest loss
        loaded = load_emotion_features(given).network.state_dict()
        assert all(torch.equal(loaded[key], donor.state_dict()[key]) for key in loaded)


def test_missing_emotion_network_is_an_error_and_not_a_silent_zero(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"loss\.emotion=0"):
        load_emotion_features(tmp_path / "missing.ckpt")
    with pytest.raises(UsageError, match="no checkpoint with a loss in its name"):
        load_emotion_features(tmp_path)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(UsageError, match="no ResNet-50"):
        load_emotion_features(tmp_path / "other.pth")
