"""EMOCA's emotion loss: the rendered face shows the same emotion as the photo.

Danecek et al. 2022, "EMOCA: Emotion driven monocular face capture and animation", section 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from deca_model.files.state_dicts import check_state
from deca_model.files.torch_files import read_torch_file
from deca_model.losses.frozen import FrozenFeatures, photo_features
from deca_model.losses.vggface2 import caffe_resnet50
from manifests.errors import UsageError

_MARK = "layer4.2.conv3.weight"  # only a ResNet-50 (or deeper) has it


def emotion_loss(
    rendered: Tensor,  # (B, 3, H, W) RGB in [0, 1]
    images: Tensor,  # (B, 3, H, W) RGB in [0, 1], or (B / k, 3, H, W) if they are the same k times
    features: Callable[[Tensor], Tensor],
) -> Tensor:  # ()
    """Mean squared difference of the emotion features of render and photo; the photo's get no gradient."""
    target = photo_features(images, features, len(rendered)).float()
    return (features(rendered).float() - target).square().mean()


class EmotionFeatures(FrozenFeatures):
    """Images (B, 3, H, W) to the 2048 pooled features of EMOCA's emotion network.

    It is a ResNet-50 with Caffe's strides, trained on AffectNet from VGGFace2's weights, on RGB images in
    [0, 1] without further normalisation.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def load_emotion_features(path: Path) -> EmotionFeatures:
    """Load the ResNet-50 that EMOCA published: its Lightning checkpoint, the folder of it, or a state dict.

    Of a folder the checkpoint with the smallest loss in its name is taken, as EMOCA does. Names may have any
    prefix (``backbone.``, ``module.``); the classifier is not used. EmoNet, the other network that EMOCA
    tried, has other layers and cannot be loaded.

    Raises:
        UsageError: There is no file (EMOCA turns the loss off in that case), or it holds no ResNet-50.
    """
    hint = "give EMOCA's emotion network, or turn the loss off with loss.emotion=0"
    path = best_checkpoint(path, hint) if path.is_dir() else path
    content = read_torch_file(path, hint)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    prefix = next((key.removesuffix(_MARK) for key in state if str(key).endswith(_MARK)), None)
    if prefix is None:
        raise UsageError(f"{path} holds no ResNet-50: {hint}")
    network = caffe_resnet50()
    named = {key: state[prefix + key] for key in network.state_dict() if prefix + key in state}
    check_state(named, network, str(path), hint)
    network.load_state_dict(named, strict=False)
    return EmotionFeatures(network)


def best_checkpoint(folder: Path, hint: str) -> Path:
    """The checkpoint of a folder whose name ends with the smallest number, as in ``loss=1.276.ckpt``.

    Raises:
        UsageError: there is none.
    """
    found = {
        float(number[1]): path
        for path in sorted(folder.rglob("*.ckpt"))
        if (number := re.search(r"=(-?\d+\.?\d*)$", path.stem))
    }
    if not found:
        raise UsageError(f"{folder} holds no checkpoint with a loss in its name: {hint}")
    return found[min(found)]
