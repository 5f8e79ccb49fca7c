"""The operations of MediaPipe's mesh with attention: it looks again, closer, at the lips and at both eyes.

The first part of the network finds all points. `MatrixOfPoints` makes from those of a part of the face the
matrix of a rotated crop, `CropFeatures` cuts this crop out of an early layer, and `MovePoints` takes what the
second part finds in the crop back.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deca_data.backends.tflite.constants import Damaged
from deca_data.backends.tflite.file import Graph, Operation
from deca_data.backends.tflite.operations import Step

NAMES = ("Landmarks2TransformMatrix", "TransformTensorBilinear", "TransformLandmarks")


def make_attention_step(graph: Graph, operation: Operation) -> Step:
    """The module of one of these operations.

    Raises:
        Damaged: its options and shapes do not fit together.
    """
    shapes = [graph.shapes[number] for number in operation.inputs if number >= 0]
    made = graph.shapes[operation.outputs[0]]
    if not graph.constants.keys().isdisjoint(operation.inputs):
        raise Damaged(f"an operation {operation.name} has a constant input")
    if operation.name == NAMES[0] and [len(shape) for shape in shapes] == [3] and shapes[0][2] == 3:
        module = MatrixOfPoints(operation, shapes[0][1])
    elif operation.name == NAMES[1] and len(made) == 4 and len(shapes) == 2 and len(shapes[0]) == 4:
        module = CropFeatures(shapes[0][1], shapes[0][2], made[1], made[2])
    elif operation.name == NAMES[2] and len(shapes) == 2 and len(shapes[0]) == 3 and shapes[0][2] == 2:
        module = MovePoints()
    else:
        raise Damaged(f"an operation {operation.name} has shapes that are not known here")
    return Step(module, operation.inputs)


class MatrixOfPoints(nn.Module):
    """Landmarks2TransformMatrix: (B, P, 3) points to the (B, 4, 4) matrices from a crop to the points' plane.

    The crop is turned so that the line between two of the points is level, and encloses all chosen points.
    """

    chosen: Tensor

    def __init__(self, operation: Operation, points: int) -> None:
        super().__init__()
        options = operation.options
        self.left, self.right = options["left_rotation_idx"], options["right_rotation_idx"]
        self.target = options["target_rotation_radians"]
        self.size = (options["output_width"], options["output_height"])
        self.scale = (options["scale_x"], options["scale_y"])
        numbers = [self.left, self.right, *options["subset_idxs"]]
        if min(numbers) < 0 or max(numbers) >= points or min(self.size) < 1:
            raise Damaged(f"an operation {operation.name} has options that are not known here")
        self.register_buffer("chosen", torch.tensor(options["subset_idxs"]))

    def forward(self, points: Tensor) -> Tensor:
        """(B, P, 3) to (B, 4, 4)."""
        across = points[:, self.right, :2] - points[:, self.left, :2]
        angle = torch.atan2(across[:, 1], across[:, 0]) - self.target  # (B,) of the crop
        cos, sin = torch.cos(angle), torch.sin(angle)
        x, y = points[:, self.chosen, :2].unbind(-1)  # (B, C) each
        level_x = x * cos[:, None] + y * sin[:, None]
        level_y = y * cos[:, None] - x * sin[:, None]
        (low_x, high_x), (low_y, high_y) = level_x.aminmax(dim=1), level_y.aminmax(dim=1)
        middle_x, middle_y = (low_x + high_x) / 2, (low_y + high_y) / 2
        step_x = (high_x - low_x) * (self.scale[0] / self.size[0])
        step_y = (high_y - low_y) * (self.scale[1] / self.size[1])
        # from the crop's pixels to the level frame, and from there to the points' plane
        corner_x = middle_x - step_x * (self.size[0] / 2)
        corner_y = middle_y - step_y * (self.size[1] / 2)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        rows = [
            [cos * step_x, -sin * step_y, zero, cos * corner_x - sin * corner_y],
            [sin * step_x, cos * step_y, zero, sin * corner_x + cos * corner_y],
            [zero, zero, one, zero],
            [zero, zero, zero, one],
        ]
        return torch.stack([torch.stack(row, -1) for row in rows], 1)


class CropFeatures(nn.Module):
    """TransformTensorBilinear: cuts crops out of (B, C, H, W) features, with (B, 4, 4) matrices.

    Pixel centres are at halves, as in the matrices. Places beyond the outer pixels' centres give 0.
    """

    places: Tensor
    size: Tensor

    def __init__(self, height: int, width: int, rows: int, columns: int) -> None:
        super().__init__()
        y, x = torch.meshgrid(torch.arange(rows) + 0.5, torch.arange(columns) + 0.5, indexing="ij")
        self.register_buffer("places", torch.stack([x, y, torch.ones_like(x)], -1).reshape(-1, 3))
        self.register_buffer("size", torch.tensor([float(width), float(height)]))
        self.shape = (rows, columns)

    def forward(self, features: Tensor, matrices: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 4, 4) to (B, C, rows, columns)."""
        affine = torch.cat([matrices[:, :2, :2], matrices[:, :2, 3:]], 2)  # (B, 2, 3)
        found = self.places @ affine.transpose(1, 2)  # (B, rows * columns, 2)
        inside = ((found >= 0.5) & (found <= self.size - 0.5)).all(-1)
        grid = (found * (2 / self.size) - 1).reshape(-1, *self.shape, 2)
        cut = F.grid_sample(features, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return (cut * inside.reshape(-1, 1, *self.shape)).contiguous(memory_format=torch.channels_last)


class MovePoints(nn.Module):
    """TransformLandmarks: (B, P, 2) points of crops, moved by (B, 4, 4) matrices."""

    def forward(self, points: Tensor, matrices: Tensor) -> Tensor:
        """(B, P, 2) and (B, 4, 4) to (B, P, 2)."""
        return points @ matrices[:, :2, :2].transpose(1, 2) + matrices[:, None, :2, 3]
