"""Each weighted loss has the official trainer's value and gradient at the official batch size.

The official code (DECA at a11554a, EMOCA at fef5472) was run once on the inputs below; its numbers are
recorded here. A pair is the weighted loss and the norm of its gradient by its first argument.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from deca_model.losses import detail
from deca_model.losses.emotion import EmotionFeatures, emotion_loss
from deca_model.losses.id_mrf import id_mrf_loss
from deca_model.losses.landmarks import eye_loss, landmark_loss, lip_loss
from deca_model.losses.photometric import photometric_loss
from deca_model.losses.regularizers import code_prior, white_light_prior
from deca_model.losses.vggface2 import caffe_resnet50
from deca_model.settings.groups import LossSettings

WEIGHTS = LossSettings()
COARSE, DETAIL = 64, 36
"""Images in the official batches: 8 subjects x 4 and 6 x 3, doubled for the consistency losses."""


class Official(NamedTuple):
    """What the official code gave."""

    value: float
    gradient: float


OFFICIAL = {
    "photometric": Official(0.213104, 0.001661104),
    "landmark": Official(0.03183081, 0.01151599),
    "eye": Official(0.04757514, 0.08838835),
    "lip": Official(0.02655304, 0.05103104),
    "shape_prior": Official(0.1599731, 0.005656379),
    "expression_prior": Official(0.07999597, 0.0039999),
    "texture_prior": Official(0.07999597, 0.0039999),
    "light_prior": Official(0.07828871, 0.01346194),
    "detail_photometric": Official(0.1939409, 0.002942457),
    "id_mrf": Official(27.80997, 1.526073),
    "displacement": Official(3.183131e-05, 3.251326e-06),
    "symmetry": Official(82.86963, 6.707038),
    # The official sums leave out the map's border, so at this small size the gradients differ by 1.6 %.
    "smoothness": Official(0.001899612, 8.378847e-06),
}


def waves(*shape: int, step: float) -> Tensor:
    """Numbers from -1 to 1 that every machine draws alike."""
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) * step).sin().reshape(shape).float()


def discs(count: int, side: int) -> Tensor:  # (count, 1, side, side)
    """Masks: discs that grow from image to image."""
    axis = torch.linspace(-1, 1, side)
    radius = torch.linspace(0.3, 0.8, count).view(-1, 1, 1, 1)
    return ((axis[:, None].square() + (axis - 0.2).square()).sqrt() < radius).float()


def features(images: Tensor) -> tuple[Tensor, Tensor]:
    """Two feature maps, in place of VGG-19's."""
    small = avg_pool2d(images, 4)
    maps = []
    for channels, step in ((16, 0.9), (32, 1.5)):
        mixed = torch.einsum("oc,bchw->bohw", waves(channels, 3, step=step) + 0.2, small).relu()
        maps.append(mixed + 0.1 * (waves(channels, step=1.7) + 1.1).view(1, -1, 1, 1))
    return maps[0], maps[1]


def losses() -> dict[str, tuple[Tensor, Tensor]]:
    """Each loss, unweighted, and the tensor that the official gradient is by."""
    coarse, fine = ((waves(count, 3, 32, 32, step=0.11) + 1) / 2 for count in (COARSE, DETAIL))
    photos, targets = ((waves(count, 3, 32, 32, step=0.37) + 1) / 2 for count in (COARSE, DETAIL))
    landmarks = waves(COARSE, 68, 2, step=0.7) / 2
    truth = landmarks + waves(COARSE, 68, 2, step=1.3) * 0.05
    codes = {name: waves(COARSE, size, step=0.9) for name, size in (("long", 100), ("short", 50))}
    light, displacement = waves(COARSE, 9, 3, step=0.5), waves(DETAIL, 1, 256, 256, step=0.013) * 0.01
    shading = waves(DETAIL, 3, 64, 64, step=0.21)
    inputs = (coarse, fine, landmarks, light, displacement, shading, *codes.values())
    for value in inputs:
        value.requires_grad_()
    seen, drawn = discs(COARSE, 32), discs(COARSE, 32).flip(0)
    visible, everyone = discs(DETAIL, 32), torch.ones(DETAIL, dtype=torch.bool)
    pictures = photometric_loss(coarse, photos, drawn, seen, torch.ones(COARSE, dtype=torch.bool))
    return {
        "photometric": (pictures.value, coarse),
        "landmark": (landmark_loss(landmarks, truth), landmarks),
        "eye": (eye_loss(landmarks, truth), landmarks),
        "lip": (lip_loss(landmarks, truth), landmarks),
        "shape_prior": (code_prior(codes["long"]), codes["long"]),
        "expression_prior": (code_prior(codes["short"]), codes["short"]),
        "texture_prior": (code_prior(codes["short"]), codes["short"]),
        "light_prior": (white_light_prior(light), light),
        "detail_photometric": (detail.uv_photometric_loss(fine, targets, visible), fine),
        "id_mrf": (id_mrf_loss(fine * visible, targets * visible, features, everyone), fine),
        "displacement": (detail.displacement_prior(displacement), displacement),
        "symmetry": (detail.soft_symmetry(displacement, discs(DETAIL, 256)), displacement),
        "smoothness": (detail.shading_smoothness(shading), shading),
    }


@pytest.mark.parametrize("name", OFFICIAL)
def test_each_term_pulls_as_the_official_one(name: str) -> None:
    loss, argument = losses()[name]
    weighted = getattr(WEIGHTS, name) * loss
    (gradient,) = torch.autograd.grad(weighted, argument)
    # Pixels of the skin mask that the head does not cover are in the official value, but have no gradient.
    if name != "photometric":
        assert weighted.item() == pytest.approx(OFFICIAL[name].value, rel=1e-4)
    rel = 0.02 if name == "smoothness" else 1e-4
    assert gradient.norm().item() == pytest.approx(OFFICIAL[name].gradient, rel=rel)


def noise(shape: torch.Size, seed: int) -> Tensor:
    """Uniform numbers from -1 to 1 that every machine draws alike."""
    count = torch.arange(shape.numel(), dtype=torch.float64)
    return (((count * 12.9898 + seed * 78.233).sin() * 43758.5453) % 1 * 2 - 1).reshape(shape).float()


def fixed_weights(network: nn.Module) -> nn.Module:
    """Weights that every machine draws alike, under the names of torchvision's ResNet-50."""
    for number, (name, value) in enumerate(network.state_dict().items()):
        if value.dim() == 4:
            value.copy_(noise(value.shape, number) * (6 / value[0].numel()) ** 0.5)
        elif name.endswith(("running_var", "weight")):
            value.fill_(0.2 if name.endswith("bn3.weight") else 1)
        elif value.dim() == 1:
            value.copy_(waves(*value.shape, step=0.3) * 0.05)
    return network


@torch.no_grad()
def test_emotion_features_are_emocas() -> None:
    network = EmotionFeatures(fixed_weights(caffe_resnet50()))
    first, second = ((waves(1, 3, 224, 224, step=step) + 1) / 2 for step in (0.0371, 0.0113))
    expected = torch.tensor([0.7761, 0.4862, 0.4261, 1.7179, 1.0944, 0.2175])
    assert torch.allclose(network(first)[0, :6], expected, atol=1e-4)
    assert emotion_loss(first, second, network).item() == pytest.approx(0.0540, rel=1e-2)
