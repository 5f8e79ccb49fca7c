"""`deca evaluate`: measures a model on the faces of a manifest or on a benchmark."""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.models import open_model
from commands.options import (
    DeviceOption,
    HeadPathOption,
    JsonOption,
    MeasuredOption,
    ModelOption,
    QuietOption,
    RootOption,
    named_roots,
)
from manifests.errors import UsageError
from manifests.files import writable_folder
from pipelines.terminal.lines import print_line
from pipelines.terminal.tables import print_table

if TYPE_CHECKING:
    import torch

    from deca_model.evaluation.emotion_figures import Labels
    from deca_model.evaluation.emotion_labels import Labelled
    from deca_model.networks.model import Deca

EMOTION_COLUMNS = tuple(
    f"{name}_{figure}" for name in ("valence", "arousal") for figure in ("pcc", "ccc", "rmse", "sagr")
) + ("expression_accuracy",)

EMOTION_EXPLAINED = (
    "V: valence, A: arousal; PCC: Pearson's correlation, CCC: concordance correlation, RMSE: root mean "
    "square error, SAGR: share with the right sign, E-ACC: share with the right expression"
)

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
    """Measure how well the model's heads fit a manifest's faces.

    The distance of the landmarks, whether persons keep their shape, and whether mouths and eyes are as far
    open as in the photos: in the reconstruction, and on another person's head as `deca transfer` and
    `deca animate` show them.

    Example: deca evaluate landmarks --manifest val.parquet --model runs/001
    """
    from deca_model.data.faces import open_table
    from deca_model.training.headline import EXPLAINED, MEANINGS, headline
    from deca_model.training.validation import HeldOut, validate

    table = open_table([manifest], named_roots(root))
    network, size = open_model(model, device, head_path, silent=as_json, teeth=False)
    held_out = HeldOut(table, size, faces or len(table), scale=network.crop_scale)
    figures = validate(network, held_out, network.head.template.device, rendered)
    if as_json:
        print(json.dumps(figures))
        return
    print(headline(figures))
    print_line(EXPLAINED)
    print()
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
    epochs: Annotated[int, typer.Option(min=1, help="Of the network that reads the codes, at most.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of the network that reads the codes.")] = 0,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure how well valence, arousal and expression can be read from the codes.

    A network learns it from the faces of --fit by the protocol of the published figures, which are printed
    beside the result: EMOCA's MLP of 4 x 2048 on shape, expression and jaw pose. It stops when validation
    faces get no better. An epoch on all of AffectNet has about 4,000 steps, a quarter of an hour on one CPU
    core.

    Example: deca evaluate emotion --manifest val.parquet --fit train.parquet --model runs/001
    """
    from deca_model.evaluation.emotion_figures import compare
    from deca_model.evaluation.emotion_labels import read_labels, read_predictions

    training: dict[str, float] = {}
    if predictions is not None:
        if model is not None:
            raise UsageError("--model and --predictions: give one of them.")
        sample_ids, truth = read_labels(manifest)
        predicted, name = read_predictions(predictions, sample_ids), predictions.stem
    else:
        known = fit or manifest.with_name("train.parquet")
        if known == manifest:
            raise UsageError(f"{manifest}: a model must be measured on other faces than it learns from.")
        # This raises errors before the model is opened.
        counts = {path: len(read_labels(path)[0]) for path in (known, manifest)}

        opened = open_model(model, device, head_path, details or None, silent=quiet or as_json, teeth=False)
        encode = partial(_encode, opened, named_roots(root), details, quiet)
        learnt, asked = (encode(path, count) for path, count in counts.items())
        predicted, training = _read_codes(learnt, asked, epochs, seed, opened[0].head.template.device, quiet)
        truth, name = asked.labels, "this model with details" if details else "this model"
    figures = compare(predicted, truth)
    if as_json:
        rows = PUBLISHED_EMOTION.items()
        published = {key: dict(zip(EMOTION_COLUMNS, row, strict=True)) for key, row in rows}
        print(json.dumps({"figures": figures, "training": training, "published": published}))
        return
    _print_emotion(name, figures)


def now_command(
    dataset: Annotated[Path, typer.Option("--now", help="The NoW dataset's folder.")],
    model: ModelOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for the errors of every photo (.npz).")
    ] = None,
    head_path: HeadPathOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure shapes against the scans of the NoW benchmark.

    The photos are cropped by NoW's own face boxes. The alignment takes one CPU core about half
    a minute per photo.

    Example: deca evaluate now --now ./NoW_Dataset --model runs/001
    """
    from deca_model.evaluation.now_benchmark import (
        PUBLISHED,
        list_now_photos,
        measure_scan_errors,
        save_errors,
        summarise_by_challenge,
    )
    from pipelines.terminal.progress_bar import progress

    place = writable_folder(out, f"--out {out}") if out is not None else None
    network, size = open_model(model, device, head_path, silent=quiet or as_json, teeth=False)
    photos = list_now_photos(dataset)
    errors = {}
    with progress("NoW", len(photos), "photos", quiet=quiet) as shown:
        for name, error in measure_scan_errors(network, size, photos):
            errors[name] = error
            shown.advance(1)
    figures = summarise_by_challenge(errors)
    if place is not None:
        save_errors(place / "now_errors.npz", errors)
    if as_json:
        print(json.dumps({"figures": figures, "published": PUBLISHED}))
        return
    _print_now_figures(figures)


