"""The training loop: batches in, checkpoints and figures out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from deca_model.data.faces import Faces, NoFaces, open_table
from deca_model.data.loader_processes import Stopped
from deca_model.data.loading import FaceBatch
from deca_model.networks.model import resolve_device
from deca_model.settings.groups import TrainingConfig
from deca_model.settings.reading import dump_config
from deca_model.training.checkpoints import result, seed_everything
from deca_model.training.finite_check import NonFinite
from deca_model.training.headline import EXPLAINED
from deca_model.training.listener import Progress, Silent
from deca_model.training.processes import Processes, processes, stop_requested
from deca_model.training.reporting import RunReport
from deca_model.training.run_batches import (
    batch_notes,
    check_batches,
    stage_batches,
    stage_sampler,
    unbalanced,
    worker_note,
)
from deca_model.training.run_folder import Claimed, claim_folder, run_inputs
from deca_model.training.state import StageRun, State, begin, save
from deca_model.training.step import read_back, train_step
from deca_model.training.step_figures import due
from deca_model.training.usable_losses import usable_losses
from manifests.errors import UsageError, WorkFailed
from manifests.files import write_atomic


def train(
    config: TrainingConfig,
    manifest: Path | Sequence[Path],
    validation: Path | None,
    out: Path | None,
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
        out: the run folder; None chooses ``runs/NNN``, see ``run_folder``. With stage ``all``, each stage has
            its own folder in it.
        resume: continue from the newest checkpoint; a run of the same settings and manifest that was stopped
            goes on without it.
        progress: receives every step.
        roots: folders that moved since the manifest was made, by dataset name.
        start_from: a checkpoint or run folder, or DECA's ``model.tar``; training starts from its weights,
            of a run of all stages from those of the last one.

    Returns:
        The result: the last checkpoint, or, with the setting ``patience``, the one with the lowest held-out
        loss.

    Raises:
        UsageError: a manifest, setting, checkpoint or weight file is missing or does not fit.
        NonFinite: a loss, gradient or weight is not finite; the last checkpoint is usable.
        WorkFailed: an image of the manifest can no longer be read, or the loader has failed; a checkpoint of
            the last complete step has been written.
        KeyboardInterrupt: Ctrl-C was pressed; a checkpoint of the last complete step has been written.
    """
    paths = [Path(manifest)] if isinstance(manifest, (str, Path)) else [Path(path) for path in manifest]
    table = open_table(paths, roots)
    stages = config.stages()
    config, lines = usable_losses(config, stages, table)
    checkpoint = start_from
    with processes(resolve_device(config.run.device)) as group:
        progress = progress if progress is not None and group.first else Silent()
        check_batches(config, stages, table, group.world)
        for line in [*lines, *batch_notes(config, stages, table, group.world), worker_note(config)]:
            if line is not None:
                progress.note(line)
        held_out = _held_out(paths[0], validation, roots, progress)
        if held_out is not None:
            progress.note(f"held-out faces measure the run {EXPLAINED}")
        inputs = run_inputs(config, table.fingerprint, start_from, group.world)
        with _claimed(group, out, resume, inputs, progress) as own:
            for stage, folder in zip(stages, _folders(own.folder, stages), strict=True):
                run = StageRun(config, stage, folder, table, held_out, group, progress)
                checkpoint = train_stage(run, own.resume, checkpoint)
    assert checkpoint is not None
    return checkpoint


def train_stage(run: StageRun, resume: bool, start_from: Path | None) -> Path:
    """Train one stage and return its resulting checkpoint (see ``train``)."""
    config, group = run.config, run.group
    settings = config.stage_settings(run.stage)
    seed_everything(config.run.seed)
    sampler = stage_sampler(config, run.stage, run.table, group.world)
    if group.first and (line := unbalanced(config, run.stage, run.table)):
        run.progress.note(line)
    total = settings.steps or max(1, math.ceil((settings.epochs or 0) * sampler.batches_per_epoch))
    state = begin(run, total, resume, start_from)
    if group.first:
        write_atomic(run.folder / "config.yaml", dump_config(config).encode())
    if settings.patience is not None and run.held_out is None and group.first:
        run.progress.note(f"without held-out faces, {run.stage}.patience={settings.patience} has no effect")
    with (
        _report(run, state.step, total) as report,
        stop_requested() as stop,
        closing(stage_batches(run, sampler, state.step, stop)) as stream,
    ):
        over = _make_steps(run, state, report, stream, stop, (sampler.batches_per_epoch, total))
    if over and group.first:
        run.progress.note(
            f"{run.stage} ends at step {state.step}: the held-out loss has not fallen for "
            f"{settings.patience} validations; the result is step {state.best.step or state.step}"
        )
    group.wait()  # until the first process has written the last checkpoint
    return result(run.folder)


