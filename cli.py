"""The two commands: `deca-data` makes manifests, `deca` trains from them.

Here stands which commands there are, in the order in which `--help` lists them. What they do is in
`commands/`: each parses, calls and prints, and imports what it calls inside itself, so that `--help` answers
at once.
"""

from __future__ import annotations

import os

import typer

from commands.assets import assets_command
from commands.evaluate import emotion_command, landmarks_command, now_command
from commands.exit_codes import run_app
from commands.information import doctor_command, failures_command, sources_command, status_command
from commands.manifest import build_manifest_command, recipes_command, schema_command
from commands.sharing import export_command, pack_command, report_command
from commands.stages import scan_command, stage_command, stage_commands
from commands.train import train_command
from commands.use import animate_command, reconstruct_command, transfer_command


def deca_data() -> typer.Typer:
    """The app `deca-data`."""
    app = _app(
        "deca-data",
        "Turns raw folders of faces into manifests that `deca train` reads.",
        "Begin with: deca-data landmarks ./vggface2",
    )
    for each in stage_commands():  # as the files in deca_data/stages say
        app.command(each.name)(stage_command(each))
    app.command("scan")(scan_command)
    app.command("build-manifest")(build_manifest_command)
    app.command("status")(status_command)
    app.command("failures")(failures_command)
    app.command("schema")(schema_command)
    app.command("report")(report_command)
    app.command("export")(export_command)
    app.command("pack")(pack_command)
    app.command("doctor")(doctor_command)
    app.command("sources")(sources_command)
    app.command("recipes")(recipes_command)
    return app


def deca() -> typer.Typer:
    """The app `deca`."""
    app = _app(
        "deca",
        "Train DECA from a manifest, and use the model.",
        "Begin with: deca train --manifest train.parquet",
    )
    app.command("assets")(assets_command)
    app.command("train")(train_command)
    app.command("reconstruct")(reconstruct_command)
    app.command("transfer")(transfer_command)
    app.command("animate")(animate_command)
    evaluate = _app("evaluate", "Measure a model.", "Example: deca evaluate landmarks --manifest val.parquet")
    evaluate.command("landmarks")(landmarks_command)
    evaluate.command("emotion")(emotion_command)
    evaluate.command("now")(now_command)
    app.add_typer(evaluate)
    return app


def _app(name: str, text: str, example: str) -> typer.Typer:
    return typer.Typer(
        name=name,
        help=f"{text}\n\n{example}",
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
    )


def deca_data_main() -> None:
    """Entry point of `deca-data`."""
    # Its work is cut up for processes and threads already; NumPy reads this when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    run_app(deca_data)


def deca_main() -> None:
    """Entry point of `deca`."""
    run_app(deca)
