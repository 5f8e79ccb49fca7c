"""MediaPipe's face mesh network with attention, as a torch module for batches of crops on any device."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from deca_data.backends.mediapipe.models import model_file
from deca_data.backends.tflite.file import Graph, read_file
from deca_data.backends.tflite.network import TorchNetwork
from manifests.errors import UsageError

_POINTS = 468
_REFINED = ("lips", "left_eye", "right_eye")
_IRIS_LEVEL = 16  # the first points of an eye are its contour; their mean depth is that of the iris


class MeshOutput(NamedTuple):
    """The network's output for B crops; the fields are those of `outputs.Seen`."""

    mesh: Tensor  # (B, 478, 3) float32, pixels of the crop
    plain: Tensor  # (B, 478, 3)
    presence_logit: Tensor  # (B,)


class MeshNetwork(nn.Module):
    """The network; its weights are buffers, and get no gradient.

    Raises:
        PackageNotFoundError: MediaPipe is not installed.
        UsageError: its file is missing, damaged or another one.
    """

    def __init__(self) -> None:
        super().__init__()
        graph = read_file(model_file("mesh"))
        self.side = graph.shapes[graph.inputs[0]][1]
        self.network = TorchNetwork(graph)
        for name, points in zip(_REFINED, _refined_points(graph), strict=True):
            self.register_buffer(name, torch.tensor(points), persistent=False)

    @torch.no_grad()
    def forward(
        self,
        crops: Tensor,  # (B, side, side, 3) RGB in [0, 1]
    ) -> MeshOutput:
        """The points of the face in each crop."""
        points, lips, left, right, left_iris, right_iris, logits = self.network(crops)
        plain = points.reshape(-1, _POINTS, 3)
        plain[..., :2] -= 0.5
        mesh = plain.clone()
        numbers = [getattr(self, name) for name in _REFINED]
        for chosen, places in zip(numbers, (lips, left, right), strict=True):
            mesh[..., :2].index_copy_(1, chosen, places.reshape(len(mesh), -1, 2) - 0.5)
        irises = []
        for chosen, places in zip(numbers[1:], (left_iris, right_iris), strict=True):
            depth = (
                plain[..., 2].index_select(1, chosen[:_IRIS_LEVEL]).mean(1)[:, None, None].expand(-1, 5, 1)
            )
            irises.append(torch.cat([places.reshape(-1, 5, 2) - 0.5, depth], 2))
        return MeshOutput(torch.cat([mesh, *irises], 1), torch.cat([plain, *irises], 1), logits.reshape(-1))


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