def _make_steps(
    run: StageRun,
    state: State,
    report: RunReport | None,
    stream: Iterator[FaceBatch],
    stop: Callable[[], bool],
    lengths: tuple[int, int],  # batches of an epoch, steps of the stage
) -> bool:
    """Make the steps that are left; returns whether the setting ``patience`` has ended the stage early.

    Whatever stops the stage, the steps that were made are in a checkpoint.
    """
    config, group, total = run.config, run.group, lengths[1]
    patience = config.stage_settings(run.stage).patience
    with _steps_kept(run, state, total):
        if report is not None and state.figures_due and _measured(report, state, group.device, stop, total):
            save(run, state)
        over = patience is not None and group.any(state.best.over(patience))
        for batch in itertools.islice(stream, 0 if over else total - state.step):
            if report is not None:
                report.batch_ready()
            train_step(state, batch.to(group.device), config, group, run.folder)
            asked = due(state.step, total, config.log, group.device)
            better = _report_steps(run, state, report, asked, lengths, stop)
            asked = asked or group.world == 1  # several processes wait for their devices when they are asked
            stopping = asked and group.any(stop())
            over = asked and patience is not None and group.any(state.best.over(patience))
            if state.step % config.log.checkpoint_every == 0 or better or over or state.step == total:
                save(run, state)
            if stopping:
                raise Stopped
            if over:
                break
    return over


@contextmanager
def _steps_kept(run: StageRun, state: State, total: int) -> Iterator[None]:
    """Write a checkpoint of the last step when a run is stopped, or its faces cannot be loaded."""
    begun = state.step
    try:
        yield
    except NonFinite:
        raise  # the last step may have spoilt the model
    except (Stopped, WorkFailed) as error:
        read_back(state, run.folder)
        if state.step > begun:
            save(run, state)
        if isinstance(error, WorkFailed):
            raise
        raise KeyboardInterrupt(f"{run.folder}: stopped at step {state.step} of {total}") from None


def _report_steps(
    run: StageRun,
    state: State,
    report: RunReport | None,
    reading: bool,
    lengths: tuple[int, int],
    stop: Callable[[], bool],
) -> bool:
    """Report the unread steps, and figures and pictures if due; returns whether the model is the best so far.

    If the run is stopped meanwhile, the figures stay due.

    Raises:
        NonFiniteLoss: see ``read_back``.
    """
    if report is None:
        if reading:
            read_back(state, run.folder)
        return False
    report.stepped()
    state.figures_due = report.wants_figures(state.step, *lengths)
    pictures = report.wants_pictures(state.step, lengths[1])
    if not (reading or state.figures_due or pictures):
        return False
    batch, device = state.unread[-1].batch, run.group.device
    for step, values in read_back(state, run.folder):
        report.step(step, values)
    if state.figures_due:
        try:
            return _measured(report, state, device, stop, lengths[1])
        except Stopped:
            return False
    if pictures:
        report.pictures(state.step, state.stage, batch, device)
    return False


def _measured(
    report: RunReport, state: State, device: torch.device, stop: Callable[[], bool], total: int
) -> bool:
    """Measure and draw the held-out faces; returns whether the model is the best so far."""
    figures = report.figures(state.step, state.stage, device, stop)
    if report.wants_pictures(state.step, total):
        report.pictures(state.step, state.stage, None, device)
    state.figures_due = False
    return "loss" in figures and state.best.add(state.step, figures["loss"])


@contextmanager
def _claimed(
    group: Processes, out: Path | None, resume: bool, inputs: Mapping[str, Any], progress: Progress
) -> Iterator[Claimed]:
    """The run folder, which the first process chooses and locks for all.

    Raises:
        UsageError: as ``claim_folder``, in all processes.
    """
    if not group.first:
        claimed = group.first_says(None)
        if isinstance(claimed, str):
            raise UsageError(claimed)
        yield claimed
        return
    with ExitStack() as stack:
        try:
            claimed = stack.enter_context(claim_folder(out, resume, inputs, progress.note))
        except UsageError as error:
            group.first_says(str(error))
            raise
        yield group.first_says(claimed)


@contextmanager
def _report(run: StageRun, step: int, total: int) -> Iterator[RunReport | None]:
    """The run's files and its progress; None in all processes except the first."""
    if not run.group.first:
        yield None
        return
    run.progress.begin(run.stage, total, step)
    if run.group.world > 1:
        run.progress.note(_global_batch(run))
    with RunReport(run.config, run.stage, run.folder, step, run.held_out, run.progress, run.faces) as report:
        yield report
    run.progress.end()


def _global_batch(run: StageRun) -> str:
    settings = run.config.stage_settings(run.stage)
    return (
        f"{run.stage}: {run.group.world} processes with {settings.subjects} x {settings.images} photos each, "
        f"{run.faces} in a step"
    )


def _folders(out: Path, stages: Sequence[str]) -> list[Path]:
    return [out / stage for stage in stages] if len(stages) > 1 else [out]


def _held_out(
    manifest: Path, validation: Path | None, roots: Mapping[str, Path] | None, progress: Progress
) -> Faces | None:
    """The held-out faces; None if there is no file of them, or the file beside the manifest has no face."""
    if validation is not None:
        return open_table([validation], roots)
    beside = [manifest.with_name(f"val{suffix}") for suffix in (manifest.suffix, ".parquet")]
    found = [path for path in beside if path.is_file() and path != manifest]
    if not found:
        return None
    try:
        return open_table([found[0]], roots)
    except NoFaces:
        progress.note(f"{found[0]} has no face, so nothing is measured on held-out faces")
        return None
