"""Reading and writing ``model.tar`` in the layout of the official DECA.

A torch file with the state dicts ``E_flame``, ``E_detail`` and ``D_detail`` (and, from its trainer, ``opt``,
``global_step`` and ``batch_size``, which are left alone). The networks' parameter names are the same here;
only the factors behind E_flame's last layer (``ImageEncoder.gains``) are put into that layer on the way out
and taken out of it on the way in, so the codes stay the same. Codes that were trained on FLAME mean nothing
to another head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deca_model.networks.detail import MAP_SIZE, DetailDecoder
from deca_model.networks.encoder import ImageEncoder
from manifests.errors import UsageError
from manifests.files import atomic_path

PARTS = ("E_flame", "E_detail", "D_detail")
_LAST = ("layers.2.weight", "layers.2.bias")


def load_official(
    path: Path,
    coarse: ImageEncoder | None = None,
    detail: ImageEncoder | None = None,
    decoder: DetailDecoder | None = None,
) -> list[str]:
    """Copies the official weights into the given networks.

    Args:
        path: The ``model.tar``.
        coarse: Takes ``E_flame``; a resnet50.
        detail: Takes ``E_detail``; a resnet50.
        decoder: Takes ``D_detail``.

    Returns:
        The names of the parts that were loaded; a part that the file lacks is left out (a coarse model has no
        trained details), but E_flame must be there if ``coarse`` is given.

    Raises:
        UsageError: The file is missing, is no official model, or does not fit the networks.
    """
    content = _read(path)
    if coarse is not None and "E_flame" not in content:
        raise UsageError(f"{path} lacks 'E_flame': give DECA's model.tar")
    loaded = []
    for name, network in zip(PARTS, (coarse, detail, decoder), strict=True):
        if network is None or name not in content:
            continue
        state = _scaled(content[name], network, inward=True)
        _check(state, network, f"'{name}' in {path}")
        network.load_state_dict(state, strict=False)
        loaded.append(name)
    return loaded


def save_official(
    path: Path, coarse: ImageEncoder, detail: ImageEncoder | None = None, decoder: DetailDecoder | None = None
) -> None:
    """Writes the networks as a ``model.tar`` that the official code loads, whole or not at all.

    Raises:
        UsageError: An encoder is not a resnet50 or has settings that the official code lacks, or the decoder
            makes smaller maps than 256.
    """
    content: dict[str, Any] = {}
    for name, network in zip(PARTS, (coarse, detail, decoder), strict=True):
        if network is None:
            continue
        if isinstance(network, ImageEncoder) and network.settings.backbone != "resnet50":
            raise UsageError(f"{name} is not a resnet50, the only one that the official model.tar can hold")
        if isinstance(network, ImageEncoder) and (network.settings.mirror or network.settings.framed):
            raise UsageError(
                f"{name} was trained with encoder.mirror or encoder.framed, which the official model.tar "
                "cannot say: train without them"
            )
        if isinstance(network, DetailDecoder) and network.size != MAP_SIZE:
            raise UsageError(f"{name} makes maps of {network.size} texels, and the official one {MAP_SIZE}")
        content[name] = _scaled(network.state_dict(), network, inward=False)
        content[name].pop("gains", None)
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def _read(path: Path) -> dict[str, dict[str, Tensor]]:
    if not path.is_file():
        raise UsageError(f"the official model {path} does not exist: give the path of DECA's model.tar")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds here, all of which mean the same to the user
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path} is not a plain torch file ({reason}): give DECA's model.tar") from error
    if not isinstance(content, dict) or not any(name in content for name in PARTS):
        raise UsageError(f"{path} holds none of {', '.join(PARTS)}: give DECA's model.tar")
    return content


def _scaled(state: dict[str, Tensor], network: nn.Module, inward: bool) -> dict[str, Tensor]:
    """A copy of the state, the gains taken out of the last layer (inward) or put into it."""
    if not isinstance(network, ImageEncoder):
        return dict(state)
    gains = network.gains.detach().cpu()
    factor = 1 / gains if inward else gains
    result = {key: value.detach().cpu() for key, value in state.items()}
    for key in _LAST:
        if key in result and len(result[key]) == len(factor):
            result[key] = result[key] * (factor[:, None] if result[key].dim() == 2 else factor)
    return result


def _check(state: dict[str, Tensor], network: nn.Module, what: str) -> None:
    """Everything that the network has must be there in its shape; counters of old torch versions may lack."""
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked") or key == "gains":  # the gains are ours
            continue
        if key not in state:
            raise UsageError(f"{what} lacks '{key}': it is not the network that is asked for")
        if state[key].shape != value.shape:
            found, wanted = tuple(state[key].shape), tuple(value.shape)
            raise UsageError(f"{what} has '{key}' in shape {found}, not {wanted}: it is another network")
