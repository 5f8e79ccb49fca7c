"""`deca view`: reconstructed heads as a page to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from commands.options import HeadPathOption, JsonOption
from manifests.errors import UsageError
from manifests.files import writable_file
from pipelines.terminal.lines import print_line


def view_command(
    folder: Annotated[
        Path, typer.Argument(metavar="OUT", help="A folder that `deca fit` or `deca reconstruct` wrote.")
    ],
    out: Annotated[Path | None, typer.Option(help="The page (default: view.html in the folder).")] = None,
    only: Annotated[
        str, typer.Option(metavar="PATTERN", help="Only faces whose name fits, as 'anna*'.")
    ] = "*",
    head_path: HeadPathOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make one page that shows the heads in 3-D, with sliders for expression, jaw and neck.

    It opens in any browser and needs no network. A page holds at most 24 faces, the first ones by name.

    Example: deca view reconstructions

    Example: deca view reconstructions --only 'anna*' --out anna.html
    """
    from deca_model.use.viewer import MOST, saved_faces, write_viewer

    page = out or folder / "view.html"
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {page}: this is no page; name a file that ends in .html.")
    faces = saved_faces(folder, only)
    page = writable_file(page, f"--out {page}")
    size = write_viewer(faces, page, head_path)
    shown = min(len(faces), MOST)
    if as_json:
        print(json.dumps({"page": str(page), "bytes": size, "shown": shown, "faces": len(faces)}))
        return
    said = f"{page}: {shown} of {len(faces)} faces, {size / 1e6:.1f} MB; open it in a browser"
    print_line(said, indent="  ")
    if shown < len(faces):
        print_line(f"a page holds at most {MOST} faces; --only PATTERN chooses others by name")
