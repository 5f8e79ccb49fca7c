"""MediaPipe's face networks in torch, in batches, on any device: see `Networks` for what each gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from deca_data.backends.mediapipe.mesh_network import MeshNetwork
from deca_data.backends.mediapipe.models import fingerprint, model_file
from deca_data.backends.mediapipe.outputs import RawDetection, Seen
from deca_data.backends.mediapipe.rounds import Rounds
from deca_data.backends.mediapipe.ssd import anchors, decoded, letterboxed
from deca_data.backends.tflite.file import read_file
from deca_data.backends.tflite.network import TorchNetwork


class TorchModels:
    """The mesh network and both detectors, each read at its first use.

    The outputs are those of MediaPipe within `benchmarks.embedded_networks`' bounds, not bit by bit.

    Args:
        device: of torch.

    Raises:
        RuntimeError, AssertionError: torch cannot use the device.
    """

    def __init__(self, device: str) -> None:
        version("mediapipe")
        self._device = torch.empty(0, device=device).device
        self._rounds = Rounds(self._run)

    def fingerprint(self, *kinds: str) -> dict[str, str]:
        """That of the files, and the version of torch."""
        return {**fingerprint(*kinds), "torch": version("torch")}

    def each(self, function: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
        """``function`` of each photo's values; the networks that it asks answer all photos at once."""
        return self._rounds.each(function, *columns)

    def mesh(self, crop: np.ndarray) -> Seen:
        """See `Networks.mesh`."""
        return self._rounds.ask("mesh", crop)

    def detect(self, image: np.ndarray, kind: str) -> list[RawDetection]:
        """See `Networks.detect`."""
        return self._rounds.ask(kind, image)

    def _run(self, network: str, images: list[np.ndarray]) -> list[Any]:
        """The answers for images: crops for the mesh, images of any size for the detectors."""
        if network == "mesh":
            return self._mesh.seen(np.stack(images))
        detector = self._short if network == "short" else self._full
        return detector.detect(images)

    @cached_property
    def _mesh(self) -> _Mesh:
        return _Mesh(self._device)

    @cached_property
    def _short(self) -> _Detector:
        return _Detector("short", self._device)

    @cached_property
    def _full(self) -> _Detector:
        return _Detector("full", self._device)


class _Network:
    """One of the files, on a device."""

    def __init__(self, kind: str, low: float, high: float, device: torch.device) -> None:
        self.graph = read_file(model_file(kind))
        self.side = self.graph.shapes[self.graph.inputs[0]][1]
        self._network = TorchNetwork(self.graph).to(device).eval()
        self._scale, self._low, self._device = (high - low) / 255, low, device

    def __call__(self, images: np.ndarray) -> list[np.ndarray]:
        """The outputs, (N, values) float32 each, for (N, side, side, 3) uint8 RGB images."""
        with torch.inference_mode(), _exact():
            batch = torch.from_numpy(images).to(self._device).float() * self._scale + self._low
            found = [output.flatten(1) for output in self._network(batch)]
            joined = torch.cat(found, 1).cpu().numpy()  # one transfer
        return np.split(joined, np.cumsum([output.shape[1] for output in found])[:-1], axis=1)


class _Detector:
    def __init__(self, kind: str, device: torch.device) -> None:
        self._network = _Network(kind, -1.0, 1.0, device)
        self._side = self._network.side
        self._anchors = anchors(kind, self._side)

    def detect(self, images: list[np.ndarray]) -> list[list[RawDetection]]:
        raw, logits = self._network(np.stack([letterboxed(image, self._side) for image in images]))
        return [
            decoded(one.reshape(-1, 16), scores, self._anchors, self._side, image.shape[:2])
            for one, scores, image in zip(raw, logits, images, strict=True)
        ]


class _Mesh:
    def __init__(self, device: torch.device) -> None:
        self._network, self._device = MeshNetwork().to(device).eval(), device

    def seen(self, crops: np.ndarray) -> list[Seen]:
        """For (N, 192, 192, 3) uint8 RGB crops."""
        with torch.inference_mode(), _exact():
            found = self._network(torch.from_numpy(crops).to(self._device).float() * (1 / 255))
            flat = [values.flatten(1) for values in (found.mesh, found.plain, found.presence_logit[:, None])]
            joined = torch.cat(flat, 1).cpu().numpy()  # one transfer
        mesh, plain = joined[:, :-1].reshape(len(crops), 2, -1, 3).swapaxes(0, 1)
        presence = 1 / (1 + np.exp(-joined[:, -1].astype(np.float64)))
        return [Seen(*one) for one in zip(mesh.copy(), plain.copy(), presence.tolist(), strict=True)]


def _exact() -> AbstractContextManager:
    """float32 as on the CPU, since TF32 has 10 bits of fraction, and the same for every run."""
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
