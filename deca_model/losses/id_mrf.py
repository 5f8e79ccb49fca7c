"""The implicit diversified Markov random field loss (ID-MRF) on VGG-19 features.

Wang et al. 2018, "Image inpainting via generative multi-column convolutional neural networks",
equations 2 to 4: each patch of the generated features is compared with all patches of the target's; the
loss is small when every target patch is the best match of some generated patch. DECA uses it so that
details look sharp: the term of relu3_2 once (style) and that of relu4_2 twice (style and content). In its
code these names mean the activations after conv3_1 and conv4_1.

For flat patches the official code divides by zero and takes a logarithm, which gives NaN. Here divisors and
logarithms have a lower limit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from deca_model.files.torch_files import why_unreadable
from deca_model.losses.frozen import FrozenFeatures
from manifests.errors import UsageError

WEIGHTS = (1.0, 2.0)
"""Weights of the terms after conv3_1 (style) and after conv4_1 (style and content)."""
_STRETCH = 0.5
_BIAS = 1.0
_FLOOR = 1e-5
_MOST_DISTANCES, _BLOCK_DISTANCES = 1 << 26, 1 << 24  # 268 MB in one piece, else blocks of 67 MB
_TAPS = (11, 20)  # of torchvision's vgg19.features: the ReLUs after conv3_1 and conv4_1

Features = Callable[[Tensor], tuple[Tensor, ...]]


class VggFeatures(FrozenFeatures):
    """Images to the feature maps after conv3_1 and conv4_1."""

    network: nn.Sequential

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:  # (B, 3, H, W) RGB in [0, 1]
        """Features (B, 256, H / 4, W / 4) and (B, 512, H / 8, W / 8)."""
        value = (images - self.mean) / self.std
        found = []
        for index, layer in enumerate(self.network):
            value = layer(value)
            if index in _TAPS:
                found.append(value)
        return tuple(found)


def vgg19_layers() -> nn.Sequential:
    """The layers of VGG-19 that are needed, with random weights."""
    from torchvision.models import vgg19

    layers = list(vgg19(weights=None).features.children())[: _TAPS[-1] + 1]
    # not in place: else the next layer would change a feature map that was already returned
    return nn.Sequential(*[nn.ReLU() if isinstance(layer, nn.ReLU) else layer for layer in layers])


def load_vgg_features(path: Path) -> VggFeatures:
    """Load torchvision's ``vgg19-dcbb9e9d.pth``.

    Raises:
        UsageError: The file is missing or holds another network.
    """
    if not path.is_file():
        raise UsageError(f"the VGG-19 weights {path} do not exist: give torchvision's vgg19-dcbb9e9d.pth")
    with torch.device("meta"):
        layers = vgg19_layers()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        wanted = {key: state[f"features.{key}"].float() for key in layers.state_dict()}
        layers.load_state_dict(wanted, assign=True)
    except Exception as error:  # torch raises many types here; to the user they all mean the same
        raise UsageError(
            f"{path} holds no VGG-19 of torchvision ({why_unreadable(error)}): give another file"
        ) from error
    return VggFeatures(layers)


def id_mrf_loss(
    generated: Tensor,  # (B, 3, H, W) RGB in [0, 1]
    target: Tensor,  # (B, 3, H, W) RGB in [0, 1], or (B / k, 3, H, W) if they are the same k times
    features: Features,
    counted: Tensor,  # (B,) bool
) -> Tensor:  # ()
    """The weighted terms of the two feature maps, mean over the counted images.

    The target gets no gradient. Distances are computed in float32, also under autocast. The official trainer
    takes the sum over the batch, so its weight depends on the batch size.
    """
    with torch.no_grad():
        targets = features(target)
        targets = [torch.cat([found] * (len(generated) // len(found))) for found in targets]
    total = generated.new_zeros((), dtype=torch.float32)
    for ours, theirs, weight in zip(features(generated), targets, WEIGHTS, strict=True):
        with torch.autocast(generated.device.type, enabled=False):
            found = blocked_mrf_term(ours.float(), theirs.float())
        total = total + weight * found.masked_fill(~counted, 0).sum() / counted.sum().clamp(min=1)
    return total


def blocked_mrf_term(
    generated: Tensor,  # (B, C, H, W)
    target: Tensor,  # (B, C, H, W)
) -> Tensor:  # (B,)
    """``mrf_term``; if all distances together are too many, a few images at a time.

    The distances of a block are computed again in the backward pass, so those of one block at a time are in
    memory. A block has at least one image: 4,096 x 4,096 distances, 67 MB, for UV maps of 256 texels.
    """
    distances = (generated.shape[2] * generated.shape[3]) ** 2
    if len(generated) * distances <= _MOST_DISTANCES:
        return mrf_term(generated, target)
    images = max(1, _BLOCK_DISTANCES // distances)
    found: list[Any] = []
    for ours, theirs in zip(generated.split(images), target.split(images), strict=True):
        # Nothing here draws random numbers, and to keep the generator's state would read from the GPU.
        found.append(checkpoint(mrf_term, ours, theirs, use_reentrant=False, preserve_rng_state=False))
    return torch.cat(found)


def mrf_term(
    generated: Tensor,  # (B, C, H, W)
    target: Tensor,  # (B, C, H, W)
) -> Tensor:  # (B,)
    """Minus the log of the target patches' mean best share; 0 is a perfect match.

    Patches are 1 x 1. Their similarity is the cosine after subtracting the mean over the target's channels.
    The distance, divided by the generated patch's smallest distance, is turned into shares that sum to 1 over
    the target's patches.
    """
    centre = target.mean(dim=1, keepdim=True)
    ours = normalize((generated - centre).flatten(2), dim=1, eps=_FLOOR)  # (B, C, N)
    theirs = normalize((target - centre).flatten(2), dim=1, eps=_FLOOR)
    distance = (1 - theirs.transpose(1, 2) @ ours).clamp(min=0) / 2  # (B, targets, generated)
    relative = distance / (distance.amin(dim=1, keepdim=True) + _FLOOR)
    shares = ((_BIAS - relative) / _STRETCH).softmax(dim=1)
    best = shares.amax(dim=2).mean(dim=1)  # each target patch: its best share among the generated ones
    return -best.clamp(min=_FLOOR).log()
