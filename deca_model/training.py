"""The training loop: batches in, checkpoints and figures out. It reads from top to bottom."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from deca_model.checkpoints import (
    checkpoints,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    seed_everything,
    set_random_state,
)
from deca_model.config import TrainingConfig
from deca_model.configfile import dump_config
from deca_model.data import FaceBatch, FaceDataset, training_batches
from deca_model.finite import check_finite
from deca_model.model import Deca, resolve_device
from deca_model.processes import Processes, processes, stop_requested
from deca_model.progress import Progress, Silent
from deca_model.reporting import RunReport
from deca_model.sampler import SubjectSampler
from deca_model.stages import Stage, make_stage
from deca_model.table import FaceTable, open_table
from manifests.errors import UsageError
from manifests.files import write_atomic

_LASTING = ("data", "model", "stage", "run.seed")


def train(
    config: TrainingConfig,
    manifest: Path | Sequence[Path],
    validation: Path | None,
    out: Path,
    resume: bool = False,
    progress: Progress | None = None,
    *,
    roots: Mapping[str, Path] | None = None,
    start_from: Path | None = None,
) -> Path:
    """Trains the stage, or all stages, that ``config.stage`` names.

    Args:
        config: the settings, see ``configfile.load_config``.
        manifest: one or more manifests to train on.
        validation: a manifest of held-out faces; None takes ``val.parquet`` beside the first manifest if
            it is there.
        out: the run folder; with stage ``all``, each stage has a folder of its own in it.
        resume: goes on from the newest checkpoint in ``out``.
        progress: is told about every step.
        roots: folders that moved since the manifest was made, by dataset name.
        start_from: a checkpoint or run folder of an earlier stage, whose weights are the start.

    Returns:
        The last checkpoint.

    Raises:
        UsageError: a manifest, setting, checkpoint or weight file is missing or unfit.
        NonFiniteLoss: a loss or gradient is not finite; the last checkpoint is good.
        UnreadableImage: an image of the manifest cannot be read any more.
        KeyboardInterrupt: Ctrl-C; a checkpoint of the last whole step has been written.
    """
    paths = [Path(manifest)] if isinstance(manifest, (str, Path)) else [Path(path) for path in manifest]
    table = open_table(paths, roots)
    held_out = _held_out(paths[0], validation, roots)
    stages = config.stages()
    if not resume and any(checkpoints(folder / "checkpoints") for folder in _folders(out, stages)):
        raise UsageError(f"{out}: a run is there already; go on with --resume, or choose another --out.")
    checkpoint = start_from
    with processes(resolve_device(config.run.device)) as group:
        for stage, folder in zip(stages, _folders(out, stages), strict=True):
            job = Job(config, stage, folder, table, held_out, group, progress or Silent())
            checkpoint = train_stage(job, resume, checkpoint)
    assert checkpoint is not None
    return checkpoint


@dataclass(frozen=True)
class Job:
    """One stage of a run and what it works with."""

    config: TrainingConfig
    stage: str
    folder: Path
    table: FaceTable
    held_out: FaceTable | None
    group: Processes
    progress: Progress


@dataclass
class State:
    """What a step changes."""

    module: nn.Module  # the stage, perhaps wrapped for several processes
    stage: Stage
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    step: int = 0


def train_stage(job: Job, resume: bool, start_from: Path | None) -> Path:
    """Trains one stage and returns its last checkpoint (see ``train``)."""
    config, group = job.config, job.group
    settings = config.stage_settings(job.stage)
    seed_everything(config.run.seed)
    sampler = _sampler(job)
    total = settings.steps or max(1, math.ceil((settings.epochs or 0) * sampler.batches_per_epoch))
    state = _begin(job, total, start_from)
    if resume and checkpoints(job.folder / "checkpoints"):
        _restore(job, state)
    if group.first:
        write_atomic(job.folder / "config.yaml", dump_config(config).encode())
    stream = training_batches(
        FaceDataset(job.table, config.data.size),
        sampler,
        start=state.step,
        workers=config.data.workers,
        pin=group.device.type == "cuda",
        rank=group.rank,
        world=group.world,
    )
    report = RunReport(
        config, job.stage, job.folder, state.step, job.held_out, job.progress if group.first else Silent()
    )
    job.progress.begin(job.stage, total, state.step)
    with report, stop_requested() as stop:
        for batch in itertools.islice(stream, total - state.step):
            report.batch_ready()
            batch = batch.to(group.device)
            values = train_step(state, batch, config, group, job.folder)
            epoch_over = state.step % sampler.batches_per_epoch == 0 or state.step == total
            if group.first:
                rate = {"learning_rate": state.scheduler.get_last_lr()[0], "epoch": batch.position[0]}
                report.step(state.step, {**values, **rate}, settings.subjects * settings.images)
                if report.wants_figures(state.step, epoch_over):
                    report.figures(state.step, state.stage.model, group.device)
                if report.wants_pictures(state.step, total):
                    report.pictures(state.step, state.stage, batch, group.device)
            stopping = group.any(stop())
            if state.step % config.log.checkpoint_every == 0 or state.step == total or stopping:
                _save(job, state)
            if stopping:
                raise KeyboardInterrupt
    job.progress.end()
    return checkpoints(job.folder / "checkpoints")[-1]


def train_step(
    state: State, batch: FaceBatch, config: TrainingConfig, group: Processes, folder: Path
) -> dict[str, float]:
    """Makes one step and returns its losses by name, their weighted sum and the gradient's norm.

    Raises:
        NonFiniteLoss: before anything is changed by the step.
    """
    losses = state.module(batch)
    weighted = [getattr(config.loss, name) * loss for name, loss in losses.items()]
    total = torch.stack(weighted).sum()
    state.optimizer.zero_grad(set_to_none=True)
    total.backward()
    parameters = [p for p in state.stage.trainable().parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    # One transfer for all figures: each would wait for the accelerator.
    figures = torch.stack([*(loss.detach().float() for loss in losses.values()), total.detach(), norm])
    values = dict(zip([*losses, "total", "gradient_norm"], figures.tolist(), strict=True))
    check_finite(values, batch, state.step + 1, folder)
    if config.optimizer.clip is not None:
        nn.utils.clip_grads_with_norm_(parameters, config.optimizer.clip, norm)
    state.optimizer.step()
    state.scheduler.step()
    state.step += 1
    if group.world > 1:
        values = dict(zip(values, group.mean(figures).tolist(), strict=True))
    return values


def _begin(job: Job, total: int, start_from: Path | None) -> State:
    """Builds the stage with its start weights."""
    config, device = job.config, job.group.device
    model = Deca(config.model, config.run)
    if start_from is not None:
        load_weights(model, load_checkpoint(start_from)["model"], start_from)
    elif job.stage == "detail":
        raise UsageError("the detail stage needs a trained coarse model: give its run as --start-from.")
    elif job.stage == "coarse":
        job.progress.note("coarse begins without a pretrained encoder (--start-from RUN would give one)")
    model.to(device)
    stage = make_stage(job.stage, model, config)
    trained = stage.trainable()
    if config.run.channels_last:
        trained.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.run.compile:
        trained.compile()
    for parameter in set(model.parameters()) - set(trained.parameters()):
        parameter.requires_grad_(False)
    settings = config.optimizer
    optimizer = torch.optim.Adam(
        trained.parameters(),
        lr=config.stage_settings(job.stage).learning_rate or settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=device.type == "cuda" or None,
    )

    def rate(step: int) -> float:
        rising = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
        return rising if settings.decay == "none" else rising * (1 + math.cos(math.pi * step / total)) / 2

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    stage.train()
    return State(job.group.wrap(stage), stage, optimizer, scheduler)


def _sampler(job: Job) -> SubjectSampler:
    data, settings = job.config.data, job.config.stage_settings(job.stage)
    if settings.subjects % job.group.world:
        raise UsageError(
            f"{job.stage}.subjects={settings.subjects} does not divide among {job.group.world} processes."
        )
    return SubjectSampler(
        job.table.subjects,
        job.table.datasets,
        subjects=settings.subjects,
        images=settings.images,
        seed=job.config.run.seed,
        shares=job.table.shares(data.mix),
        scales=data.scales,
        shift=data.shift,
    )


def _save(job: Job, state: State) -> None:
    if not job.group.first:
        return
    parts = {
        "stage": job.stage,
        "model": state.stage.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scheduler": state.scheduler.state_dict(),
        "config": job.config.model_dump(mode="json"),
        "manifest": job.table.fingerprint,
        "torch": str(torch.__version__),
    }
    save_checkpoint(job.folder / "checkpoints", state.step, parts, job.config.log.keep)


def _restore(job: Job, state: State) -> None:
    """Puts the newest checkpoint of the folder into ``state``.

    Raises:
        UsageError: the manifest or a setting that the batches or the weights depend on has changed.
    """
    path = checkpoints(job.folder / "checkpoints")[-1]
    saved = load_checkpoint(path)
    if saved["manifest"] != job.table.fingerprint:
        raise UsageError(
            f"{path}: it was trained on another manifest; give that one, or begin anew with --start-from."
        )
    changed = _changes(saved["config"], job.config.model_dump(mode="json"))
    for name in changed:
        if name.startswith((*_LASTING, job.stage)) and name != "data.workers" and not name.endswith(".steps"):
            raise UsageError(f"{path}: the setting {name} has changed, so this run cannot go on with it.")
    if changed:
        job.progress.note(f"resumed with changed settings: {', '.join(changed)}")
    load_weights(state.stage.model, saved["model"], path)
    state.optimizer.load_state_dict(saved["optimizer"])
    state.scheduler.load_state_dict(saved["scheduler"])
    set_random_state(saved["random"])
    state.step = saved["step"]


def _changes(old: Mapping, new: Mapping, prefix: str = "") -> list[str]:
    """Full names of the settings that differ."""
    found = []
    for name in sorted({*old, *new}):
        before, now = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(now, dict):
            found += _changes(before, now, f"{prefix}{name}.")
        elif before != now:
            found.append(prefix + name)
    return found


def _folders(out: Path, stages: Sequence[str]) -> list[Path]:
    return [out / stage for stage in stages] if len(stages) > 1 else [out]


def _held_out(manifest: Path, validation: Path | None, roots: Mapping[str, Path] | None) -> FaceTable | None:
    path = validation or manifest.with_name("val.parquet")
    if validation is None and (not path.is_file() or path == manifest):
        return None
    return open_table([path], roots)
