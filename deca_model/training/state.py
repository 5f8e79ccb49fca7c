"""The training state: new, with the weights of an earlier stage, or restored from a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deca_model.data.faces import Faces
from deca_model.networks.encoder import ImageEncoder
from deca_model.networks.model import Deca
from deca_model.networks.official_checkpoint import ENDING, load_official_model
from deca_model.settings.groups import TrainingConfig
from deca_model.training.changed_settings import changed_settings, load_fitting_weights
from deca_model.training.checkpoints import (
    last_stage,
    load_checkpoint,
    newest_intact,
    put_aside,
    save_checkpoint,
    set_random_state,
)
from deca_model.training.compiling import compile_parts
from deca_model.training.early_stopping import BestValidation
from deca_model.training.finite_check import check_weights
from deca_model.training.listener import Progress
from deca_model.training.processes import Processes
from deca_model.training.stages.registry import STAGES, Stage, make_stage
from deca_model.training.step_figures import StepFigures
from manifests.errors import UsageError

_LASTING = ("data", "model", "stage", "run.seed")
"""Settings that cannot change in a resumed run: the weights or the position in the data depend on them."""

_FREE = (".steps", ".learning_rate")
"""Settings of a stage that can change in a resumed run."""


@dataclass(frozen=True)
class StageRun:
    """One stage of a run and its inputs."""

    config: TrainingConfig
    stage: str
    folder: Path
    table: Faces
    held_out: Faces | None
    group: Processes
    progress: Progress

    @property
    def subjects(self) -> int:
        """Persons in a step, of all processes together."""
        return self.config.stage_settings(self.stage).subjects * self.group.world

    @property
    def faces(self) -> int:
        """Photos in a step, of all processes together."""
        return self.subjects * self.config.stage_settings(self.stage).images


@dataclass
class State:
    """What a training step changes."""

    module: nn.Module  # the stage, wrapped if there are several processes
    stage: Stage
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LambdaLR
    step: int = 0
    best: BestValidation = field(default_factory=BestValidation)  # only used with the setting patience
    figures_due: bool = False  # the figures of this step are still to be measured
    unread: list[StepFigures] = field(default_factory=list)  # of the last steps, oldest first
    spoilt: Tensor | None = None  # () bool on a GPU: a step was not finite, so no further one is taken


def begin(run: StageRun, total: int, resume: bool, start_from: Path | None) -> State:
    """Build the stage, with the weights that it starts from."""
    config, device = run.config, run.group.device
    own = _own_checkpoint(run) if resume else None
    source = own or (start_from and last_stage(start_from))
    if source is None and run.stage in ("detail", "expression"):
        raise UsageError(f"the {run.stage} stage needs a trained coarse model: give its run as --start-from.")
    if source is None and run.stage == "coarse":
        run.progress.note("coarse starts without a pretrained encoder (give one with --start-from RUN)")
    saved = load_checkpoint(source) if source is not None and source.suffix != ENDING else None
    model = _model(run, saved, source)
    stage = make_stage(run.stage, model, config)
    trained = prepare(stage, config, device)
    optimizer, scheduler = _optimizer(run, trained, total)
    stage.train()
    if config.run.frozen_norm:
        _freeze_norm(stage)
    state = State(run.group.wrap(stage), stage, optimizer, scheduler)
    if saved is not None and own is not None:
        _restore(run, state, saved, own, total)
    return state


def prepare(stage: Stage, config: TrainingConfig, device: torch.device) -> nn.Module:
    """Move a stage with all its networks to the device, and return the part that learns."""
    stage.to(device)
    if config.run.channels_last:
        stage.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = stage.trainable()
    if config.run.compile:
        compile_parts(stage, config.run, device)
    for parameter in set(stage.model.parameters()) - set(trained.parameters()):
        parameter.requires_grad_(False)
    return trained


def _own_checkpoint(run: StageRun) -> Path | None:
    """The newest intact checkpoint of this stage; damaged ones that are newer are put aside."""
    folder = run.folder / "checkpoints"
    found = newest_intact(folder, run.progress.note if run.group.first else lambda _: None)
    run.group.wait()  # until all processes have looked
    if run.group.first:
        put_aside(folder, found)
    return found


def save(run: StageRun, state: State) -> None:
    """Write a checkpoint of the whole state, in the first process only.

    Raises:
        NonFinite: a weight is not finite; nothing was written.
    """
    if not run.group.first:
        return
    weights = state.stage.model.state_dict()
    check_weights(weights, state.step)
    parts = {
        "stage": run.stage,
        "subjects": run.subjects,
        "model": weights,
        "optimizer": state.optimizer.state_dict(),
        "scheduler": state.scheduler.state_dict(),
        "config": run.config.model_dump(mode="json"),
        "manifest": run.table.fingerprint,
        "torch": str(torch.__version__),
        "best": asdict(state.best),
        "figures_due": state.figures_due,
    }
    save_checkpoint(run.folder / "checkpoints", state.step, parts, run.config.log.keep, state.best.step)


def _model(run: StageRun, saved: Mapping[str, Any] | None, source: Path | None) -> Deca:
    """The stage's model, with the weights of a checkpoint, of DECA's ``model.tar``, or random ones."""
    config, parts = run.config, STAGES[run.stage].parts
    if source is None:
        return Deca(config.model, config.run, parts)
    if saved is None:
        model, loaded = load_official_model(source, config.model, config.run, parts)
        run.progress.note(f"{run.stage} starts with {', '.join(loaded)} of {source}")
        present = {"coarse", *(["detail"] if "E_detail" in loaded else [])}
    else:
        present = {name.split(".")[0] for name in saved["model"]}
        model = Deca(config.model, config.run, {*parts, *present})
        load_fitting_weights(model, saved, config, source)
    if model.expression is not None and "expression" not in present:
        # EMOCA starts from E_flame's backbone; only the last layers are new.
        model.expression.encoder.load_state_dict(model.coarse.encoder.state_dict())
    if model.detail is not None and "detail" not in present and config.model.detail_start == "coarse":
        _start_detail(run, model.coarse, model.detail.encoder)
    return model


def _start_detail(run: StageRun, coarse: ImageEncoder, detail: ImageEncoder) -> None:
    """Let E_detail's backbone start as what E_flame sees the photo with; only the last layers are new."""
    (wanted, learned), (own, backbone) = coarse.observer(), detail.observer()
    if wanted != own:
        run.progress.note(
            f"the detail encoder starts from random weights: its backbone is {own}, and the coarse encoder's "
            f"is {wanted}; set model.detail_encoder.backbone={wanted} to start from that"
        )
        return
    backbone.load_state_dict(learned.state_dict())


