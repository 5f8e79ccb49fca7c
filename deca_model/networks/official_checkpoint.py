"""Reading and writing ``model.tar`` in the layout of the official DECA.

``model.tar`` is a torch file with the state dicts ``E_flame``, ``E_detail`` and ``D_detail``. The official
trainer also writes ``opt``, ``global_step`` and ``batch_size``; they are ignored when a file is read. The
networks' parameter names are the same here. Only the factors on E_flame's outputs (``ImageEncoder.gains``)
are ours: saving multiplies them into the last layer, loading divides them out, so the codes stay the same.
The key ``untrained``, which names parts with initial weights, is ours, too. Codes that were trained on FLAME
have no meaning for another head.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deca_model.files.state_dicts import check_state
from deca_model.files.torch_files import read_torch_file
from deca_model.networks.detail import MAP_SIZE, DetailDecoder
from deca_model.networks.encoder import ImageEncoder, detail_encoder
from deca_model.networks.model import Deca
from deca_model.settings.groups import EncoderSettings, ModelSettings, RunSettings
from manifests.errors import UsageError
from manifests.files import atomic_path

PARTS = ("E_flame", "E_detail", "D_detail")
ENDING = ".tar"
CROP_SIZE, CROP_SCALE = 224, 1.25 * 1.1
"""The official inference: side of a crop in pixels, and over the landmark box."""
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
        _check_official(name, network, path)
        state = _scaled(content[name], network, inward=True)
        check_state(state, network, f"'{name}' in {path}")
        network.load_state_dict(state, strict=False)
        loaded.append(name)
    return loaded


def load_official_model(
    path: Path, settings: ModelSettings, run: RunSettings, parts: Collection[str] = ()
) -> tuple[Deca, list[str]]:
    """Build a model with the official weights.

    Args:
        path: The ``model.tar``.
        settings: The head must be FLAME.
        run: The precision of the networks.
        parts: Which parts of ``Deca`` to build besides those that the file has.

    Returns:
        The model, and the names of the loaded parts. The details are only loaded with both of their networks.

    Raises:
        UsageError: The file is missing, is no official model, or does not fit the settings.
    """
    if settings.head != "flame":
        raise UsageError(
            f"{path}: DECA's weights were trained on FLAME, not on the {settings.head} head: "
            "give --set model.head=flame and --set model.head_path=FILE"
        )
    has_details = _read(path).keys() >= {"E_detail", "D_detail"}
    model = Deca(settings, run, {*parts, "detail"} if has_details else parts)
    detail = model.detail if has_details else None
    return model, load_official(path, model.coarse, detail and detail.encoder, detail and detail.decoder)


def save_official(
    path: Path,
    coarse: ImageEncoder,
    detail: ImageEncoder | None = None,
    decoder: DetailDecoder | None = None,
    *,
    step: int = 0,
    subjects: int = 8,
) -> list[str]:
    """Write the networks as a ``model.tar`` that the official code opens; the write is atomic.

    The official code needs all keys, also those of networks that were not trained.

    Args:
        path: The file to write.
        coarse: E_flame.
        detail: E_detail; None writes initial weights.
        decoder: D_detail; None writes initial weights.
        step: The step at which the official trainer would resume.
        subjects: The batch size as the official trainer counts it, in subjects.

    Returns:
        The names of the parts that have initial weights.

    Raises:
        UsageError: An encoder is not a resnet50 or has settings that the official code lacks, or the decoder
            makes smaller maps than 256.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = (coarse, detail or detail_encoder(EncoderSettings()), decoder or DetailDecoder())
    content: dict[str, Any] = {}
    for name, network in zip(PARTS, networks, strict=True):
        _check_fits(name, network)
        content[name] = _scaled(network.state_dict(), network, inward=False)
        content[name].pop("gains", None)
    trained = [coarse] if detail is None else networks[1:]
    optimiser = torch.optim.Adam([each for network in trained for each in network.parameters()], lr=1e-4)
    untrained = [name for name, given in zip(PARTS[1:], (detail, decoder), strict=True) if given is None]
    content |= {"opt": optimiser.state_dict(), "global_step": step, "batch_size": subjects}
    content["untrained"] = untrained
    with atomic_path(path) as temporary:
        torch.save(content, temporary)
    return untrained


def _check_official(name: str, network: nn.Module, path: Path) -> None:
    """Check the settings under which the official weights have their meaning."""
    if isinstance(network, ImageEncoder) and network.settings.backbone != "resnet50":
        setting = "detail_encoder" if name == "E_detail" else "encoder"
        raise UsageError(f"{name} in {path} is a resnet50: give --set model.{setting}.backbone=resnet50")
    if isinstance(network, ImageEncoder) and network.settings.framed:
        raise UsageError(f"{name} in {path} has no framed camera: give --set model.encoder.framed=false")
    if isinstance(network, DetailDecoder) and network.size != MAP_SIZE:
        raise UsageError(f"{name} in {path} makes maps of {MAP_SIZE} texels: give --set model.uv_size=256")


def _check_fits(name: str, network: nn.Module) -> None:
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


def _read(path: Path) -> dict[str, dict[str, Tensor]]:
    """The trained parts of a file, with their tensors."""
    hint = "give DECA's model.tar"
    content = read_torch_file(path, hint)
    content = content if isinstance(content, dict) else {}
    untrained = content.get("untrained", ())
    found = {}
    for name in PARTS:
        state = content.get(name)
        if isinstance(state, dict) and state and name not in untrained:
            found[name] = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not found:
        raise UsageError(f"{path} holds none of {', '.join(PARTS)}: {hint}")
    return found


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
