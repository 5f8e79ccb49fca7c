"""The VGGFace2 ResNet-50 (Cao et al. 2018) whose features distinguish persons.

The published weights were converted from Caffe, which differs from torchvision's ResNet-50 in two places: a
block halves the resolution in its first 1 x 1 convolution, and the first pooling has no padding but rounds
up.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from deca_model.files.restricted_pickle import as_array, load_restricted
from deca_model.files.state_dicts import check_state
from deca_model.losses.frozen import FrozenFeatures
from manifests.errors import UsageError

_MEAN_BGR = (91.4953, 103.8827, 131.0912)
_SIDE = 224
_BORDER = 10  # pixels of 224 that are cut off on each side


class FaceFeatures(FrozenFeatures):
    """Images to the 2048 pooled features."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, _MEAN_BGR, std=(1.0, 1.0, 1.0))

    def forward(self, images: Tensor) -> Tensor:  # (B, 3, H, W) RGB in [0, 1] -> (B, 2048)
        """Features of the encoder's input images; this network's normalisation is applied here."""
        border_y, border_x = (round(side * _BORDER / _SIDE) for side in images.shape[2:])
        inner = images[:, :, border_y : images.shape[2] - border_y, border_x : images.shape[3] - border_x]
        inner = interpolate(inner, (_SIDE, _SIDE), mode="bilinear", align_corners=False)
        return super().forward(inner.flip(1) * 255)


def load_face_features(path: Path) -> FaceFeatures:
    """Load ``resnet50_ft_weight.pkl`` as published (a pickle of arrays), without executing it.

    Raises:
        UsageError: The file is missing or holds another network.
    """
    hint = "give VGGFace2's resnet50_ft_weight.pkl"
    raw = load_restricted(path)
    if not isinstance(raw, dict):
        raise UsageError(f"{path} holds no named weights: {hint}")
    network = caffe_resnet50()
    needed = raw.keys() & network.state_dict().keys()
    state = {name: torch.from_numpy(as_array(raw[name], name, path).copy()).float() for name in needed}
    check_state(state, network, str(path), hint)
    network.load_state_dict(state, strict=False)
    return FaceFeatures(network)


def caffe_resnet50() -> nn.Module:
    """A ResNet-50 with Caffe's strides and pooling, without its classifier."""
    from torchvision.models import resnet50

    network = resnet50(weights=None)
    network.maxpool = nn.MaxPool2d(3, 2, padding=0, ceil_mode=True)
    network.fc = nn.Identity()  # type: ignore[assignment]
    for layer in (network.layer2, network.layer3, network.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)  # type: ignore[union-attr]
    return network
