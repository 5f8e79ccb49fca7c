"""Reading and writing ``model.tar`` in the layout of the official DECA.

``model.tar`` is a torch file with the state dicts ``E_flame``, ``E_detail`` and ``D_detail``. The official
trainer also writes ``opt``, ``global_step`` and ``batch_size``; they are ignored. The networks' parameter
names are the same here. Only the factors on E_flame's outputs (``ImageEncoder.gains``) are ours: saving
multiplies them into the last layer, loading divides them out, so the codes stay the same. Codes that were
trained on FLAME have no meaning for another head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deca_model.files.state_dicts import check_state
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
    """Copy the official weights into the given networks.

    Args:
        path: The ``model.tar``.
        coarse: A resnet50 that gets ``E_flame``.
        detail: A resnet50 that gets ``E_detail``.
        decoder: The decoder that gets ``D_detail``.

    Returns:
        The names of the loaded parts. A part that the file lacks is skipped (a coarse model has no details),
        but E_flame must be there if ``coarse`` is given.

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
        check_state(state, network, f"'{name}' in {path}")
        network.load_state_dict(state, strict=False)
        loaded.append(name)
    return loaded


def save_official(
    path: Path, coarse: ImageEncoder, detail: ImageEncoder | None = None, decoder: DetailDecoder | None = None
) -> None:
    """Write the networks as a ``model.tar`` that the official code can load; the write is atomic.

    Raises:
        UsageError: An encoder is not a resnet50 or has settings that the official code lacks, or the decoder
            makes smaller maps than 256.
    """
    content: dict[str, Any] = {}
    for name, network in zip(PARTS, (coarse, detail, decoder), strict=True):
        if network is None:
            continue
        if isinstance(network, ImageEncoder) and network.settings.backbone != "resnet50":
            raise UsageError(f"{name} is not a resnet50, but the official model.tar needs it: train with it")
        if isinstance(network, ImageEncoder) and (network.settings.mirror or network.settings.framed):
            raise UsageError(
                f"{name} was trained with encoder.mirror or encoder.framed, which the official model.tar "
                "cannot store: train without them"
            )
        if isinstance(network, DetailDecoder) and network.size != MAP_SIZE:
            raise UsageError(
                f"{name} makes maps of {network.size} texels, not {MAP_SIZE}: train with that model.uv_size"
            )
        content[name] = _scaled(network.state_dict(), network, inward=False)
        content[name].pop("gains", None)
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


def _read(path: Path) -> dict[str, dict[str, Tensor]]:
    if not path.is_file():
        raise UsageError(f"the official model {path} does not exist: give the path of DECA's model.tar")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types here; to the user they all mean the same
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path} is not a plain torch file ({reason}): give DECA's model.tar") from error
    if not isinstance(content, dict) or not any(name in content for name in PARTS):
        raise UsageError(f"{path} holds none of {', '.join(PARTS)}: give DECA's model.tar")
    return content


def _scaled(state: dict[str, Tensor], network: nn.Module, inward: bool) -> dict[str, Tensor]:
    """A copy of the state; the gains are divided out of the last layer (inward) or multiplied into it."""
    if not isinstance(network, ImageEncoder):
        return dict(state)
    gains = network.gains.detach().cpu()
    factor = 1 / gains if inward else gains
    result = {key: value.detach().cpu() for key, value in state.items()}
    for key in _LAST:
        if key in result and len(result[key]) == len(factor):
            result[key] = result[key] * (factor[:, None] if result[key].dim() == 2 else factor)
    return result
