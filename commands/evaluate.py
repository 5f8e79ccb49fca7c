"""The commands of `deca` that need the model half alone: figures by manifest, and the files found.

Each parses, calls and prints, and imports what it calls inside itself; `cli.py` puts them together with those
that also need detection.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from manifests.errors import UsageError

evaluate = typer.Typer(
    name="evaluate",
    help="Measure a model.\n\nExample: deca evaluate landmarks --manifest val.parquet",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", help="Run folder, checkpoint or DECA's model.tar (default: newest ./runs/NNN)."),
]
HeadPathOption = Annotated[
    Path | None, typer.Option("--head-path", help="The head's file, if it moved; FLAME's for model.tar.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
RootOption = Annotated[
    list[str] | None, typer.Option("--root", metavar="NAME=FOLDER", help="A dataset's folder that moved.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
ManifestOption = Annotated[Path, typer.Option("--manifest", help="The faces to measure on.")]

EMOTION_COLUMNS = tuple(
    f"{name}_{figure}" for name in ("valence", "arousal") for figure in ("pcc", "ccc", "rmse", "sagr")
) + ("expression_accuracy",)

PUBLISHED_EMOTION = {
    "EmoNet": (0.75, 0.73, 0.32, 0.80, 0.68, 0.65, 0.29, 0.78, 0.68),
    "Deep3DFace": (0.75, 0.73, 0.33, 0.80, 0.66, 0.65, 0.31, 0.78, 0.65),
    "ExpNet": (0.45, 0.42, 0.43, 0.73, 0.39, 0.36, 0.38, 0.64, 0.46),
    "MGCNet": (0.71, 0.69, 0.35, 0.80, 0.59, 0.58, 0.34, 0.77, 0.60),
    "3DDFA_V2": (0.63, 0.62, 0.39, 0.75, 0.53, 0.50, 0.34, 0.73, 0.52),
    "DECA": (0.70, 0.69, 0.36, 0.76, 0.59, 0.58, 0.33, 0.74, 0.59),
    "DECA with details": (0.70, 0.69, 0.37, 0.77, 0.59, 0.57, 0.33, 0.77, 0.58),
    "EMOCA": (0.78, 0.77, 0.31, 0.81, 0.69, 0.68, 0.30, 0.81, 0.68),
    "EMOCA with details": (0.77, 0.76, 0.31, 0.81, 0.70, 0.69, 0.29, 0.83, 0.69),
}
"""Danecek et al. 2022: emotion recognition on AffectNet's test set, in EMOTION_COLUMNS' order."""


@evaluate.command("landmarks")
def landmarks_command(
    manifest: ManifestOption,
    model: ModelOption = None,
    head_path: HeadPathOption = None,
    faces: Annotated[int | None, typer.Option(min=1, help="At most so many, evenly spread.")] = None,
    rendered: Annotated[bool, typer.Option("--rendered", help="Also colours and details.")] = False,
    root: RootOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure how far the model's landmarks are from a manifest's.

    Example: deca evaluate landmarks --manifest val.parquet --model runs/001
    """
    from deca_model.data.faces import open_table
    from deca_model.training.validation import HeldOut, validate
    from deca_model.use.open_model import open_model

    table = open_table([manifest], named_roots(root))
    network, size = open_model(model, device, head_path)
    held_out = HeldOut(table, size, faces or len(table))
    figures = validate(network, held_out, network.head.template.device, rendered)
    if as_json:
        print(json.dumps(figures))
        return
    print_columns(["figure", "value"], [[_MEANINGS.get(k, k), f"{v:.4g}"] for k, v in figures.items()])


_MEANINGS = {
    "faces": "faces",
    "landmark_error": "landmark error, mean, % of the eyes' distance",
    "landmark_error_median": "landmark error, median, % of the eyes' distance",
    "landmark_error_box": "landmark error, mean, % of the face's size",
    "landmark_loss": "weighted landmark loss of the training",
    "shape_consistency": "shape distance within persons over between (0 good, 1 bad)",
    "photometric_error": "colour error on the visible face (0 to 1)",
    "displacement_mm": "displacement of the details, mm",
    "detail_error": "colour error in UV with the details (0 to 1)",
    "smooth_error": "colour error in UV without them (0 to 1)",
}


