"""The frozen networks whose features the perceptual losses compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class FrozenFeatures(nn.Module):
    """Images to the features of a network. No parameter gradients; always in evaluation mode.

    Args:
        network: gets the normalised images.
        mean: of the images that the network was trained on, per channel.
        std: their standard deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:  # (B, 3, H, W) RGB in [0, 1]
        """The network's output for the images."""
        return self.network((images - self.mean) / self.std)

    def train(self, mode: bool = True) -> FrozenFeatures:
        """Stay in evaluation mode; ``mode`` is ignored."""
        return super().train(False)


def photo_features(photos: Tensor, features: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """The features of photos (B, ...) without gradient, repeated for ``count`` = k B pictures of them."""
    with torch.no_grad():
        found = features(photos)
        return torch.cat([found] * (count // len(found)))


def keep_weights_in(precision: torch.dtype, networks: Iterable[nn.Module]) -> None:
    """Keep the weights of convolutions and linear layers in the number type that autocast computes them in.

    Autocast would convert weights that are not trained again in each step. No result changes.
    """
    for network in networks:
        for part in network.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                part.to(precision)
