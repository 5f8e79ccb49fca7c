"""From rows to tensors: decode small, cut, resize; bytes until the accelerator has them.

A worker loads a whole batch at a time. An image is decoded at a half, a quarter or an eighth of its size
where its crop allows that, the square is cut out before anything else touches the pixels, and the mask goes
through the same cut. An image that cannot be read stops the run with its name: the pipeline has read every
file of the manifest before, so a file that fails now means a changed disk, and the run can resume.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from deca_model.data.augment import augment
from deca_model.data.faces import Faces
from deca_model.data.loader_processes import (
    PATIENCE,
    Piped,
    bytes_in_flight,
    few_cores,
    fits_shared_memory,
    loader_options,
    received,
    unpiped,
)
from deca_model.data.sampler import Draws, SubjectSampler
from deca_model.settings.batches import AugmentSettings
from manifests.errors import WorkFailed
from manifests.images.crop import Square, cut_square, face_square, normalise_points, snap
from manifests.images.reduction import reduction_for_crop

MESH_POINTS = 478


@dataclass(frozen=True)
class FaceBatch:
    """B subjects x K images, subject after subject; N = B * K. Still bytes: see ``faces``."""

    images: Tensor  # (N, S, S, 3) uint8 RGB
    masks: Tensor  # (N, S, S) uint8, 255 on the visible face; 0 where has_mask is False
    has_mask: Tensor  # (N,) bool
    landmarks: Tensor  # (N, 68, 2) float32, normalised image coordinates
    subjects: Tensor  # (N,) int64, number of the subject within the table
    # (N, 3) float64: centre x, y and side of the crop, before it is augmented, in pixels of the image or
    # packed crop
    squares: Tensor
    sample_ids: tuple[str, ...]
    position: tuple[int, int]  # epoch and batch
    partners: Tensor | None = None  # (N,) int64, see swap_partners; None: no codes are swapped
    # (N, 478, 2) float32, normalised image coordinates; meaningless where has_dense is False; None: not
    # loaded
    dense: Tensor | None = None
    has_dense: Tensor | None = None  # (N,) bool

    def pin_memory(self) -> FaceBatch:
        """A copy in page-locked memory, for transfers that overlap with computing."""
        return self._each(lambda value: value.pin_memory())

    def to(self, device: torch.device) -> FaceBatch:
        """A copy on ``device``; asynchronous from page-locked memory."""
        return self._each(lambda value: value.to(device, non_blocking=True))

    def first(self, count: int) -> FaceBatch:
        """The first faces of the batch."""
        return replace(self._each(lambda value: value[:count]), sample_ids=self.sample_ids[:count])

    def faces(self) -> Tensor:  # (N, 3, S, S)
        """The images as floats in [0, 1], channels-last in memory."""
        return self.images.permute(0, 3, 1, 2).float() / 255

    def visible(self) -> Tensor:  # (N, 1, S, S)
        """The masks as floats in [0, 1]; only meaningful where ``has_mask``."""
        return self.masks[:, None].float() / 255

    def _each(self, change) -> FaceBatch:
        changed = {
            field.name: change(value)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **changed)


@dataclass(frozen=True)
class LoadFailure:
    """What a worker hands over instead of a batch: exceptions of workers lose their plain message."""

    message: str


class FaceDataset(Dataset):
    """Loads the batch that a ``Draws`` describes.

    Args:
        table: the faces.
        size: side of the crops in pixels.
        augmentation: changes of the photos; None: none.
        dense: whether the dense meshes are loaded too.
    """

    def __init__(
        self,
        table: Faces,
        size: int = 224,
        augmentation: AugmentSettings | None = None,
        dense: bool = False,
    ) -> None:
        self.table = table
        self.size = size
        self.augmentation = augmentation
        self.dense = dense

    def __getitem__(self, draws: Draws) -> FaceBatch | LoadFailure:
        try:
            return self.load(draws)
        except WorkFailed as error:
            return LoadFailure(str(error))

    def load(self, draws: Draws) -> FaceBatch:
        """Loads one batch.

        Raises:
            WorkFailed: a file is missing, damaged, or no longer has the size that the manifest says.
        """
        count, size, table = len(draws.rows), self.size, self.table
        images = np.empty((count, size, size, 3), np.uint8)
        masks = np.zeros((count, size, size), np.uint8)
        has_mask = np.zeros(count, bool)
        squares = np.empty((count, 3), np.float64)
        dense = np.zeros((count, MESH_POINTS if self.dense else 0, 2), np.float32)
        has_dense = np.zeros(count, bool)
        points = table.landmarks[draws.rows]
        wanted = face_square(points, draws.scales, draws.shifts)
        for n, row in enumerate(draws.rows):
            reduction = reduction_for_crop(float(wanted.side[n]), size)
            square, cut = snap(Square(wanted.center[n], wanted.side[n]), reduction)
            image, mask = table.read(row, reduction)
            images[n] = cut_square(image, cut, size)
            if mask is not None:
                masks[n] = cut_square(mask, cut, size)
                has_mask[n] = True
            squares[n, :2], squares[n, 2] = square
            mesh = table.read_dense(row) if self.dense else None
            if mesh is not None:
                dense[n], has_dense[n] = mesh, True
        snapped = Square(squares[:, :2], squares[:, 2])
        landmarks, dense = normalise_points(points, snapped), normalise_points(dense, snapped)
        if self.augmentation is not None and draws.seeds is not None:
            for n, seed in enumerate(draws.seeds.tolist()):
                images[n], masks[n], moved = augment(
                    images[n], masks[n], np.concatenate([landmarks[n], dense[n]]), self.augmentation, seed
                )
                landmarks[n], dense[n] = moved[:68], moved[68:]
        return FaceBatch(
            images=torch.from_numpy(images),
            masks=torch.from_numpy(masks),
            has_mask=torch.from_numpy(has_mask),
            landmarks=torch.from_numpy(landmarks),
            subjects=torch.from_numpy(table.subjects[draws.rows]),
            squares=torch.from_numpy(squares),
            sample_ids=tuple(table.sample_ids[row].as_py() for row in draws.rows),
            position=(draws.epoch, draws.index),
            partners=None if draws.partners is None else torch.from_numpy(draws.partners),
            dense=torch.from_numpy(dense) if self.dense else None,
            has_dense=torch.from_numpy(has_dense) if self.dense else None,
        )


def training_batches(
    dataset: FaceDataset,
    sampler: SubjectSampler,
    *,
    start: int = 0,
    workers: int = 0,
    pin: bool = False,
    rank: int = 0,
    world: int = 1,
    patience: float = PATIENCE,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[FaceBatch, None, None]:
    """Yields batches without end, from batch number ``start`` on, the same for any number of workers.

    Close it to end the processes. ``patience`` and ``stop`` are those of ``loader_processes.received``.

    Raises:
        Stopped: ``stop`` returned true while no batch was there.
        WorkFailed: see ``FaceDataset.load``; also if no batch comes from the processes.
    """
    faces = sampler.subjects * sampler.images // world
    draws = _Stream(sampler, start, rank, world)
    return batches(dataset, draws, faces, workers=workers, pin=pin, patience=patience, stop=stop)


def batches(
    dataset: FaceDataset,
    draws: Iterable[Draws],
    faces: int,
    *,
    workers: int = 0,
    pin: bool = False,
    patience: float = PATIENCE,
    stop: Callable[[], bool] = lambda: False,
) -> Generator[FaceBatch, None, None]:
    """Loads batch after batch of at most ``faces`` faces, in the order of ``draws``.

    Batches that may not fit into the shared memory come through pipes.

    Raises:
        Stopped: ``stop`` returned true while no batch was there.
        WorkFailed: see ``FaceDataset.load``; also if no batch comes from the processes.
    """
    piped = not fits_shared_memory(bytes_in_flight(faces, dataset.size, workers, dataset.dense))
    with few_cores():
        loader = DataLoader(
            Piped(dataset) if piped else dataset,
            batch_size=None,
            sampler=draws,  # type: ignore[arg-type]  # any iterable will do
            pin_memory=pin and not piped,
            generator=torch.Generator(),  # else each start of a loader would draw from torch's own generator
            **loader_options(workers),
        )
    with closing(received(loader, patience, stop)) as stream:
        for loaded in stream:
            if isinstance(loaded, LoadFailure):
                raise WorkFailed(loaded.message)
            yield unpiped(loaded) if piped else loaded


class _Stream:
    """The sampler's endless stream as the iterable that a DataLoader asks for."""

    def __init__(self, sampler: SubjectSampler, start: int, rank: int, world: int) -> None:
        self.sampler, self.start, self.rank, self.world = sampler, start, rank, world

    def __iter__(self) -> Iterator[Draws]:
        for draws in self.sampler.stream(self.start):
            yield draws.share(self.rank, self.world)
