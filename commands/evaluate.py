"""`deca evaluate`: measures a model on the faces of a manifest or on a benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from commands.options import (
    DeviceOption,
    HeadPathOption,
    JsonOption,
    LandmarkerOption,
    MeasuredOption,
    ModelOption,
    QuietOption,
    RootOption,
    WeightsOption,
    named_roots,
)
from manifests.errors import UsageError
from manifests.files import writable_folder
from pipelines.terminal.tables import print_table

EMOTION_COLUMNS = tuple(
    f"{name}_{figure}" for name in ("valence", "arousal") for figure in ("pcc", "ccc", "rmse", "sagr")
) + ("expression_accuracy",)

MEANINGS = {
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


def landmarks_command(
    manifest: MeasuredOption,
    model: ModelOption = None,
    head_path: HeadPathOption = None,
    faces: Annotated[int | None, typer.Option(min=1, help="Maximum number, evenly spread.")] = None,
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
    held_out = HeldOut(table, size, faces or len(table), scale=network.crop_scale)
    figures = validate(network, held_out, network.head.template.device, rendered)
    if as_json:
        print(json.dumps(figures))
        return
    print_table(["figure", "value"], [[MEANINGS.get(k, k), f"{v:.4g}"] for k, v in figures.items()])


def emotion_command(
    manifest: MeasuredOption,
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
            read_labels(path)  # raises errors before the model is opened
        network, size = open_model(model, device, head_path, details or None)
        roots = named_roots(root)
        learnt, asked = (encode_labelled(network, size, path, roots, details) for path in (known, manifest))
        figures = compare(fit_and_read(learnt, asked.features, seed), asked.labels)
        name = "this model with details" if details else "this model"
    if as_json:
        rows = PUBLISHED_EMOTION.items()
        published = {key: dict(zip(EMOTION_COLUMNS, row, strict=True)) for key, row in rows}
        print(json.dumps({"figures": figures, "published": published}))
        return
    _print_emotion(name, figures)


def now_command(
    dataset: Annotated[Path, typer.Option("--now", help="The NoW dataset's folder.")],
    model: ModelOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the errors of every photo (.npz).")] = None,
    head_path: HeadPathOption = None,
    backend: LandmarkerOption = "mediapipe",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure shapes against the scans of the NoW benchmark.

    Example: deca evaluate now --now ./NoW_Dataset --model runs/001
    """
    from pipelines.photo_faces import FaceFinder, PhotoFile
    from pipelines.terminal.progress_bar import progress

    place = writable_folder(out, f"--out {out}") if out is not None else None
    finder = FaceFinder(backend, weights, device)
    from deca_model.evaluation.now_benchmark import (
        PUBLISHED,
        list_now_photos,
        measure_scan_errors,
        named_codes,
        save_errors,
        summarise_by_challenge,
    )
    from deca_model.use.open_model import open_model
    from deca_model.use.photo_batches import reconstruct_faces

    network, size = open_model(model, device, head_path)
    photos = list_now_photos(dataset)
    faces = finder.find([PhotoFile(photo.name, photo.path, photo.box) for photo in photos])
    errors = {}
    with progress("NoW", len(photos), "photos", quiet=quiet) as shown:
        for name, error in measure_scan_errors(
            network, photos, named_codes(reconstruct_faces(network, size, faces))
        ):
            errors[name] = error
            shown.advance(1)
    figures, missing = summarise_by_challenge(errors), len(finder.skipped)
    if place is not None:
        save_errors(place / "now_errors.npz", errors)
    if as_json:
        print(json.dumps({"figures": figures, "missing": missing, "published": PUBLISHED}))
        return
    _print_now_figures(figures, missing)


def _print_emotion(name: str, figures: dict[str, float]) -> None:
    """Prints the figures and the published ones, one row per model."""
    header = ["", "V-PCC", "V-CCC", "V-RMSE", "V-SAGR", "A-PCC", "A-CCC", "A-RMSE", "A-SAGR", "E-ACC"]
    rows = [[model, *(f"{value:.2f}" for value in row)] for model, row in PUBLISHED_EMOTION.items()]
    ours = [f"{figures[key]:.2f}" if key in figures else "" for key in EMOTION_COLUMNS]
    print_table(header, [[name, *ours], *rows])
    faces = f"{figures['faces']:.0f} faces"
    print(f"{faces}; the other rows are the published ones, on AffectNet's own test faces")


def _print_now_figures(figures: dict[str, dict[str, float]], missing: int) -> None:
    """Prints the benchmark's figures by challenge, and the published ones."""
    from deca_model.evaluation.now_benchmark import PUBLISHED

    rows = [
        [name, *(f"{part[key]:.2f}" for key in PUBLISHED), part["faces"]] for name, part in figures.items()
    ]
    rows.append(["DECA, published (test set)", *(f"{value:.2f}" for value in PUBLISHED.values()), ""])
    print_table(["", "median mm", "mean mm", "std mm", "photos"], rows)
    if missing:
        print(f"without a face, and not counted: {missing} photos; the benchmark asks for all of them")
