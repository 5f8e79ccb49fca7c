"""How good a model is on faces that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from deca_model.crop import INFERENCE_SCALE
from deca_model.data import FaceBatch, FaceDataset, batches
from deca_model.losses.landmarks import landmark_loss
from deca_model.model import Deca, Posed
from deca_model.sampler import Draws
from deca_model.table import FaceTable
from manifests.landmarks import interocular

_BATCH = 16


class HeldOut:
    """Some rows of a table in a fixed order and with a fixed crop.

    Args:
        table: the held-out faces.
        size: side of the crop in pixels.
        faces: at most this many, spread evenly over the table.
        workers: loader processes.
    """

    def __init__(self, table: FaceTable, size: int, faces: int, workers: int = 0) -> None:
        count = min(faces, len(table))
        self.dataset = FaceDataset(table, size)
        self.rows = np.linspace(0, len(table) - 1, count).round().astype(np.int64)
        self.workers = workers

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self) -> Iterator[FaceBatch]:
        """All faces, in batches."""
        draws = [
            fixed_draws(self.rows[start : start + _BATCH], start // _BATCH)
            for start in range(0, len(self.rows), _BATCH)
        ]
        return batches(self.dataset, draws, workers=self.workers)

    def sample(self, faces: int) -> FaceBatch:
        """A few of the faces, spread evenly, as one batch."""
        chosen = np.linspace(0, len(self.rows) - 1, min(faces, len(self.rows))).round().astype(int)
        return self.dataset.load(fixed_draws(self.rows[chosen], 0))


def fixed_draws(rows: np.ndarray, index: int) -> Draws:
    """Rows to be cropped as at inference."""
    return Draws(0, index, rows, np.full(len(rows), INFERENCE_SCALE), np.zeros((len(rows), 2)))


@torch.no_grad()
def validate(model: Deca, held_out: HeldOut, device: torch.device) -> dict[str, float]:
    """Measures the model on held-out faces.

    Returns:
        ``landmark_error``: mean distance of the 68 points in % of the outer eye corners' distance, mean over
        faces; ``landmark_error_median``: its median (in profile the eye corners nearly meet, and the mean
        follows a few faces); ``landmark_error_box``: in % of the root of the landmark box's area;
        ``landmark_loss``: the weighted loss of training.
    """
    predicted, truth = [], []
    for batch in held_out.batches():
        predicted.append(predict(model, batch.to(device)).landmarks.cpu())
        truth.append(batch.landmarks)
    return landmark_figures(torch.cat(predicted), torch.cat(truth))


def landmark_figures(
    predicted: Tensor,  # (N, 68, 2)
    truth: Tensor,  # (N, 68, 2)
) -> dict[str, float]:
    """The landmark figures of ``validate``."""
    distance = (predicted - truth).norm(dim=-1).mean(dim=1).double().numpy()
    points = truth.numpy()
    eyes = distance / np.maximum(interocular(points), 1e-6)
    box = distance / np.sqrt(np.prod(points.max(1) - points.min(1), axis=1))
    return {
        "landmark_error": float(eyes.mean() * 100),
        "landmark_error_median": float(np.median(eyes) * 100),
        "landmark_error_box": float(box.mean() * 100),
        "landmark_loss": float(landmark_loss(predicted, truth)),
        "faces": len(points),
    }


@torch.no_grad()
def predict(model: Deca, batch: FaceBatch) -> Posed:
    """Runs the model on one batch as at inference."""
    with evaluating(model):
        return model.pose(model.encode(batch.faces()))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Puts all parts in evaluation mode, and each back in its own: some parts stay frozen in training."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