@evaluate.command("emotion")
def emotion_command(
    manifest: ManifestOption,
    model: ModelOption = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="CSV with sample_id, valence, arousal, expression, in place of a model."),
    ] = None,
    fit: Annotated[
        Path | None, typer.Option(help="Faces to learn from; default: train.parquet beside the manifest.")
    ] = None,
    details: Annotated[bool, typer.Option("--details", help="Read the detail code, too.")] = False,
    head_path: HeadPathOption = None,
    root: RootOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the network that reads the codes.")] = 0,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure how well valence, arousal and expression can be read from the codes.

    A small network learns it from the faces of --fit; the published figures stand beside the result.

    Example: deca evaluate emotion --manifest val.parquet --fit train.parquet --model runs/001
    """
    from deca_model.evaluation.emotion_readout import (
        compare,
        encode_labelled,
        fit_and_read,
        read_labels,
        read_predictions,
    )

    if predictions is not None:
        if model is not None:
            raise UsageError("--model and --predictions: give one of them.")
        sample_ids, truth = read_labels(manifest)
        figures, name = compare(read_predictions(predictions, sample_ids), truth), predictions.stem
    else:
        from deca_model.use.open_model import open_model

        known = fit or manifest.with_name("train.parquet")
        if known == manifest:
            raise UsageError(f"{manifest}: a model must be measured on other faces than it learns from.")
        for path in (known, manifest):
            read_labels(path)  # sees faults before the model is opened
        network, size = open_model(model, device, head_path, details or None)
        learnt, asked = (
            encode_labelled(network, size, path, named_roots(root), details) for path in (known, manifest)
        )
        figures = compare(fit_and_read(learnt, asked.features, seed), asked.labels)
        name = "this model with details" if details else "this model"
    if as_json:
        published = {
            key: dict(zip(EMOTION_COLUMNS, row, strict=True)) for key, row in PUBLISHED_EMOTION.items()
        }
        print(json.dumps({"figures": figures, "published": published}))
        return
    print_emotion(name, figures)


def print_emotion(name: str, figures: dict[str, float]) -> None:
    """The figures and the published ones, a row a model."""
    header = ["", "V-PCC", "V-CCC", "V-RMSE", "V-SAGR", "A-PCC", "A-CCC", "A-RMSE", "A-SAGR", "E-ACC"]
    rows = [[model, *(f"{value:.2f}" for value in row)] for model, row in PUBLISHED_EMOTION.items()]
    ours = [f"{figures[key]:.2f}" if key in figures else "" for key in EMOTION_COLUMNS]
    print_columns(header, [[name, *ours], *rows])
    print(
        f"{figures['faces']:.0f} faces; the other rows are the published ones, on AffectNet's own test faces"
    )


def print_now(figures: dict[str, dict[str, float]], missing: int) -> None:
    """The benchmark's figures by challenge, and the published ones."""
    from deca_model.evaluation.now_benchmark import PUBLISHED

    rows = [
        [name, *(f"{part[key]:.2f}" for key in PUBLISHED), str(part["faces"])]
        for name, part in figures.items()
    ]
    rows.append(["DECA, published (test set)", *(f"{value:.2f}" for value in PUBLISHED.values()), ""])
    print_columns(["", "median mm", "mean mm", "std mm", "photos"], rows)
    if missing:
        print(f"without a face, and not counted: {missing} photos; the benchmark asks for all of them")


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
    print_columns(["kind", "name", "state", "licence", "gives"], rows)
    print("\nlooked in " + " and ".join(str(each) for each in folders))
    for each in found:
        if each.state in ("found", "incomplete"):
            print(f"\n{each.name}: {each.path}\n  use it with {' '.join(each.settings)}")
        if each.lacks:
            print(f"  but beside it there must be {', '.join(each.lacks)}")
    for each in found:
        if each.state == "missing":
            beside = f", and beside it {' and '.join(each.beside)}" * bool(each.beside)
            print(f"\n{each.name}, not found: {' or '.join(each.looked_for)}{beside}")
            print(f"  it would be used with {' '.join(each.settings)}")


def print_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table."""
    widths = [max(len(row[n]) for row in (header, *rows)) for n in range(len(header))]
    for row in (header, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def named_roots(given: list[str] | None) -> dict[str, Path]:
    """`NAME=FOLDER` pairs by name.

    Raises:
        UsageError: one without its equals sign.
    """
    found = {}
    for text in given or []:
        name, equals, folder = text.partition("=")
        if not equals or not folder:
            raise UsageError(f"--root {text}: write it as NAME=FOLDER.")
        found[name] = Path(folder)
    return found
