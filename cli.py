"""The two commands: `deca-data` makes manifests, `deca` trains from them.

The commands of `deca-data` stand in `pipelines/cli_data.py` and `pipelines/cli_share.py`; those of `deca`
stand here, because some of them join detection and model. Each parses, calls and prints, and imports what
it calls inside itself, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from manifests.errors import UsageError, WorkFailed
from pipelines.cli_share import app as deca_data

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""

CallError: Any = typer.BadParameter.__mro__[2]
"""The parser's common exception for wrong calls, which typer does not export by name."""

deca = typer.Typer(
    name="deca",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@deca.callback()
def _deca_callback() -> None:
    """Train DECA from a manifest, and use the model.

    Begin with: deca train --manifest train.parquet
    """


Manifests = Annotated[
    list[Path], typer.Option("--manifest", help="train.parquet; give several to mix datasets.")
]
RootOption = Annotated[
    list[str] | None, typer.Option("--root", metavar="NAME=FOLDER", help="A dataset's folder that moved.")
]
ConfigSettings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting, as loss.eye=0.5.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]


@deca.command("train")
def train_command(
    manifest: Manifests,
    val_manifest: Annotated[
        Path | None, typer.Option(help="Held-out faces; default: val.parquet beside the manifest.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="pretrain, coarse, detail or all.")] = None,
    preset: Annotated[str | None, typer.Option(help="paper (a GPU) or cpu; default: by the machine.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings.")] = None,
    settings: ConfigSettings = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default: the next runs/NNN.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    start_from: Annotated[
        Path | None, typer.Option(help="A run or checkpoint whose weights to start with.")
    ] = None,
    root: RootOption = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same batches.")] = None,
    quiet: QuietOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train DECA from a manifest.

    Example: deca train --manifest train.parquet
    """
    from deca_model.configfile import load_config
    from deca_model.training import train
    from pipelines.step_progress import StepProgress

    if preset is not None and config is not None:
        raise UsageError("--preset and --config: give one of them; a config file names its preset itself.")
    named = {"stage": stage, "run.device": device, "run.seed": seed}
    overrides = [f"{name}={value}" for name, value in named.items() if value is not None]
    source = config or preset or _preset_of_machine(quiet)
    place = out or _run_folder(resume)
    checkpoint = train(
        load_config(source, [*overrides, *(settings or [])]),
        manifest,
        val_manifest,
        place,
        resume,
        StepProgress(quiet),
        roots=_roots(root),
        start_from=start_from,
    )
    print(
        json.dumps({"run": str(place), "checkpoint": str(checkpoint)})
        if as_json
        else f"checkpoint: {checkpoint}"
    )


def _preset_of_machine(quiet: bool) -> str:
    import torch

    preset = "paper" if torch.cuda.is_available() else "cpu"
    if not quiet:
        print(f"settings: preset {preset!r}; another with --preset, single ones with --set", file=sys.stderr)
    return preset


def _run_folder(resume: bool) -> Path:
    """The newest of runs/001, runs/002, ... to go on with, or the next one to begin."""
    numbers = [int(path.name) for path in Path("runs").glob("[0-9][0-9][0-9]") if path.is_dir()]
    if resume and not numbers:
        raise UsageError("--resume: there is no run in ./runs yet; name its folder with --out.")
    return Path("runs") / f"{max(numbers, default=0) + (not resume):03d}"


def _roots(given: list[str] | None) -> dict[str, Path]:
    found = {}
    for text in given or []:
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise UsageError(f"--root {text}: write it as NAME=FOLDER.")
        found[name] = Path(folder)
    return found


def _run(app: typer.Typer) -> None:
    """Runs an app: one sentence and exit 2 for a wrong call, 1 for failed work, 130 for Ctrl-C."""
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # the parser turns Ctrl-C into this
            raise KeyboardInterrupt
        sys.exit(code)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except UsageError as error:
        sys.exit(_fail(str(error), 2))
    except WorkFailed as error:
        sys.exit(_fail(str(error), 1))
    except (KeyboardInterrupt, typer.Abort):
        # Libraries' own goodbyes take their time and may complain; what counts is on the disk already.
        code = _fail("stopped; what is finished is kept, and the same command goes on from here", INTERRUPTED)
        sys.stdout.flush()
        os._exit(code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except CallError as error:  # an unknown option, a value of the wrong kind
        error.show()
        sys.exit(error.exit_code)


def _fail(text: str, code: int) -> int:
    print(text if code == INTERRUPTED else f"error: {text}", file=sys.stderr, flush=True)
    return code


def deca_data_main() -> None:
    """Entry point of `deca-data`."""
    _run(deca_data)


def deca_main() -> None:
    """Entry point of `deca`."""
    _run(deca)
