"""`deca export-official`: a trained model for the official DECA code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from commands.options import JsonOption, file_in
from manifests.files import writable_folder
from pipelines.terminal.lines import print_line


def export_official_command(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint, or a run folder: its last stage.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE|FOLDER", help="The file; in a folder it is model.tar.")
    ] = Path("model.tar"),
    as_json: JsonOption = False,
) -> None:
    """Write a model that was trained on FLAME as a model.tar, which the official DECA code opens.

    The file has all keys that the official code asks for. Missing networks get initial weights.

    Example: deca export-official runs/001 --out model.tar
    """
    from deca_model.use.official_export import export_official

    out = file_in(out, "model.tar")
    writable_folder(out.parent, f"--out {out}")
    notes = export_official(checkpoint, out)
    if as_json:
        print(json.dumps({"file": str(out), "notes": notes}))
        return
    print(out)
    for note in notes:
        print_line(f"  {note}", indent="    ")
