"""The two commands: `deca-data` makes manifests, `deca` trains from them.

The commands of `deca-data` stand in `commands/data.py` and `commands/share.py`; those of `deca`
that need the model alone, in `commands/evaluate.py`. Here are those that join the two halves. Each
parses, calls and prints, and imports what it calls inside itself, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.evaluate import (
    DeviceOption,
    HeadPathOption,
    JsonOption,
    ModelOption,
    RootOption,
    assets_command,
    evaluate,
    named_roots,
    print_now,
)
from commands.exit_codes import run_app
from commands.share import app as deca_data
from manifests.errors import UsageError

deca = typer.Typer(
    name="deca",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


@deca.callback()
def _deca_callback() -> None:
    """Train DECA from a manifest, and use the model.

    Begin with: deca train --manifest train.parquet
    """


Manifests = Annotated[
    list[Path], typer.Option("--manifest", help="train.parquet; give several to mix datasets.")
]
ConfigSettings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="One setting, as loss.eye=0.5.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
BackendOption = Annotated[str, typer.Option("--backend", help="Landmarks: mediapipe or face-alignment.")]
WeightsOption = Annotated[Path | None, typer.Option("--weights", help="Weight file of the backend.")]
DetailsOption = Annotated[
    bool | None, typer.Option("--details/--no-details", help="Default: if the model has details.")
]


deca.add_typer(evaluate)
deca.command("assets")(assets_command)


@deca.command("train")
def train_command(
    manifest: Manifests,
    val_manifest: Annotated[
        Path | None, typer.Option(help="Held-out faces; default: val.parquet beside the manifest.")
    ] = None,
    stage: Annotated[str | None, typer.Option(help="pretrain, coarse, expression, detail or all.")] = None,
    preset: Annotated[
        str | None, typer.Option(help="paper or emoca (a GPU), or cpu; default: by the machine.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings.")] = None,
    settings: ConfigSettings = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default: the next runs/NNN.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    start_from: Annotated[
        Path | None, typer.Option(help="A run or checkpoint whose weights to start with.")
    ] = None,
    root: RootOption = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same batches.")] = None,
    quiet: QuietOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train DECA from a manifest.

    Example: deca train --manifest train.parquet
    """
    from commands.training_bar import StepProgress
    from deca_model.settings.reading import load_config
    from deca_model.training.loop import train

    if preset is not None and config is not None:
        raise UsageError("--preset and --config: give one of them; a config file names its preset itself.")
    named = {"stage": stage, "run.device": device, "run.seed": seed}
    overrides = [f"{name}={value}" for name, value in named.items() if value is not None]
    source = config or preset or _preset_of_machine(quiet)
    place = out or _run_folder(resume)
    checkpoint = train(
        load_config(source, [*overrides, *(settings or [])]),
        manifest,
        val_manifest,
        place,
        resume,
        StepProgress(quiet),
        roots=named_roots(root),
        start_from=start_from,
    )
    print(
        json.dumps({"run": str(place), "checkpoint": str(checkpoint)})
        if as_json
        else f"checkpoint: {checkpoint}"
    )


def _preset_of_machine(quiet: bool) -> str:
    import torch

    preset = "paper" if torch.cuda.is_available() else "cpu"
    if not quiet:
        print(f"settings: preset {preset!r}; another with --preset, single ones with --set", file=sys.stderr)
    return preset


def _run_folder(resume: bool) -> Path:
    """The newest of runs/001, runs/002, ... to go on with, or the next one to begin."""
    numbers = [int(path.name) for path in Path("runs").glob("[0-9][0-9][0-9]") if path.is_dir()]
    if resume and not numbers:
        raise UsageError("--resume: there is no run in ./runs yet; name its folder with --out.")
    return Path("runs") / f"{max(numbers, default=0) + (not resume):03d}"


