"""The training loop: batches in, checkpoints and figures out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from deca_model.data.faces import Faces, open_table
from deca_model.data.loading import FaceBatch, FaceDataset, training_batches
from deca_model.data.sampler import SubjectSampler, expression_shares
from deca_model.networks.model import resolve_device
from deca_model.settings.groups import TrainingConfig
from deca_model.settings.reading import dump_config
from deca_model.training.checkpoints import checkpoints, result, seed_everything
from deca_model.training.finite_check import check_finite
from deca_model.training.listener import Progress, Silent
from deca_model.training.processes import Processes, processes, stop_requested
from deca_model.training.reporting import RunReport
from deca_model.training.stages.registry import check_files
from deca_model.training.state import StageRun, State, begin, save
from manifests.errors import UsageError
from manifests.files import write_atomic


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
    """Train the stage that ``config.stage`` names, or all stages.

    Args:
        config: the settings, see ``reading.load_config``.
        manifest: one or more manifests to train on.
        validation: a manifest of held-out faces; None uses ``val.parquet`` (or, for a pack, ``val.json``)
            beside the first manifest, if it exists.
        out: the run folder; with stage ``all``, each stage has its own folder in it.
        resume: continue from the newest checkpoint in ``out``.
        progress: receives every step.
        roots: folders that moved since the manifest was made, by dataset name.
        start_from: a checkpoint or run folder of an earlier stage, or DECA's ``model.tar``; training starts
            from its weights.

    Returns:
        The result: the last checkpoint, or, with the setting ``patience``, the one with the lowest held-out
        loss.

    Raises:
        UsageError: a manifest, setting, checkpoint or weight file is missing or does not fit.
        NonFiniteLoss: a loss or gradient is not finite; the last checkpoint is usable.
        WorkFailed: an image of the manifest can no longer be read.
        KeyboardInterrupt: Ctrl-C was pressed; a checkpoint of the last complete step has been written.
    """
    paths = [Path(manifest)] if isinstance(manifest, (str, Path)) else [Path(path) for path in manifest]
    table = open_table(paths, roots)
    held_out = _held_out(paths[0], validation, roots)
    stages = config.stages()
    check_files(stages, config)
    if not resume and any(checkpoints(folder / "checkpoints") for folder in _folders(out, stages)):
        raise UsageError(
            f"{out}: this folder already holds a run; continue it with --resume, or choose another --out."
        )
    checkpoint = start_from
    with processes(resolve_device(config.run.device)) as group:
        for stage, folder in zip(stages, _folders(out, stages), strict=True):
            run = StageRun(config, stage, folder, table, held_out, group, progress or Silent())
            checkpoint = train_stage(run, resume, checkpoint)
    assert checkpoint is not None
    return checkpoint


def train_stage(run: StageRun, resume: bool, start_from: Path | None) -> Path:
    """Train one stage and return its resulting checkpoint (see ``train``)."""
    config, group = run.config, run.group
    settings = config.stage_settings(run.stage)
    seed_everything(config.run.seed)
    sampler = _sampler(run)
    total = settings.steps or max(1, math.ceil((settings.epochs or 0) * sampler.batches_per_epoch))
    state = begin(run, total, resume, start_from)
    if group.first:
        write_atomic(run.folder / "config.yaml", dump_config(config).encode())
    if settings.patience is not None and run.held_out is None and group.first:
        run.progress.note(f"without held-out faces, {run.stage}.patience={settings.patience} has no effect")
    over = state.best.over(settings.patience)
    stream = training_batches(
        FaceDataset(run.table, config.data.size, settings.augment),
        sampler,
        start=state.step,
        workers=config.data.workers,
        pin=group.device.type == "cuda",
        rank=group.rank,
        world=group.world,
    )
    with _report(run, state.step, total) as report, stop_requested() as stop:
        for batch in itertools.islice(stream, 0 if over else total - state.step):
            if report is not None:
                report.batch_ready()
            batch = batch.to(group.device)
            values = train_step(state, batch, config, group, run.folder)
            better = report is not None and _report_step(
                report, state, batch, values, sampler.batches_per_epoch, total
            )
            stopping = group.any(stop())
            over = settings.patience is not None and group.any(state.best.over(settings.patience))
            last = stopping or over or state.step == total
            if state.step % config.log.checkpoint_every == 0 or better or last:
                save(run, state)
            if stopping:
                raise KeyboardInterrupt
            if over:
                break
    if over and group.first:
        run.progress.note(
            f"{run.stage} ends at step {state.step}: the held-out loss has not fallen for "
            f"{settings.patience} validations; the result is step {state.best.step or state.step}"
        )
    group.wait()  # until the first process has written the last checkpoint
    return result(run.folder)


def train_step(
    state: State, batch: FaceBatch, config: TrainingConfig, group: Processes, folder: Path
) -> dict[str, float]:
    """Make one step and return its losses by name, their weighted sum, the gradient's norm, and counts.

    Raises:
        NonFiniteLoss: a loss or the gradient is not finite; the step has changed nothing.
    """
    losses, counts = state.module(batch)
    weighted = [getattr(config.loss, name) * loss for name, loss in losses.items()]
    total = torch.stack(weighted).sum()
    state.optimizer.zero_grad(set_to_none=True)
    total.backward()
    parameters = [p for p in state.stage.trainable().parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    # One transfer for all figures, because each transfer waits for the GPU.
    names = [*losses, "total", "gradient_norm", *counts]
    figures = torch.stack([v.detach().float() for v in (*losses.values(), total, norm, *counts.values())])
    values = dict(zip(names, figures.tolist(), strict=True))
    check_finite(values, batch, state.step + 1, folder)
    if config.optimizer.clip is not None:
        nn.utils.clip_grads_with_norm_(parameters, config.optimizer.clip, norm)
    state.optimizer.step()
    state.scheduler.step()
    state.step += 1
    if group.world > 1:
        values = dict(zip(values, group.mean(figures).tolist(), strict=True))
    return values


def _report_step(
    report: RunReport,
    state: State,
    batch: FaceBatch,
    values: Mapping[str, float],
    batches: int,  # in an epoch
    total: int,
) -> bool:
    """Report a step, and figures and pictures if due; returns whether the model is the best so far."""
    device, better = batch.images.device, False
    rate = {"learning_rate": state.scheduler.get_last_lr()[0], "epoch": batch.position[0]}
    report.step(state.step, {**values, **rate})
    if report.wants_figures(state.step, batches, total):
        figures = report.figures(state.step, state.stage, device)
        better = "loss" in figures and state.best.add(state.step, figures["loss"])
    if report.wants_pictures(state.step, total):
        report.pictures(state.step, state.stage, batch, device)
    return better


def _sampler(run: StageRun) -> SubjectSampler:
    data, settings = run.config.data, run.config.stage_settings(run.stage)
    if settings.subjects % run.group.world:
        raise UsageError(
            f"{run.stage}.subjects={settings.subjects}: choose a multiple of the {run.group.world} processes."
        )
    classes, shares = run.table.datasets, run.table.shares(data.mix)
    if settings.balance is not None:
        classes, shares = _balanced(run)
    return SubjectSampler(
        run.table.subjects,
        classes,
        subjects=settings.subjects,
        images=settings.images,
        seed=run.config.run.seed,
        shares=shares,
        scales=settings.scales or data.scales,
        shift=data.shift if settings.shift is None else settings.shift,
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


@contextmanager
def _report(run: StageRun, step: int, total: int) -> Iterator[RunReport | None]:
    """The run's files and its progress; None in all processes except the first."""
    if not run.group.first:
        yield None
        return
    run.progress.begin(run.stage, total, step)
    with RunReport(run.config, run.stage, run.folder, step, run.held_out, run.progress) as report:
        yield report
    run.progress.end()


def _folders(out: Path, stages: Sequence[str]) -> list[Path]:
    return [out / stage for stage in stages] if len(stages) > 1 else [out]


def _held_out(manifest: Path, validation: Path | None, roots: Mapping[str, Path] | None) -> Faces | None:
    beside = [manifest.with_name(f"val{suffix}") for suffix in (manifest.suffix, ".parquet")]
    found = [path for path in beside if path.is_file() and path != manifest]
    if validation is None and not found:
        return None
    return open_table([validation or found[0]], roots)
