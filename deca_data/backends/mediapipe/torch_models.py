"""MediaPipe's face networks in torch, in batches, on any device: see `Networks` for what each gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from deca_data.backends.mediapipe.models import fingerprint, model_file
from deca_data.backends.mediapipe.outputs import RawDetection, Seen
from deca_data.backends.mediapipe.rounds import Rounds
from deca_data.backends.mediapipe.ssd import anchors, decoded, letterboxed
from deca_data.backends.tflite.file import Graph, read_file
from deca_data.backends.tflite.network import TorchNetwork
from manifests.errors import UsageError

_POINTS = 468
_IRIS_LEVEL = 16  # the first points of an eye are its contour; their mean depth is that of the iris


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
        with torch.inference_mode():
            # float32 as on the CPU, since TF32 has 10 bits of fraction, and the same for every run
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
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
        self._network = _Network("mesh", 0.0, 1.0, device)
        self._refined = _refined_points(self._network.graph)

    def seen(self, crops: np.ndarray) -> list[Seen]:
        """For (N, 192, 192, 3) uint8 RGB crops."""
        points, lips, left, right, left_iris, right_iris, logits = self._network(crops)
        first = points.reshape(-1, _POINTS, 3)
        first[..., :2] -= 0.5
        mesh = first.copy()
        irises = []
        for numbers, places in zip(self._refined, (lips, left, right), strict=True):
            mesh[:, numbers, :2] = places.reshape(len(mesh), -1, 2) - np.float32(0.5)
        for numbers, places in zip(self._refined[1:], (left_iris, right_iris), strict=True):
            iris = np.empty((len(mesh), 5, 3), np.float32)
            iris[..., :2] = places.reshape(-1, 5, 2) - np.float32(0.5)
            iris[..., 2] = first[:, numbers[:_IRIS_LEVEL], 2].mean(1, keepdims=True)
            irises.append(iris)
        mesh = np.concatenate([mesh, *irises], 1)
        plain = np.concatenate([first, *irises], 1)
        presence = 1 / (1 + np.exp(-logits[:, 0].astype(np.float64)))
        return [Seen(*one) for one in zip(mesh, plain, presence.tolist(), strict=True)]


def _refined_points(graph: Graph) -> list[list[int]]:
    """The numbers of the points that the network refines: lips, left eye and right eye.

    They are those around which it cuts the crops for its second part.
    """
    found = [
        operation.options["subset_idxs"]
        for operation in graph.operations
        if operation.name == "Landmarks2TransformMatrix"
    ]
    sizes = [len(points) for points in found] * 2 + [1]
    outputs = [int(np.prod(graph.shapes[number])) for number in graph.outputs]
    if outputs != [3 * _POINTS, *(2 * size for size in sizes[:3]), 10, 10, 1]:
        raise UsageError(f"{graph.name} is not MediaPipe's mesh with attention: install mediapipe again.")
    return found
