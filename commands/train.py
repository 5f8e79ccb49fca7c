"""`deca train`: a model from a manifest."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from commands.options import JsonOption, QuietOption, RootOption, TrainDeviceOption, named_roots
from manifests.errors import UsageError
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
    preset: Annotated[
        str | None, typer.Option(help="paper or emoca (a GPU), or cpu; default: by the machine.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting, as loss.eye=0.5.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; default: the next runs/NNN, or one that was stopped.")
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
    from deca_model.settings.reading import load_config
    from deca_model.training.loop import train

    if preset is not None and config is not None:
        raise UsageError("--preset and --config: give one of them; a config file names its preset itself.")
    check_socket_folder()
    if out is not None and not resume:
        writable_folder(out, f"--out {out}")
    named = {"stage": stage, "run.device": device, "run.seed": seed}
    overrides = [f"{name}={value}" for name, value in named.items() if value is not None]
    source = config or preset or _preset_of_machine(quiet)
    chosen, bar = load_config(source, [*overrides, *(settings or [])]), StepProgress(quiet)
    roots = named_roots(root)
    try:
        result = train(chosen, manifest, val_manifest, out, resume, bar, roots=roots, start_from=start_from)
    except KeyboardInterrupt as stopped:
        print(stopped or "stopped before the end of a step", file=sys.stderr, flush=True)
        raise
    if as_json:
        run = result.parents[2 if len(chosen.stages()) > 1 else 1]
        print(json.dumps({"run": str(run), "checkpoint": str(result)}))
    else:
        print(f"checkpoint: {result}")


def _preset_of_machine(quiet: bool) -> str:
    import torch

    preset = "paper" if torch.cuda.is_available() else "cpu"
    if not quiet:
        print(f"settings: preset {preset!r}; another with --preset, single ones with --set", file=sys.stderr)
    return preset