def _optimizer(
    run: StageRun, trained: nn.Module, total: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    config = run.config
    settings = config.optimizer
    optimizer = torch.optim.Adam(
        trained.parameters(),
        lr=config.stage_settings(run.stage).learning_rate or settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=run.group.device.type == "cuda" or None,
    )

    def rate(step: int) -> float:
        rising = min(1.0, (step + 1) / settings.warmup_steps) if settings.warmup_steps else 1.0
        return rising if settings.decay == "none" else rising * (1 + math.cos(math.pi * step / total)) / 2

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    return optimizer, scheduler


def _freeze_norm(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()


def _restore(run: StageRun, state: State, saved: Mapping[str, Any], path: Path, total: int) -> None:
    """Restore everything of a checkpoint except the weights into ``state``.

    Raises:
        UsageError: the manifest or a setting that the batches or the weights depend on has changed, the
            settings ask for fewer steps than were made, or a part of the checkpoint is not valid.
    """
    if saved.get("manifest") != run.table.fingerprint:
        raise UsageError(
            f"{path}: it was trained on another manifest; give that one, or use --start-from for a new run."
        )
    _check_batch(run, saved, path)
    changed = [
        name
        for name in changed_settings(saved["config"], run.config, path)
        if name not in ("data.workers", "data.timeout", f"{run.stage}.subjects")
    ]
    for name in changed:
        if name.startswith((*_LASTING, run.stage)) and not name.endswith(_FREE):
            raise UsageError(f"{path}: the setting {name} has changed; set it back, or start a new run.")
    if saved["step"] > total:
        raise UsageError(
            f"{path}: this run has already made {saved['step']} steps, and the settings ask for {total}; set "
            f"{run.stage}.steps to more, or start a new run."
        )
    if changed:
        run.progress.note(f"resumed with changed settings: {', '.join(changed)}")
    try:
        state.optimizer.load_state_dict(saved["optimizer"])
        state.scheduler.load_state_dict(saved["scheduler"])
        _set_rates(run, state)
        set_random_state(saved["random"])
        state.step = saved["step"]
        state.best = BestValidation(**saved.get("best", {}))
        state.figures_due = bool(saved.get("figures_due", False))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise UsageError(
            f"{path}: this checkpoint has no valid optimizer, scheduler or random state; use --start-from to "
            "begin a new run with its weights."
        ) from error


def _check_batch(run: StageRun, saved: Mapping[str, Any], path: Path) -> None:
    """A run may go on with another number of processes, if all together draw the same batches as before.

    Raises:
        UsageError: they do not.
    """
    world, own = run.group.world, run.config.stage_settings(run.stage).subjects
    # Before it was recorded, the setting was that of all processes together.
    before = saved.get("subjects", saved["config"][run.stage]["subjects"])
    if before == run.subjects:
        return
    name = f"{run.stage}.subjects"
    fitting = f"set {name}={before // world}"
    if before % world:
        fitting = f"start a number of processes that divides {before}"
    raise UsageError(
        f"{path}: this run draws {before} persons for a step, but {name}={own} times {world} process"
        f"{'es' if world > 1 else ''} is {run.subjects}; {fitting}, or start a new run."
    )


def _set_rates(run: StageRun, state: State) -> None:
    """Use the present settings of the optimiser, also where they differ from the checkpoint's."""
    settings = run.config.optimizer
    rate = run.config.stage_settings(run.stage).learning_rate or settings.learning_rate
    scheduler = state.scheduler
    scheduler.base_lrs = [rate] * len(scheduler.base_lrs)
    for group, factor in zip(state.optimizer.param_groups, scheduler.lr_lambdas, strict=True):
        group["initial_lr"], group["lr"] = rate, rate * factor(scheduler.last_epoch)
        group["betas"], group["weight_decay"] = settings.betas, settings.weight_decay
