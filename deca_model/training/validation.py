"""Measuring a model on held-out faces."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from deca_model.data.faces import Faces
from deca_model.data.loader_processes import PATIENCE, Stopped
from deca_model.data.loading import FaceBatch, FaceDataset, batches
from deca_model.data.sampler import Draws
from deca_model.losses.detail import uv_patch
from deca_model.losses.landmarks import landmark_loss
from deca_model.networks.model import Deca, Posed, resized
from deca_model.render.light import shade
from deca_model.settings.groups import LossSettings
from deca_model.training.finite_check import check_output
from deca_model.training.openings import carried_openings, opening_figures, openings
from deca_model.training.stages.registry import Stage
from manifests.images.crop import INFERENCE_SCALE
from manifests.landmarks import interocular

_BATCH = 16


class HeldOut:
    """Some rows of a table in a fixed order and with a fixed crop.

    Args:
        table: the held-out faces.
        size: side of the crop in pixels.
        faces: at most this many, spread evenly over the table.
        workers: loader processes.
        scale: side of the crop over the landmark box.
        patience: seconds to wait for a batch of the processes.
    """

    def __init__(
        self,
        table: Faces,
        size: int,
        faces: int,
        workers: int = 0,
        scale: float = INFERENCE_SCALE,
        patience: float = PATIENCE,
    ) -> None:
        count = min(faces, len(table))
        self.dataset = FaceDataset(table, size)
        self.rows = np.linspace(0, len(table) - 1, count).round().astype(np.int64)
        self.workers = workers
        self.scale = scale
        self.patience = patience

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, stop: Callable[[], bool] = lambda: False) -> Generator[FaceBatch, None, None]:
        """All faces, in batches; ``stop`` is that of ``loader_processes.received``."""
        draws = [
            fixed_draws(self.rows[start : start + _BATCH], start // _BATCH, self.scale)
            for start in range(0, len(self.rows), _BATCH)
        ]
        return batches(self.dataset, draws, _BATCH, workers=self.workers, patience=self.patience, stop=stop)

    def sample(self, faces: int) -> FaceBatch:
        """A few of the faces, spread evenly, as one batch."""
        chosen = np.linspace(0, len(self.rows) - 1, min(faces, len(self.rows))).round().astype(int)
        return self.dataset.load(fixed_draws(self.rows[chosen], 0, self.scale))


def fixed_draws(rows: np.ndarray, index: int, scale: float = INFERENCE_SCALE) -> Draws:
    """Draws that crop the rows as at inference."""
    return Draws(0, index, rows, np.full(len(rows), scale), np.zeros((len(rows), 2)))


@torch.no_grad()
def validate(
    model: Deca,
    held_out: HeldOut,
    device: torch.device,
    rendered: bool = False,
    loss: Callable[[FaceBatch], float] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Measure the model on held-out faces.

    Args:
        model: the model; its training modes are restored.
        held_out: the faces.
        device: where the model is.
        rendered: also measure the render and the details.
        loss: also measure this mean loss of a batch, see ``stage_loss``.
        stop: asked several times for each batch whether to give up.

    Returns:
        - ``landmark_error``: mean distance of the 68 points in % of the outer eye corners' distance, mean
          over faces; ``landmark_error_median``: the median over faces (in profile the eye corners nearly
          meet, so a few faces dominate the mean); ``landmark_error_box``: in % of the root of the landmark
          box's area;
        - ``landmark_loss``: the weighted training loss;
        - ``loss``, if it is given: its mean over faces;
        - ``shape_consistency``: see the function; only if a person has several faces;
        - ``mouth_correlation``, ``eye_correlation``, ``carried_mouth_correlation`` and
          ``carried_eye_correlation``: see ``openings.opening_figures``;
        - ``photometric_error``, if ``rendered``: mean absolute colour difference in [0, 1] over the visible
          face, for faces with a mask;
        - ``displacement_mm``, if ``rendered`` and the model has details: root mean square of the displacement
          in the face; ``detail_error`` and ``smooth_error``: the colour difference in UV, in the area of the
          detail loss, with and without the displacement; ``detail_gain``: by how many % the displacement
          lowers it.

    Raises:
        Stopped: ``stop`` returned true.
        NonFinite: the model's landmarks are not finite.
        WorkFailed: a face cannot be loaded.
    """
    predicted, truth, shapes, people, carried = [], [], [], [], []
    errors: list[float] = []
    means: dict[str, list[float]] = {}
    with closing(held_out.batches(stop)) as stream:
        for batch in stream:
            batch = batch.to(device)
            posed = predict(model, batch)
            predicted.append(posed.landmarks.cpu())
            truth.append(batch.landmarks.cpu())
            shapes.append(posed.codes.shape.cpu())
            people.append(batch.subjects.cpu())
            carried.append(carried_openings(model, posed.codes, shapes[0][:1].to(device)).cpu())
            _go_on(stop)
            if loss is not None:
                means["loss"] = means.get("loss", []) + [loss(batch)] * len(batch.images)
            _go_on(stop)
            if rendered:
                errors += photometric_errors(model, batch, posed)
            _go_on(stop)
            if rendered and model.detail is not None:
                for name, values in detail_figures(model, batch, posed).items():
                    means[name] = means.get(name, []) + values
    figures = landmark_figures(torch.cat(predicted), torch.cat(truth))
    figures |= shape_consistency(torch.cat(shapes).numpy(), torch.cat(people).numpy())
    seen, ours = (openings(torch.cat(points)) for points in (truth, predicted))
    figures |= opening_figures(seen, ours, torch.cat(carried))
    if errors:
        figures["photometric_error"] = float(np.mean(errors))
    if energies := means.pop("energy", []):
        figures["displacement_mm"] = float(np.sqrt(np.mean(energies)) * 1000)
    figures |= {name: float(np.mean(values)) for name, values in means.items() if values}
    if figures.get("smooth_error"):
        figures["detail_gain"] = 100 * (1 - figures["detail_error"] / figures["smooth_error"])
    return figures


