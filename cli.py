"""The two commands: `deca-data` makes manifests, `deca` trains from them.

This file lists the commands in the order of `--help`. The commands are in `commands/`: each parses, calls and
prints. Functions import what they call themselves, here and there, so that `--help` is fast, and that Ctrl-C
is minded before the first import that takes time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from commands.early import end_quietly_at_ctrl_c

if TYPE_CHECKING:
    import typer


def deca_data() -> typer.Typer:
    """Makes the app `deca-data`."""
    from commands.information import (
        doctor_command,
        failures_command,
        settings_command,
        sources_command,
        status_command,
    )
    from commands.manifest import build_manifest_command, recipes_command, schema_command
    from commands.options import add_version
    from commands.sharing import export_command, pack_command, report_command
    from commands.stages import scan_command, stage_commands

    app = _app(
        "deca-data",
        "Turns raw folders of faces into manifests that `deca train` reads.",
        "Begin with: deca-data landmarks ./vggface2",
    )
    add_version(app)
    for name, command in stage_commands().items():  # the files in deca_data/stages define them
        app.command(name)(command)
    _add(app, scan_command, build_manifest_command, status_command, failures_command, schema_command)
    _add(app, report_command, export_command, pack_command)
    _add(app, doctor_command, sources_command, recipes_command, settings_command)
    return app


def deca() -> typer.Typer:
    """Makes the app `deca`."""
    from commands.assets import assets_command
    from commands.evaluate import emotion_command, landmarks_command, now_command
    from commands.fit import fit_command
    from commands.official import export_official_command
    from commands.options import add_version
    from commands.settings import config_command, presets_command
    from commands.train import train_command
    from commands.use import animate_command, reconstruct_command, transfer_command
    from commands.view import view_command

    app = _app(
        "deca",
        "Train DECA from a manifest, and use the model.",
        "Begin with: deca train --manifest train.parquet",
    )
    add_version(app)
    _add(app, assets_command, train_command, fit_command)
    _add(app, reconstruct_command, view_command, transfer_command, animate_command)
    _add(app, export_official_command, presets_command, config_command)
    evaluate = _app("evaluate", "Measure a model.", "Example: deca evaluate landmarks --manifest val.parquet")
    _add(evaluate, landmarks_command, emotion_command, now_command)
    app.add_typer(evaluate)
    return app


def _app(name: str, text: str, example: str) -> typer.Typer:
    import typer

    return typer.Typer(
        name=name,
        help=f"{text}\n\n{example}",
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=name != "evaluate",  # a program has it, a group of commands does not
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _add(app: typer.Typer, *commands: Callable[..., None]) -> None:
    """Adds commands; `build_manifest_command` gets the name `build-manifest`."""
    for command in commands:
        app.command(command.__name__.removesuffix("_command").replace("_", "-"))(command)


def deca_data_main() -> None:
    """Entry point of `deca-data`."""
    end_quietly_at_ctrl_c()
    # Its work already runs in processes and threads; NumPy reads this when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from commands.exit_codes import end_at_ctrl_c, run_app

    end_at_ctrl_c()
    run_app(deca_data)


def deca_main() -> None:
    """Entry point of `deca`."""
    end_quietly_at_ctrl_c()
    from commands.exit_codes import run_app

    run_app(deca)
