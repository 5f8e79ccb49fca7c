"""The commands of `deca-data` that show, hand on and check what the others made.

They register on the same app as those of `cli_data.py`; `cli.py` imports this module for that.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from commands.data import WORKSPACE, JsonOption, QuietOption, WorkersOption, WorkspaceOption, app
from commands.printing import print_diagnosis, print_table
from manifests.errors import UsageError, WorkFailed

MANIFESTS = [Path("train.parquet"), Path("val.parquet")]

ManifestsOption = Annotated[
    list[Path] | None,
    typer.Option("--manifest", "-m", help="A manifest; repeatable (default: train.parquet and val.parquet)."),
]
RootOption = Annotated[
    list[str] | None,
    typer.Option("--root", metavar="NAME=FOLDER", help="A dataset's folder, if it moved; repeatable."),
]


@app.command("report")
def report_command(
    manifest: ManifestsOption = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    root: RootOption = None,
    photos: Annotated[int, typer.Option(min=0, max=40, help="Photos shown per reason; 0 shows none.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Another seed shows other photos.")] = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page: what came in, what went out, and why.

    Example: deca-data report --out report.html
    """
    from pipelines.share.report.page import Call, write_report

    written = write_report(Call(_manifests(manifest), out, _roots(root), photos, seed, quiet or as_json))
    if as_json:
        print(json.dumps({**vars(written), "path": str(written.path)}))
        return
    counts = ", ".join(f"{count} {status}" for status, count in sorted(written.statuses.items()))
    print(f"{written.path}: {written.bytes / 1e6:.1f} MB, {counts or 'no rows'}")
    if written.unreadable:
        print(
            f"{written.unreadable} kept photos could not be read; if a folder moved, give --root NAME=FOLDER"
        )


@app.command("export")
def export_command(
    form: Annotated[str, typer.Option("--format", help="deca, csv or webdataset.")],
    manifest: ManifestsOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("export"),
    root: RootOption = None,
    copy_images: Annotated[bool, typer.Option("--copy", help="deca: copy photos, do not link.")] = False,
    shard_rows: Annotated[int, typer.Option(min=1, help="webdataset: photos per tar file.")] = 1000,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write manifests in the forms that other programs read.

    deca: lists and folders of the official DECA trainer; csv: a table of every row; webdataset: tar shards.

    Example: deca-data export --format deca --out ./for-deca
    """
    from pipelines.share.export.csv_table import export_csv
    from pipelines.share.export.deca import export_deca
    from pipelines.share.export.rows import Call
    from pipelines.share.export.webdataset import export_webdataset

    forms = {"deca": export_deca, "csv": export_csv, "webdataset": export_webdataset}
    if form not in forms:
        raise UsageError(f"--format {form}: there is none of this name; choose {', '.join(forms)}.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: this is a file; name a folder.")
    call = Call(_manifests(manifest), out, _roots(root), copy_images, shard_rows, quiet or as_json)
    done = forms[form](call)
    if as_json:
        print(json.dumps(vars(done)))
        return
    print_table(["file", "entries"], [[path, str(count)] for path, count in done.files.items()])
    for note in done.notes:
        print(note)


@app.command("pack")
def pack_command(
    manifest: ManifestsOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the shards.")] = Path("packed"),
    root: RootOption = None,
    size: Annotated[int, typer.Option(min=64, max=1024, help="Pixels of a crop's sides.")] = 256,
    quality: Annotated[int, typer.Option(min=50, max=100, help="JPEG quality.")] = 95,
    shard_rows: Annotated[int, typer.Option(min=1, help="Photos per shard.")] = 4096,
    workers: WorkersOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy the training crops of all kept photos into a few large files.

    Called again, it makes only what changed.

    Example: deca-data pack --out ./packed
    """
    from pipelines.run.cluster import cpu_count
    from pipelines.share.pack import Call, pack
    from pipelines.share.pack_rows import CropSettings

    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: this is a file; name a folder.")
    crop = CropSettings(size=size, quality=quality)
    threads = workers or cpu_count()
    done = pack(Call(_manifests(manifest), out, crop, _roots(root), shard_rows, threads, quiet or as_json))
    if as_json:
        print(json.dumps({**vars(done), "files": [str(path) for path in done.files]}))
        return
    print(f"{out}: {done.rows} photos; shards: {done.made} made, {done.kept} unchanged")


@app.command("doctor")
def doctor_command(workspace: WorkspaceOption = WORKSPACE, as_json: JsonOption = False) -> None:
    """Show what is installed and which models work, and try them on three images.

    Example: deca-data doctor
    """
    from pipelines.doctor import examine
    from pipelines.workspace.workspace import Workspace

    found = examine(Workspace.open(workspace).stages if workspace.is_dir() else {})
    if as_json:
        print(json.dumps(found.as_dict()))
    else:
        print_diagnosis(found)
    if found.problem:
        raise WorkFailed(found.problem)


@app.command("sources")
def sources_command(as_json: JsonOption = False) -> None:
    """Print the dataset layouts that are known.

    Example: deca-data sources
    """
    from deca_data.sources import SOURCES

    rows = [[name, "videos" if source.video else "photos", source.layout] for name, source in SOURCES.items()]
    if as_json:
        print(json.dumps([dict(zip(("name", "holds", "layout"), row, strict=True)) for row in rows]))
        return
    print_table(["name", "holds", "layout"], rows)


@app.command("recipes")
def recipes_command(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Recipes of your own, to show beside.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print every threshold of the recipes side by side.

    Each can be changed by `deca-data build-manifest --set NAME=VALUE`, without computing anything anew.

    Example: deca-data recipes my-recipe.yaml
    """
    from pipelines.curate.recipe import Recipe, load_recipe, recipe_names

    recipes = [load_recipe(name) for name in [*recipe_names(), *map(str, files or [])]]
    if as_json:
        print(json.dumps([recipe.model_dump() for recipe in recipes], indent=1))
        return
    rows = [
        [name, *(json.dumps(getattr(recipe, name)) for recipe in recipes), field.description or ""]
        for name, field in Recipe.model_fields.items()
        if name != "name"
    ]
    print_table(["setting", *(recipe.name for recipe in recipes), "meaning"], rows)


def _manifests(given: list[Path] | None) -> list[Path]:
    """The manifests named, or those of this folder that there are."""
    if given:
        return given
    there = [path for path in MANIFESTS if path.exists()]
    return there or MANIFESTS[:1]


def _roots(given: list[str] | None) -> dict[str, Path]:
    """`NAME=FOLDER` pairs by name.

    Raises:
        UsageError: one without its equals sign.
    """
    pairs = [text.partition("=") for text in given or []]
    for name, equals, folder in pairs:
        if not (name and equals and folder):
            raise UsageError(f"--root {name}{equals}{folder}: write it as NAME=FOLDER.")
    return {name: Path(folder) for name, _, folder in pairs}
