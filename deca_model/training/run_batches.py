"""The batches of a stage: which faces are drawn, and how they are loaded."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np

from deca_model.data.faces import Faces
from deca_model.data.loader_processes import SHARED_MEMORY, bytes_in_flight, fits_shared_memory
from deca_model.data.loading import FaceBatch, FaceDataset, training_batches
from deca_model.data.sampler import SubjectSampler, TooFewFaces, expression_shares
from deca_model.settings.groups import TrainingConfig
from deca_model.training.state import StageRun
from manifests.errors import UsageError


def check_batches(config: TrainingConfig, stages: Sequence[str], table: Faces, world: int) -> None:
    """Check before the first step that the batches of all stages can be drawn.

    Args:
        config: the settings.
        stages: the stages of the run.
        table: the faces to train on.
        world: number of processes.

    Raises:
        UsageError: for each stage that does not fit, names the setting and what it can be.
    """
    faults = []
    for stage in stages:
        try:
            stage_sampler(config, stage, table, world)
        except UsageError as error:
            faults.append(str(error))
    if faults:
        raise UsageError(" ".join(faults))


def stage_sampler(config: TrainingConfig, stage: str, table: Faces, world: int) -> SubjectSampler:
    """The sampler of a stage, by its settings.

    Raises:
        UsageError: a setting does not fit the faces.
    """
    data, settings = config.data, config.stage_settings(stage)
    classes, shares = table.datasets, table.shares(data.mix)
    if settings.balance is not None:
        if data.mix:
            raise UsageError(f"data.mix and {stage}.balance: give only one of them.")
        classes, shares = table.expressions, expression_shares(table.expressions)
    try:
        return SubjectSampler(
            table.subjects,
            classes,
            subjects=settings.subjects * world,
            images=settings.images,
            seed=config.run.seed,
            shares=shares,
            scales=settings.scales or data.scales,
            shift=data.shift if settings.shift is None else settings.shift,
        )
    except TooFewFaces as error:
        most, together = error.groups // world, f" x {world} processes" if world > 1 else ""
        lower = f"set {stage}.subjects to {most} or less, or " if most else ""
        raise UsageError(
            f"{stage}.subjects={settings.subjects}{together}: a batch needs that many groups of "
            f"{settings.images} photos of a person, and the manifest gives {error.groups}; {lower}add photos."
        ) from None


def unbalanced(config: TrainingConfig, stage: str, table: Faces) -> str | None:
    """A line about the faces that a balanced stage leaves out; None if there is none."""
    if config.stage_settings(stage).balance is None:
        return None
    expressions = table.expressions
    left_out = int((~np.isin(expressions, list(expression_shares(expressions)))).sum())
    if not left_out:
        return None
    return f"{left_out} of {len(expressions)} faces have no expression from 0 to 7 and are left out"


def stage_batches(
    run: StageRun, sampler: SubjectSampler, start: int, stop: Callable[[], bool]
) -> Generator[FaceBatch, None, None]:
    """The batches of this process from number ``start`` on; see ``loading.training_batches``."""
    config, group = run.config, run.group
    dense = bool(config.loss.dense) and run.stage != "detail"
    dataset = FaceDataset(run.table, config.data.size, config.stage_settings(run.stage).augment, dense)
    workers = config.data.workers
    wanted = bytes_in_flight(run.faces // group.world, config.data.size, workers, dense)
    if group.first and not fits_shared_memory(wanted):
        run.progress.note(
            f"{SHARED_MEMORY} has no room for {2 * wanted / 1e6:.0f} MB of batches, so they come through "
            "pipes, a little slower; enlarge it (as with `docker run --shm-size=2g`), or lower data.workers"
        )
    return training_batches(
        dataset,
        sampler,
        start=start,
        workers=workers,
        pin=group.device.type == "cuda",
        rank=group.rank,
        world=group.world,
        patience=config.data.timeout,
        # Of several processes, none may leave the others waiting for its gradients.
        stop=stop if group.world == 1 else lambda: False,
    )
