"""The weight files of the losses that compare features of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from deca_model.settings.groups import LossSettings
from manifests.errors import UsageError

_FILES = {
    "identity": ("identity_weights", "VGGFace2's resnet50_ft_weight.pkl", "resnet50_ft_weight.pkl"),
    "emotion": ("emotion_weights", "EMOCA's emotion network (a .ckpt, or its folder)", "EMOCA's .ckpt"),
    "id_mrf": ("vgg_weights", "torchvision's vgg19-dcbb9e9d.pth", "vgg19-dcbb9e9d.pth"),
}
"""For each loss the setting that names its file, what the file is, and its name."""


def weight_file(settings: LossSettings, loss: str) -> Path:
    """The weight file of a loss.

    Raises:
        UsageError: names the loss, the missing file, and how to switch the loss off.
    """
    setting, what, _ = _FILES[loss]
    path = getattr(settings, setting)
    if path is None:
        raise UsageError(_without_file([loss]))
    if not path.exists():
        raise UsageError(f"loss.{setting}={path}: there is no such file; give {what}, or set loss.{loss}=0.")
    return path


def check_weight_files(settings: LossSettings, losses: Iterable[str]) -> None:
    """Check that each of these losses has its file, if it has a weight.

    Raises:
        UsageError: names all losses whose file is not given, or the first whose file does not exist.
    """
    weighted = [loss for loss in losses if getattr(settings, loss)]
    missing = [loss for loss in weighted if getattr(settings, _FILES[loss][0]) is None]
    if missing:
        raise UsageError(_without_file(missing))
    for loss in weighted:
        weight_file(settings, loss)


def decided_weights(settings: LossSettings) -> LossSettings:
    """The settings in which a weight of None is DECA's if the loss's file is given, else 0."""
    found = {}
    for loss, (setting, *_) in _FILES.items():
        if getattr(settings, loss) is None:
            given = getattr(settings, setting) is not None
            found[loss] = LossSettings.model_fields[loss].default if given else 0.0
    return settings.model_copy(update=found)


def left_out(settings: LossSettings, losses: Iterable[str]) -> str | None:
    """The losses whose weight is None and whose file is not given; None if there is none.

    A line names them and their files, and a second one says how to give those.
    """
    off = []
    for loss in losses:
        if getattr(settings, loss) is None and getattr(settings, _FILES[loss][0]) is None:
            off.append(loss)
    if not off:
        return None
    named = ", ".join(f"{loss} ({'needs ' * (loss == off[0])}{_FILES[loss][2]})" for loss in off)
    options = " ".join(f"--set loss.{_FILES[loss][0]}=FILE" for loss in off)
    return f"losses off: {named}\n  on with {options}"


def _without_file(losses: Sequence[str]) -> str:
    named = " and ".join(f"loss.{loss}" for loss in losses)
    files = " and ".join(f"{_FILES[loss][1]} as loss.{_FILES[loss][0]}" for loss in losses)
    off = " ".join(f"--set loss.{loss}=0" for loss in losses)
    verb, them = ("has", "the loss") if len(losses) == 1 else ("have", "the losses")
    like_open = "" if "emotion" in losses else ", as the preset `open` does"
    return (
        f"{named} {verb} a weight but no network: give {files}, or switch {them} off with {off}{like_open}."
    )
