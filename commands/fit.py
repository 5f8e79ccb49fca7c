"""`deca fit`: heads from photos without a trained model; `deca reconstruct` uses it where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.options import DeviceOption, JsonOption, LandmarkerOption, QuietOption, WeightsOption
from commands.printing import say
from manifests.files import writable_folder

if TYPE_CHECKING:
    from deca_model.networks.model import Deca
    from deca_model.use.inference import Reconstruction

Save = Callable[["Deca", "Reconstruction", list[str], Path], object]
"""Writes the files of faces with these names into a folder."""


def fit_command(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos, or folders of photos.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("reconstructions"),
    same_person: Annotated[
        bool, typer.Option("--same-person", help="All photos show one person: they share the shape.")
    ] = False,
    head: Annotated[str, typer.Option(help="Head model: open (embedded), flame or ict.")] = "open",
    head_path: Annotated[
        Path | None, typer.Option("--head-path", help="File or folder of the flame or ict head.")
    ] = None,
    details: Annotated[bool, typer.Option("--details/--no-details", help="Wrinkles and folds.")] = True,
    backend: LandmarkerOption = "mediapipe",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a textured 3-D head of the face in each photo, without a trained model.

    The head is fitted to landmarks, colours and wrinkles of the photo, in about a second per face. The files
    are those of `deca reconstruct`. The same photos give the same heads. --device is for the landmarks only.

    Example: deca fit photo.jpg --out reconstructions

    Example: deca fit anna/ --same-person
    """
    from deca_model.use.reconstruction_files import save_reconstruction

    fit_photos(
        photos,
        out,
        save_reconstruction,
        same_person=same_person,
        head=head,
        head_path=head_path,
        details=details,
        landmarks=(backend, weights, device),
        quiet=quiet,
        as_json=as_json,
    )


def fit_instead(
    photos: list[Path],
    out: Path,
    details: bool | None,
    landmarks: tuple[str, Path | None, str],
    quiet: bool,
    as_json: bool,
) -> None:
    """What `deca reconstruct` does where there is no model; it says so on standard error."""
    from deca_model.use.reconstruction_files import save_reconstruction

    say(quiet or as_json)("no --model and no run in ./runs: the open head is fitted, as by `deca fit`")
    fit_photos(
        photos,
        out,
        save_reconstruction,
        details=details is not False,
        landmarks=landmarks,
        quiet=quiet,
        as_json=as_json,
    )


def fit_photos(
    photos: list[Path],
    out: Path,
    save: Save,
    *,
    same_person: bool = False,
    head: str = "open",
    head_path: Path | None = None,
    details: bool = True,
    landmarks: tuple[str, Path | None, str] = ("mediapipe", None, "auto"),
    quiet: bool = False,
    as_json: bool = False,
) -> None:
    """Fit a head to the face in each photo, save it, and print the result as `deca reconstruct` does."""
    from pipelines.fit_faces import MeshFinder
    from pipelines.photo_faces import FaceFinder, list_photos
    from pipelines.terminal.progress_bar import progress

    files, out = list_photos(photos), writable_folder(out, f"--out {out}")
    finder = FaceFinder(*landmarks)
    from deca_model.use.fitting.fit import Fitter, fitting_model, groups, landmark_error

    model = fitting_model(head, head_path)
    fitter = Fitter(model, details=details)
    done = []
    with progress("fit", len(files), "photos", quiet=quiet or as_json or len(files) == 1) as shown:
        for faces in groups(MeshFinder().add(finder.find(files)), same_person):
            for face, found in fitter.fit_each(faces):
                save(model, found, [face.name], out)
                done.append({"photo": str(face.path), "mesh": str(out / f"{face.name}.obj")})
                done[-1] |= {"faces": face.faces, "landmark_error": round(landmark_error(face, found), 4)}
                shown.advance(1)
    if as_json:
        skipped = [{"photo": str(path), "reason": reason} for path, reason in finder.skipped]
        print(json.dumps({"reconstructed": done, "skipped": skipped}))
        return
    _print(out, done, len(finder.skipped))


def _print(out: Path, done: list[dict[str, Any]], skipped: int) -> None:
    errors = sorted(100 * each["landmark_error"] for each in done)
    print(
        f"{out}: faces fitted: {len(done)}, photos without a face: {skipped}; median landmark error "
        f"{errors[len(errors) // 2]:.1f} % of the inter-ocular distance"
    )
    for each in done[:5]:
        print(f"  {each['mesh']}  (picture: {Path(each['mesh']).with_suffix('.png')})")
    several = sum(each["faces"] > 1 for each in done)
    if several:
        print(f"with several faces, of which the largest central one was taken: {several} photos")
