"""The weight files of the losses that compare features of a network."""

from __future__ import annotations

from pathlib import Path

from deca_model.settings.groups import LossSettings
from manifests.errors import UsageError

_FILES = {
    "identity": ("identity_weights", "VGGFace2's resnet50_ft_weight.pkl"),
    "emotion": ("emotion_weights", "EMOCA's emotion network (a .ckpt, or its folder)"),
    "id_mrf": ("vgg_weights", "torchvision's vgg19-dcbb9e9d.pth"),
}
"""For each loss the setting that names its file, and what the file is."""


def weight_file(settings: LossSettings, loss: str) -> Path:
    """The weight file of a loss.

    Raises:
        UsageError: names the loss, the missing file, and how to switch the loss off.
    """
    setting, what = _FILES[loss]
    path = getattr(settings, setting)
    if path is None:
        raise UsageError(
            f"loss.{loss} has a weight but no network: give {what} as loss.{setting}, or switch the loss off "
            f"with --set loss.{loss}=0."
        )
    if not path.exists():
        raise UsageError(f"loss.{setting}={path}: there is no such file; give {what}, or set loss.{loss}=0.")
    return path
