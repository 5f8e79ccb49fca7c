"""`deca train`: a model from a manifest."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from commands.options import JsonOption, QuietOption, RootOption, TrainDeviceOption, named_roots
from commands.settings import ConfigOption, PresetOption, SetOption, chosen_settings
from manifests.files import writable_folder
from manifests.temporary_folder import check_socket_folder


def train_command(
    manifest: Annotated[
        list[Path], typer.Option("--manifest", help="train.parquet; give several to mix datasets.")
    ],
    val_manifest: Annotated[
        Path | None, typer.Option(help="Held-out faces; default: val.parquet beside the manifest.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="pretrain, coarse, expression, detail or all.")] = None,
    preset: PresetOption = None,
    config: ConfigOption = None,
    settings: SetOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Run folder; default: the next runs/NNN, or one that was stopped."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest run, or that of --out.")
    ] = False,
    start_from: Annotated[
        Path | None, typer.Option(help="Run, checkpoint or DECA's model.tar to start from.")
    ] = None,
    root: RootOption = None,
    device: TrainDeviceOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same batches.")] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train DECA from a manifest.

    A run that was stopped goes on when the same command is given again.

    Example: deca train --manifest train.parquet
    """
    from commands.training_bar import StepProgress
    from deca_model.training.headline import headline
    from deca_model.training.loop import train
    from deca_model.training.processes import is_first
    from deca_model.training.records import figures_of

    check_socket_folder()
    if out is not None and not resume:
        writable_folder(out, f"--out {out}")
    named = {"stage": stage, "run.device": device, "run.seed": seed}
    overrides = [f"{name}={value}" for name, value in named.items() if value is not None]
    chosen, bar = chosen_settings(preset, config, [*overrides, *(settings or [])], quiet), StepProgress(quiet)
    roots = named_roots(root)
    try:
        result = train(chosen, manifest, val_manifest, out, resume, bar, roots=roots, start_from=start_from)
    except KeyboardInterrupt as stopped:
        print(stopped or "stopped before the end of a step", file=sys.stderr, flush=True)
        raise
    if not is_first():
        return
    figures = figures_of(result)
    if as_json:
        run = result.parents[2 if len(chosen.stages()) > 1 else 1]
        print(json.dumps({"run": str(run), "checkpoint": str(result), "figures": figures}))
        return
    if figures is not None:
        print(headline(figures))
    print(f"checkpoint: {result}")
