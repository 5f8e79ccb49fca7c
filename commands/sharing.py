"""The commands of `deca-data` that use manifests: the report, the exports and the packs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from commands.options import (
    JsonOption,
    ManifestsOption,
    QuietOption,
    RootOption,
    WorkersOption,
    file_in,
    named_roots,
)
from manifests.errors import UsageError
from manifests.files import writable_file, writable_folder
from pipelines.terminal.lines import print_line
from pipelines.terminal.tables import print_table

MANIFESTS = [Path("train.parquet"), Path("val.parquet")]


def report_command(
    manifest: ManifestsOption = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE|FOLDER", help="The page; in a folder it is report.html.")
    ] = Path("report.html"),
    root: RootOption = None,
    photos: Annotated[
        int, typer.Option(min=0, max=40, help="Photos shown per reason; 0 shows and names none.")
    ] = 8,
    listed: Annotated[
        int, typer.Option("--list", min=1, help="Most photos to page through; of more, a part is drawn.")
    ] = 100_000,
    all_photos: Annotated[
        bool, typer.Option("--all-photos", help="Also a folder with a small picture of every listed photo.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Another seed shows other photos.")] = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML page: what came in, what went out, and why; each photo can be looked at and marked.

    Example: deca-data report --out report.html
    """
    from pipelines.share.report.page import write_report

    manifests, roots = _manifests(manifest), named_roots(root)
    out = file_in(out, "report.html")
    writable_file(out, f"--out {out}")
    written = write_report(
        manifests,
        out,
        roots,
        photos=photos,
        listed=listed,
        all_photos=all_photos,
        seed=seed,
        quiet=quiet or as_json,
    )
    if as_json:
        print(json.dumps({**vars(written), "path": str(written.path)}))
        return
    counts = ", ".join(f"{count} {status}" for status, count in sorted(written.statuses.items()))
    print(f"{written.path}: {written.bytes / 1e6:.1f} MB, {counts or 'no rows'}")
    if written.unreadable:
        print_line(
            f"{written.unreadable} kept photos could not be read; if a folder moved, give --root NAME=FOLDER"
        )


def export_command(
    form: Annotated[str, typer.Option("--format", help="deca, emoca, smirk, csv or webdataset.")],
    manifest: ManifestsOption = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the results.")] = Path("export"),
    root: RootOption = None,
    copy_images: Annotated[bool, typer.Option("--copy", help="Copy photos, do not link them.")] = False,
    shard_rows: Annotated[int, typer.Option(min=1, help="webdataset: photos per tar file.")] = 1000,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write manifests in the forms that other programs read.

    deca: lists and folders of the official DECA trainer; emoca: one folder that EMOCA's loader reads as its
    data.path; smirk: folders and lists of SMIRK's loader of CelebA; csv: a table of every row; webdataset:
    tar shards.

    Example: deca-data export --format deca --out ./for-deca
    """
    from pipelines.share.export.csv_table import export_csv
    from pipelines.share.export.deca import export_deca
    from pipelines.share.export.emoca import export_emoca
    from pipelines.share.export.rows import Call
    from pipelines.share.export.smirk import export_smirk
    from pipelines.share.export.webdataset import export_webdataset

    forms = {
        **{"deca": export_deca, "emoca": export_emoca, "smirk": export_smirk},
        **{"csv": export_csv, "webdataset": export_webdataset},
    }
    if form not in forms:
        raise UsageError(f"--format {form}: there is none of this name; choose {', '.join(forms)}.")
    writable_folder(out, f"--out {out}")
    call = Call(_manifests(manifest), out, named_roots(root), copy_images, shard_rows, quiet or as_json)
    done = forms[form](call)
    if as_json:
        print(json.dumps(vars(done)))
        return
    print_table(["entries", "file"], [[entries, file] for file, entries in done.files.items()])
    for note in done.notes:
        print_line(note)


def pack_command(
    manifest: ManifestsOption = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the shards.")] = Path("packed"),
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
    from manifests.cores import cpu_count
    from pipelines.share.pack import pack
    from pipelines.share.pack_rows import CropSettings

    writable_folder(out, f"--out {out}")
    crop, roots = CropSettings(size=size, quality=quality), named_roots(root)
    quiet, workers = quiet or as_json, workers or cpu_count()
    done = pack(_manifests(manifest), out, crop, roots, shard_rows=shard_rows, workers=workers, quiet=quiet)
    if as_json:
        print(json.dumps({**vars(done), "files": [str(path) for path in done.files]}))
        return
    print(f"{out}: {done.rows} photos; shards: {done.made} made, {done.kept} unchanged")


def _manifests(given: list[Path] | None) -> list[Path]:
    """Returns the given manifests, or those in this folder."""
    return given or [path for path in MANIFESTS if path.exists()] or MANIFESTS[:1]