@deca.command("reconstruct")
def reconstruct_command(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos, or folders of photos.")],
    model: ModelOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("reconstructions"),
    details: DetailsOption = None,
    head_path: HeadPathOption = None,
    backend: BackendOption = "mediapipe",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a textured 3-D head of the face in each photo.

    Per face: NAME.obj with texture, NAME_detail.obj with details, codes in NAME.npz, a picture NAME.png.

    Example: deca reconstruct photo.jpg --model runs/001 --out reconstructions
    """
    from pipelines.photo_faces import FaceFinder, list_photos, output_folder
    from pipelines.terminal.progress_bar import progress

    files, out = list_photos(photos), output_folder(out)
    finder = FaceFinder(backend, weights, device)
    network, size = _open(model, device, head_path, details)
    from deca_model.use.photo_batches import reconstruct_faces
    from deca_model.use.reconstruction_files import save_reconstruction

    done = []
    with progress("reconstruct", len(files), "photos", quiet=quiet or len(files) == 1) as shown:
        for faces, found in reconstruct_faces(network, size, finder.find(files)):
            save_reconstruction(network, found, [face.name for face in faces], out)
            done += [
                {"photo": str(f.path), "mesh": str(out / f"{f.name}.obj"), "faces": f.faces} for f in faces
            ]
            shown.advance(len(faces))
    if as_json:
        skipped = [{"photo": str(path), "reason": reason} for path, reason in finder.skipped]
        print(json.dumps({"reconstructed": done, "skipped": skipped}))
        return
    print(f"{out}: faces reconstructed: {len(done)}, photos without a face: {len(finder.skipped)}")
    for each in done[:5]:
        print(f"  {each['mesh']}  (picture: {Path(each['mesh']).with_suffix('.png')})")
    several = sum(each["faces"] > 1 for each in done)
    if several:
        print(f"with several faces, of which the largest central one was taken: {several} photos")


@deca.command("transfer")
def transfer_command(
    person: Annotated[Path, typer.Option(help="Photo of the person to change.")],
    driver: Annotated[Path, typer.Option(help="Photo whose expression is taken.")],
    model: ModelOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("transfers"),
    details: DetailsOption = None,
    head_path: HeadPathOption = None,
    backend: BackendOption = "mediapipe",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Give one person another one's expression.

    Writes PERSON_as_DRIVER.obj with texture, its codes (.npz) and a picture that compares (.png).

    Example: deca transfer --person anna.jpg --driver ben.jpg --model runs/001 --out transfers
    """
    from pipelines.photo_faces import FaceFinder, output_folder

    out = output_folder(out)
    finder = FaceFinder(backend, weights, device)
    first, second = finder.one(person), finder.one(driver)
    network, size = _open(model, device, head_path, details)
    from deca_model.use.photo_batches import reconstruct_face_list
    from deca_model.use.transfer_files import save_transfer

    of_first, of_second = (reconstruct_face_list(network, size, [face]) for face in (first, second))
    files = save_transfer(network, of_first, of_second, f"{first.name}_as_{second.name}", out)
    print(json.dumps({"files": [str(path) for path in files]}) if as_json else "\n".join(map(str, files)))


@deca.command("animate")
def animate_command(
    photo: Annotated[Path, typer.Argument(help="Photo of the person.")],
    model: ModelOption = None,
    out: Annotated[Path, typer.Option(help="Film: .mp4, .gif, or a folder for PNGs.")] = Path("film.mp4"),
    drive: Annotated[
        Path | None, typer.Option(help="Video or folder of photos whose expressions are taken.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Default: 75; with --drive, all that it has.")
    ] = None,
    details: DetailsOption = None,
    head_path: HeadPathOption = None,
    backend: BackendOption = "mediapipe",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a film of a face: it turns its head, or shows the expressions of others.

    Each frame shows the shape and the textured head; with --drive, the driver's photo before them.

    Example: deca animate photo.jpg --model runs/001 --out head-turn.mp4
    """
    from pipelines.photo_faces import FaceFinder, FrameSource, output_film
    from pipelines.terminal.progress_bar import progress

    out = output_film(out)
    with FrameSource(drive, frames) as driver:
        finder = FaceFinder(backend, weights, device)
        face = finder.one(photo)
        network, size = _open(model, device, head_path, details)
        from deca_model.use.film_files import write_film
        from deca_model.use.films import driven_head, turning_head
        from deca_model.use.photo_batches import reconstruct_face_list, reconstruct_faces

        person = reconstruct_face_list(network, size, [face])
        if drive is None:
            stream = turning_head(network, person, frames or 75)
        else:
            drivers = reconstruct_faces(network, size, finder.find(driver.files))
            stream = driven_head(network, person, (found for _, found in drivers))
        with progress("animate", len(driver.files) or frames or 75, "frames", quiet=quiet) as shown:
            count = 0

            def counted() -> Iterator[Any]:
                nonlocal count
                for frame in stream:
                    yield frame
                    count += 1
                    shown.advance(1)

            write_film(out, counted(), driver.per_second)
    if as_json:
        print(json.dumps({"film": str(out), "frames": count, "skipped": len(finder.skipped)}))
        return
    print(f"{out}: {count} frames" + f", {len(finder.skipped)} without a face" * bool(finder.skipped))


@evaluate.command("now")
def now_command(
    now: Annotated[Path, typer.Option("--now", help="The NoW dataset's folder.")],
    model: ModelOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the errors of every photo (.npz).")] = None,
    head_path: HeadPathOption = None,
    backend: BackendOption = "mediapipe",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure shapes against the scans of the NoW benchmark.

    Example: deca evaluate now --now ./NoW_Dataset --model runs/001
    """
    from pipelines.photo_faces import FaceFinder, PhotoFile, output_folder
    from pipelines.terminal.progress_bar import progress

    place = output_folder(out) if out is not None else None
    finder = FaceFinder(backend, weights, device)
    network, size = _open(model, device, head_path)
    from deca_model.evaluation.now_benchmark import (
        PUBLISHED,
        list_now,
        measure_now,
        named_codes,
        save_errors,
        summarise_now,
    )
    from deca_model.use.photo_batches import reconstruct_faces

    photos = list_now(now)
    faces = finder.find([PhotoFile(photo.name, photo.path, photo.box) for photo in photos])
    errors = {}
    with progress("NoW", len(photos), "photos", quiet=quiet) as shown:
        for name, error in measure_now(network, photos, named_codes(reconstruct_faces(network, size, faces))):
            errors[name] = error
            shown.advance(1)
    figures, missing = summarise_now(errors), len(finder.skipped)
    if place is not None:
        save_errors(place / "now_errors.npz", errors)
    if as_json:
        print(json.dumps({"figures": figures, "missing": missing, "published": PUBLISHED}))
        return
    print_now(figures, missing)


def _open(model: Path | None, device: str, head_path: Path | None, details: bool | None = None) -> Any:
    """The network and the side of its crops."""
    from deca_model.use.open_model import open_model

    return open_model(model, device, head_path, details)


def deca_data_main() -> None:
    """Entry point of `deca-data`."""
    # Its work is cut up for processes and threads already; NumPy reads this when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    run_app(deca_data)


def deca_main() -> None:
    """Entry point of `deca`."""
    run_app(deca)
