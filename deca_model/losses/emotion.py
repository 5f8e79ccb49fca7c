"""EMOCA's emotion loss: the rendered face shows the same emotion as the photo.

Danecek et al. 2022, "EMOCA: Emotion driven monocular face capture and animation", section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from deca_model.losses.frozen import FrozenFeatures
from manifests.errors import UsageError

_MARK = "layer4.2.conv3.weight"  # only a ResNet-50 (or deeper) has it


def emotion_loss(
    rendered: Tensor,  # (B, 3, H, W) RGB in [0, 1]
    images: Tensor,  # (B, 3, H, W) RGB in [0, 1]
    features: Callable[[Tensor], Tensor],
) -> Tensor:  # ()
    """Mean squared difference of the emotion features of render and photo; the photo's get no gradient."""
    with torch.no_grad():
        target = features(images).float()
    return (features(rendered).float() - target).square().mean()


class EmotionFeatures(FrozenFeatures):
    """Images (B, 3, H, W) to the 2048 pooled features of an emotion network."""


def load_emotion_features(path: Path | None) -> EmotionFeatures:
    """Load a ResNet-50 trained on emotions: a state dict, or a Lightning checkpoint that contains one.

    Names may have any prefix (``module.``, ``backbone.``); the classifier is not used. EmoNet, the other
    network that EMOCA tried, has other layers and cannot be loaded.

    Raises:
        UsageError: There is no file (EMOCA turns the loss off in that case), or it holds no ResNet-50.
    """
    if path is None or not path.is_file():
        hint = "give the network's file, or turn the loss off with loss.emotion=0"
        raise UsageError(f"the emotion network {path} does not exist: {hint}")
    from torchvision.models import resnet50

    network = resnet50(weights=None)
    network.fc = nn.Identity()  # type: ignore[assignment]
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
        state = raw.get("state_dict", raw)
        prefix = next(key for key in state if key.endswith(_MARK)).removesuffix(_MARK)
        wanted = {key: state[prefix + key] for key in network.state_dict() if prefix + key in state}
        missing, _ = network.load_state_dict(wanted, strict=False)
        missing = [key for key in missing if not key.endswith("num_batches_tracked")]
        if missing:
            raise KeyError(missing[0])
    except Exception as error:  # torch raises many types here; to the user they all mean the same
        reason = str(error).splitlines()[0] if str(error) else "no ResNet-50 layers"
        message = f"{path} holds no ResNet-50 state dict ({reason}): save only its weights"
        raise UsageError(message) from error
    return EmotionFeatures(network)