def _go_on(stop: Callable[[], bool]) -> None:
    if stop():
        raise Stopped


def stage_loss(stage: Stage, weights: LossSettings, batch: FaceBatch) -> float:
    """The weighted sum of a stage's losses, in evaluation mode."""
    with evaluating(stage):
        losses = stage(batch).losses
    return float(sum(getattr(weights, name) * loss for name, loss in losses.items()))


def photometric_errors(model: Deca, batch: FaceBatch, posed: Posed) -> list[float]:
    """Mean absolute colour difference of each face that has a mask."""
    size = model.settings.render_size
    photos, masks = resized(batch.faces(), size), resized(batch.visible(), size)
    albedo = model.albedo(posed.codes.texture)
    drawn = model.renderer(posed.head.vertices, posed.vertices, albedo, posed.codes.light, size)
    difference, area = mean_difference(drawn.image, photos, drawn.face_mask * masks)
    return difference[batch.has_mask & (area > 0)].tolist()


def detail_figures(model: Deca, batch: FaceBatch, posed: Posed) -> dict[str, list[float]]:
    """Figures of the details, for each face.

    Returns:
        ``energy``: mean squared displacement in square metres over the texels of the face; ``detail_error``
        and, without the displacement, ``smooth_error``: mean absolute colour difference over the visible
        texels of the detail loss, for the faces that have a mask.
    """
    surface, photos = model.surface, batch.faces()
    with evaluating(model):
        displacement = model.displacement(model.encode_detail(photos), posed.codes)
    region = surface.region
    energy = (displacement.square() * region).flatten(1).sum(dim=1) / region.sum()
    visible = uv_patch(surface.visible(posed.head.vertices, posed.vertices, batch.visible()))
    target = uv_patch(model.layout.from_image(photos, posed.vertices))
    albedo = model.albedo(posed.codes.texture)
    figures = {"energy": energy.tolist()}
    smooth = surface.smooth(posed.head.vertices)
    moved = surface.displaced_normals(displacement, smooth)
    for name, normals in (("detail_error", moved), ("smooth_error", smooth.normals)):
        shading = shade(normals.permute(0, 2, 3, 1), posed.codes.light).permute(0, 3, 1, 2)
        drawn = uv_patch(albedo * shading)
        difference, area = mean_difference(drawn, target, visible)
        figures[name] = difference[batch.has_mask & (area > 0)].tolist()
    return figures


def mean_difference(
    drawn: Tensor,  # (B, 3, H, W)
    photo: Tensor,  # (B, 3, H, W)
    weight: Tensor,  # (B, 1, H, W), 0 to 1
) -> tuple[Tensor, Tensor]:  # (B,), (B,)
    """Each image's weighted mean of the absolute colour difference, and its sum of weights."""
    difference = ((drawn - photo).abs().mean(dim=1, keepdim=True) * weight).flatten(1).sum(dim=1)
    area = weight.flatten(1).sum(dim=1)
    return difference / area.clamp(min=1.0), area


def shape_consistency(
    shapes: np.ndarray,  # (N, 100)
    people: np.ndarray,  # (N,)
) -> dict[str, float]:
    """The distance of shape codes within persons, over their distance between persons.

    Both are root mean square distances of two codes. 1: the shape code does not depend on the person; 0: it
    depends only on the person. Empty if no person has two faces, or if there is only one person. The squared
    distances of all pairs of n codes sum up to 2 n (sum of squares) - 2 (square of the sum).
    """
    codes = np.asarray(shapes, np.float64) - np.mean(shapes, axis=0, dtype=np.float64)
    _, person, faces = np.unique(people, return_inverse=True, return_counts=True)
    sums = np.zeros((len(faces), codes.shape[1]))
    np.add.at(sums, person, codes)
    squares = np.bincount(person, np.square(codes).sum(axis=1))
    within = (2 * faces * squares - 2 * np.square(sums).sum(axis=1)).sum()
    between = 2 * len(codes) * squares.sum() - within  # the codes' sum is 0
    pairs_within, pairs_between = (faces * (faces - 1)).sum(), len(codes) ** 2 - (faces**2).sum()
    if not pairs_within or not pairs_between:
        return {}
    ratio = np.sqrt(max(within, 0) / pairs_within / max(between / pairs_between, 1e-12))
    return {"shape_consistency": float(ratio)}


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
    """Run the model on one batch as at inference.

    Raises:
        NonFinite: its landmarks are not finite.
    """
    with evaluating(model):
        posed = model.pose(model.encode(batch.faces()))
    check_output(posed.landmarks)
    return posed


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Set all parts to evaluation mode, then restore each part's mode: some are frozen in training."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
