"""The batches of a stage: which faces are drawn, and how they are loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence

import numpy as np

from deca_model.data.faces import Faces
from deca_model.data.loader_processes import SHARED_MEMORY, bytes_in_flight, fits_shared_memory
from deca_model.data.loading import FaceBatch, FaceDataset, training_batches
from deca_model.data.sampler import SubjectSampler, TooFewFaces, expression_shares
from deca_model.settings.groups import TrainingConfig
from deca_model.training.state import StageRun
from manifests.cores import cpu_count
from manifests.errors import UsageError


def check_batches(config: TrainingConfig, stages: Sequence[str], table: Faces, world: int) -> None:
    """Check before the first step that the batches of all stages can be drawn.

    Args:
        config: the settings.
        stages: the stages of the run.
        table: the faces to train on.
        world: number of processes.

    Raises:
        UsageError: one sentence, which for each stage that does not fit names the setting and what it can be.
    """
    short = {}
    for stage in stages:
        try:
            _sampler(config, stage, table, world)
        except TooFewFaces as error:
            short[stage] = error.groups
    if short:
        raise UsageError(_too_few(config, short, world))


def batch_notes(config: TrainingConfig, stages: Sequence[str], table: Faces, world: int) -> list[str]:
    """Lines about batches that can be drawn, but teach less than their settings promise."""
    settings = {stage: config.stage_settings(stage) for stage in stages}
    settings = {stage: each for stage, each in settings.items() if each.images > 1}
    if not settings:
        return []
    _, photos = np.unique(table.subjects, return_counts=True)
    lines = []
    largest = max(settings, key=lambda stage: settings[stage].subjects)
    together = settings[largest].subjects * world
    if len(photos) == 1:
        ring = ", and loss.ring has no others to compare with" if config.loss.ring else ""
        lines.append(f"the manifest has one person only, who fills each batch{ring}")
    elif len(photos) < together:
        lines.append(
            f"the manifest has {len(photos)} persons, fewer than a batch takes ({largest}.subjects: "
            f"{together}), so some come twice in a batch"
        )
    paired = [f"{stage}.images={each.images}" for stage, each in settings.items()]
    alone = int((photos == 1).sum())
    if alone:
        ring = " and loss.ring teach" if config.loss.ring else " teaches"
        lines.append(
            f"{alone} of {len(photos)} persons have a single photo, which is repeated for "
            f"{', '.join(paired)}: swapping shapes{ring} nothing there"
        )
    return lines


def worker_note(config: TrainingConfig) -> str | None:
    """A line if the loader's processes are more than this machine has cores; None if not."""
    cores = cpu_count()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE") or 1)
    if config.data.workers <= max(1, cores // processes):
        return None
    each = f" for each of {processes} processes" if processes > 1 else ""
    return (
        f"data.workers={config.data.workers}{each}, and this machine has {cores} cores; "
        f"--set data.workers={max(1, cores // processes)} may be faster"
    )


def stage_sampler(config: TrainingConfig, stage: str, table: Faces, world: int) -> SubjectSampler:
    """The sampler of a stage, by its settings.

    Raises:
        UsageError: a setting does not fit the faces.
    """
    try:
        return _sampler(config, stage, table, world)
    except TooFewFaces as error:
        raise UsageError(_too_few(config, {stage: error.groups}, world)) from None


def _sampler(config: TrainingConfig, stage: str, table: Faces, world: int) -> SubjectSampler:
    data, settings = config.data, config.stage_settings(stage)
    classes, shares = table.datasets, table.shares(data.mix)
    if settings.balance is not None:
        if data.mix:
            raise UsageError(f"data.mix and {stage}.balance: give only one of them.")
        classes, shares = table.expressions, expression_shares(table.expressions)
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


def _too_few(config: TrainingConfig, short: Mapping[str, int], world: int) -> str:
    """The sentence for stages whose batches cannot be filled.

    Args:
        config: the settings.
        short: by stage the number of groups of photos of a person that the manifest gives.
        world: number of processes.
    """
    together = f" x {world} processes" if world > 1 else ""
    wanted, lower = [], []
    for stage, groups in short.items():
        settings = config.stage_settings(stage)
        plural = "s" * (groups != 1)
        what = f"group{plural} of {settings.images} photos of a person"
        what = f"photo{plural}" if settings.images == 1 else what
        wanted.append(f"{stage}.subjects={settings.subjects}{together} exceeds its {groups} {what}")
        lower.append(f"--set {stage}.subjects={groups // world}")
    most = min(short.values())
    way = f"start {most} processes at most" if most < world else f"lower with {' '.join(lower)}"
    return f"the manifest is too small for the batches: {'; '.join(wanted)}; {way}, or add photos."


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