def _encode(
    opened: tuple[Deca, int], roots: dict[str, Path], details: bool, quiet: bool, manifest: Path, count: int
) -> Labelled:
    """Encodes the labelled faces of a manifest, with a progress bar."""
    from deca_model.evaluation.emotion_labels import encode_labelled
    from pipelines.terminal.progress_bar import progress

    with progress(f"codes of {manifest.name}", count, "faces", quiet=quiet) as shown:
        return encode_labelled(*opened, manifest, roots, details, shown.advance)


def _read_codes(
    learnt: Labelled, asked: Labelled, epochs: int, seed: int, device: torch.device, quiet: bool
) -> tuple[Labels, dict[str, float]]:
    """Trains the readout, says what it does, and predicts; also returns numbers about the training."""
    from deca_model.evaluation.emotion_readout import ReadoutSettings, fit_readout, read_emotion
    from pipelines.terminal.progress_bar import progress

    settings = ReadoutSettings(epochs=epochs)
    say = partial(print, file=sys.stderr) if not quiet else lambda _: None
    say(
        f"EMOCA's readout: an MLP of {settings.layers} x {settings.width} learns from "
        f"{len(learnt.features)} faces on {device}, at most {epochs} epochs"
    )
    start = time.monotonic()
    with progress("readout", epochs, "epochs", quiet=quiet) as shown:
        readout = fit_readout(learnt, settings, seed, device, shown.advance)
    say(
        f"the readout took {time.monotonic() - start:.0f} s: {readout.epochs} epochs of {readout.learnt} "
        f"faces, with {readout.held_out} more for validation"
    )
    numbers = {name: value for name, value in readout._asdict().items() if name != "network"}
    return read_emotion(readout, asked.features), numbers


def _print_emotion(name: str, figures: dict[str, float]) -> None:
    """Prints the figures and the published ones, one row per model."""
    header = ["", "V-PCC", "V-CCC", "V-RMSE", "V-SAGR", "A-PCC", "A-CCC", "A-RMSE", "A-SAGR", "E-ACC"]
    rows = [[model, *(f"{value:.2f}" for value in row)] for model, row in PUBLISHED_EMOTION.items()]
    ours = [f"{figures[key]:.2f}" if key in figures else "" for key in EMOTION_COLUMNS]
    print_table(header, [[name, *ours], *rows])
    faces = f"{figures['faces']:.0f} faces"
    print(f"{faces}; the other rows are the published ones, on AffectNet's own test faces")
    print_line(EMOTION_EXPLAINED)


def _print_now_figures(figures: dict[str, dict[str, float]]) -> None:
    """Prints the benchmark's figures by challenge, and the published ones."""
    from deca_model.evaluation.now_benchmark import PUBLISHED

    rows = [
        [name, *(f"{part[key]:.2f}" for key in PUBLISHED), part["faces"]] for name, part in figures.items()
    ]
    rows.append(["DECA, published (test set)", *(f"{value:.2f}" for value in PUBLISHED.values()), ""])
    print_table(["", "median mm", "mean mm", "std mm", "photos"], rows)
