"""The batches of a stage: which faces are drawn, and how they are loaded."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np

from deca_model.data.loader_processes import SHARED_MEMORY, bytes_in_flight, fits_shared_memory
from deca_model.data.loading import FaceBatch, FaceDataset, training_batches
from deca_model.data.sampler import SubjectSampler, expression_shares
from deca_model.training.state import StageRun
from manifests.errors import UsageError


def stage_sampler(run: StageRun) -> SubjectSampler:
    """The sampler of a stage, by its settings.

    Raises:
        UsageError: a setting does not fit the faces.
    """
    data, settings = run.config.data, run.config.stage_settings(run.stage)
    classes, shares = run.table.datasets, run.table.shares(data.mix)
    if settings.balance is not None:
        classes, shares = _balanced(run)
    return SubjectSampler(
        run.table.subjects,
        classes,
        subjects=run.subjects,
        images=settings.images,
        seed=run.config.run.seed,
        shares=shares,
        scales=settings.scales or data.scales,
        shift=data.shift if settings.shift is None else settings.shift,
    )


def stage_batches(
    run: StageRun, sampler: SubjectSampler, start: int, stop: Callable[[], bool]
) -> Generator[FaceBatch, None, None]:
    """The batches of this process from number ``start`` on; see ``loading.training_batches``."""
    config, group = run.config, run.group
    dataset = FaceDataset(run.table, config.data.size, config.stage_settings(run.stage).augment)
    workers = config.data.workers
    wanted = bytes_in_flight(run.faces // group.world, config.data.size, workers)
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


def _balanced(run: StageRun) -> tuple[np.ndarray, dict[int, float]]:
    """The expression of each face and the expressions' shares, for ``SubjectSampler``."""
    if run.config.data.mix:
        raise UsageError(f"data.mix and {run.stage}.balance: give only one of them.")
    expressions = run.table.expressions
    shares = expression_shares(expressions)
    left_out = int((~np.isin(expressions, list(shares))).sum())
    if left_out and run.group.first:
        run.progress.note(
            f"{left_out} of {len(expressions)} faces have no expression from 0 to 7 and are left out"
        )
    return expressions, shares
