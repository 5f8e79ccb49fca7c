"""The image encoders: a ResNet and two linear layers, as in DECA: E_flame (236 numbers), E_detail (128).

The module's parameter names are those of the official checkpoint: ``encoder.*`` for the ResNet, ``layers.0``
and ``layers.2`` for the two linear layers.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from deca_model.files.torch_files import why_unreadable
from deca_model.networks.codes import CODE_SIZES, code_slice
from deca_model.networks.mesh_features import MeshFeatures
from deca_model.settings.groups import EncoderSettings
from manifests.errors import UsageError

DETAIL_SIZE = 128
_HIDDEN = 1024
_LAST_WEIGHT_STD = 1e-3
_SMALL_WIDTHS = (32, 64, 128, 128)
_SMALL_MAP, _SMALL_INPUT = 4, 64
_TYPICAL_CROP = 1.6  # the middle of the official crop range: side = 1.4 to 1.8 times the landmark box
# Factors on the outputs. A camera shift is a small number (metres), but Adam's first steps are equal for all
# outputs: without the factors the face would move too far before the shape can adapt. Chosen by trial: on
# rendered heads the landmark loss after 160 steps was 0.062 with them and 0.076 without.
_CAMERA_GAINS, _LIGHT_GAIN = (1.0, 0.05, 0.05), 0.5

_POSE_SIGNS, _CAMERA_SIGNS = (1.0, -1.0, -1.0, 1.0, -1.0, -1.0), (1.0, -1.0, 1.0)


class ImageEncoder(nn.Module):
    """A backbone and two linear layers on its features."""

    gains: Tensor

    def __init__(self, outputs: int, settings: EncoderSettings) -> None:
        """Build the network with random weights; the backbone may come from ``settings.weights``.

        Raises:
            UsageError: The weight file is missing or does not fit the backbone.
        """
        super().__init__()
        self.settings = settings
        self.encoder, features = _backbone(settings)
        self.layers = _two_layers(features, outputs)
        self.register_buffer("gains", torch.ones(outputs))  # saved: the weights were trained with them

    def forward(
        self,
        images: Tensor,  # (B, 3, H, W) RGB in [0, 1]; no other normalisation, as in the official network
    ) -> Tensor:  # (B, outputs)
        """The codes of the images, always float32."""
        return self.layers(self.encoder(images)).float() * self.gains

    def observer(self) -> tuple[str, nn.Module]:
        """The network that learns to see the photo, and its kind of backbone."""
        return self.settings.backbone, self.encoder


class MirroredEncoder(ImageEncoder):
    """E_flame on each image and on its mirror image.

    Head pose, jaw pose and camera are the mean of the first output and the mirrored second output. Mirroring
    changes the sign of y and z of an axis-angle rotation, and of the camera's x shift. The other codes come
    from the first output only, because a head's modes need not be symmetric.
    """

    pose_signs: Tensor  # (6,)
    camera_signs: Tensor  # (3,)

    def __init__(self, outputs: int, settings: EncoderSettings) -> None:
        super().__init__(outputs, settings)
        self.register_buffer("pose_signs", torch.tensor(_POSE_SIGNS), persistent=False)
        self.register_buffer("camera_signs", torch.tensor(_CAMERA_SIGNS), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """As ``ImageEncoder.forward``; (B, 3, H, W) to (B, 236)."""
        seen, mirrored = super().forward(torch.cat([images, images.flip(-1)])).chunk(2)
        pose, camera = code_slice("pose"), code_slice("camera")
        both = seen.clone()
        both[:, pose] = (seen[:, pose] + mirrored[:, pose] * self.pose_signs) / 2
        both[:, camera] = (seen[:, camera] + mirrored[:, camera] * self.camera_signs) / 2
        return both


class MeshEncoder(ImageEncoder):
    """E_flame on the places of the face's points, and on the photo for what they do not show.

    The global pose is the mesh's own plus a learned change. A second network looks at the photo and adds to
    shape, texture and light. It says nothing about expression, pose and camera: what it could learn about
    them from a few thousand photos is less exact than the points. All of it is in float32: both networks are
    small, and bfloat16 would round lids and lips away.
    """

    seen: Tensor  # (236,) 1 for the codes that the second network adds to

    def __init__(self, outputs: int, settings: EncoderSettings) -> None:
        super().__init__(outputs, settings)
        self.picture, features = _small_backbone()
        self.picture_layers = _two_layers(features, outputs)
        seen = torch.zeros(outputs)
        for name in ("shape", "texture", "light"):
            seen[code_slice(name)] = 1.0
        self.register_buffer("seen", seen, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """As ``ImageEncoder.forward``; (B, 3, H, W) to (B, 236)."""
        with torch.autocast(images.device.type, enabled=False):
            features = self.encoder(images)
            small = interpolate(images, (_SMALL_INPUT, _SMALL_INPUT), mode="bilinear", antialias=True)
            added = self.picture_layers(self.picture(small)) * self.seen
            codes = (self.layers(features) + added) * self.gains
        first = code_slice("pose").start
        turn, rest = features[:, :3], codes.shape[1] - first - 3
        return codes + pad(turn, (first, rest))

    def observer(self) -> tuple[str, nn.Module]:
        """As ``ImageEncoder.observer``: the second network; the points come from one that does not learn."""
        return "small", self.picture


def coarse_encoder(
    settings: EncoderSettings,
    initial_camera: Tensor,  # (3,)
) -> ImageEncoder:
    """E_flame: images to 236 numbers; ``codes.split_codes`` splits them.

    The last layer starts with small weights and with a bias that gives the mean head, the neutral pose, a
    camera that frames the head as the crop rule does, and white light from all directions. So the first
    renders already cover the face, which saves the first epochs. With a bias of zero, the camera's scale
    would be zero, and the pose would get no gradient.

    Args:
        settings: The backbone.
        initial_camera: ``framing_camera`` of the mean head.
    """
    kind = MirroredEncoder if settings.mirror else ImageEncoder
    if settings.backbone == "mesh":
        kind = MeshEncoder
    encoder = kind(sum(CODE_SIZES.values()), settings)
    gains = encoder.gains
    gains[code_slice("camera")] = torch.tensor(_CAMERA_GAINS)
    gains[code_slice("light")] = _LIGHT_GAIN
    last = encoder.layers[2]
    assert isinstance(last, nn.Linear)
    start = torch.zeros_like(last.bias)
    start[code_slice("camera")] = initial_camera.detach().float().cpu()
    start[code_slice("light")][:3] = math.sqrt(4 * math.pi)  # the constant harmonic's inverse: shading 1
    with torch.no_grad():
        last.weight.normal_(0.0, _LAST_WEIGHT_STD)
        last.bias.copy_(start / gains)
        if isinstance(encoder, MeshEncoder):
            for parameter in encoder.picture_layers[2].parameters():
                parameter.normal_(0.0, _LAST_WEIGHT_STD)
    return encoder


def detail_encoder(settings: EncoderSettings) -> ImageEncoder:
    """E_detail: images to the 128-number detail code."""
    return ImageEncoder(DETAIL_SIZE, settings)


def framing_camera(landmarks: Tensor) -> Tensor:  # (..., 68, 3) head space -> (..., 3)
    """The camera that frames a head as the official crop rule frames a face.

    The landmark box is in the middle of the image, and the image's side is 1.6 times the mean of the box's
    width and height (the crop rule: 1.4 to 1.8 times).
    """
    low, high = landmarks[..., :2].amin(dim=-2), landmarks[..., :2].amax(dim=-2)
    scale = 2 / (_TYPICAL_CROP * (high - low).mean(dim=-1, keepdim=True))
    return torch.cat([scale, -(low + high) / 2], dim=-1)


def _backbone(settings: EncoderSettings) -> tuple[nn.Module, int]:
    """The backbone without its classifier, and the number of its features."""
    if settings.backbone == "small":
        return _small_backbone()
    if settings.backbone == "mesh":
        points = MeshFeatures()
        return points, points.count
    from torchvision.models import resnet

    network = getattr(resnet, settings.backbone)(weights=None)
    features = network.fc.in_features
    network.fc = nn.Identity()
    if settings.weights is not None:
        _load_backbone(network, settings.weights, settings.backbone)
    return network, features


def _two_layers(features: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, outputs))


def _small_backbone() -> tuple[nn.Module, int]:
    """Four convolutions of stride 2; the last map (4 x 4) is not averaged, because positions show the pose.

    In 300 steps of 8 faces it learns more than a ResNet-18, at a fifth of the cost (notes/tried.md).
    """
    layers: list[nn.Module] = []
    channels = 3
    for width in _SMALL_WIDTHS:
        convolution = nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), nn.GELU()]
        channels = width
    pool = nn.AdaptiveAvgPool2d(_SMALL_MAP)  # no change at 64 pixels
    return nn.Sequential(*layers, pool, nn.Flatten()), channels * _SMALL_MAP**2


def _load_backbone(network: nn.Module, path: Path, name: str) -> None:
    if not path.is_file():
        raise UsageError(f"the backbone weights {path} do not exist: give a {name} state dict of torchvision")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = {key: value for key, value in state.items() if not key.startswith("fc.")}
        network.load_state_dict(state)
    except Exception as error:  # torch raises many types here; to the user they all mean the same
        raise UsageError(
            f"{path} holds no {name} state dict of torchvision ({why_unreadable(error)}): give another file"
        ) from error
