"""`deca assets`: which files of others the model half finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from commands.options import JsonOption
from pipelines.terminal.lines import print_line
from pipelines.terminal.tables import print_table


def assets_command(
    folder: Annotated[
        list[Path] | None, typer.Option("--folder", envvar="DECA_ASSETS", help="Where to look; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which head models and weight files are found, and what each is for.

    Nothing is downloaded. Looks in ./assets, or in the folders given, and in the cache of torch.hub.

    Example: deca assets --folder ~/models
    """
    from deca_model.files.assets import find_assets, places

    folders = places(folder or ())
    found = find_assets(folders)
    if as_json:
        print(
            json.dumps({"places": [str(each) for each in folders], "assets": [vars(each) for each in found]})
        )
        return
    rows = [[each.kind, each.name, each.state, each.licence, each.enables] for each in found]
    print_table(["kind", "name", "state", "licence", "gives"], rows)
    print_line("\nlooked in " + " and ".join(str(each) for each in folders))
    for each in found:
        if each.state in ("found", "incomplete"):
            print(f"\n{each.name}: {each.path}\n  use it with {' '.join(each.settings)}")
        if each.lacks:
            print(f"  but beside it there must be {', '.join(each.lacks)}")
    for each in found:
        if each.state == "missing":
            beside = f", and beside it {' and '.join(each.beside)}" * bool(each.beside)
            print_line(f"\n{each.name}, not found: {' or '.join(each.looked_for)}{beside}")
            print_line(f"  it would be used with {' '.join(each.settings)}", indent="    ")
