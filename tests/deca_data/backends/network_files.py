"""Weight files of random numbers, in the formats and under the names of the libraries."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from manifests.errors import UsageError


class Network(NamedTuple):
    """The kind of a backend, and the stage that uses it."""

    kind: str
    stage: str


NETWORKS = {
    "face-alignment": Network("landmarker", "landmarks"),
    "bisenet": Network("parser", "masks"),
    "arcface": Network("embedder", "identity"),
}


def write_weights(name: str, folder: Path) -> Path:
    """Write the file of one of ``NETWORKS`` into ``folder`` and return it; the same numbers each time.

    Raises:
        UsageError: the library is not installed.
    """
    torch.manual_seed(0)
    try:
        network, file = _build(name)
    except ImportError as error:
        raise UsageError(f"{name}: left out, as {error.name} is not installed.") from error
    path = folder / file
    torch.save(_settled(network, name).state_dict(), path)
    if name == "face-alignment":  # its name has the hash of its bytes
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path = path.rename(folder / f"2DFAN4-{digest[:10]}.pth.tar")
    return path


def _build(name: str) -> tuple[nn.Module, str]:
    if name == "face-alignment":
        from face_alignment.models import FAN

        return FAN(4), "fan"
    if name == "bisenet":
        from facexlib.parsing.bisenet import BiSeNet

        return BiSeNet(num_class=19), "parsing_bisenet.pth"
    from facexlib.recognition.arcface_arch import Backbone

    return Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se"), "recognition_arcface_ir_se50.pth"


def _settled(network: nn.Module, name: str) -> nn.Module:
    """The network with the batch-norm statistics that belong to its random weights."""
    side = {"face-alignment": 256, "bisenet": 128, "arcface": 112}[name]
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(2, 3, side, side) * 2 - 1)
    return network.eval()
