"""The commands of `deca` that find faces in photos and use a model on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.animated import TURN, Wanted, fitted_film, modelled_film
from commands.fit import Chosen, fit_instead
from commands.fitted import fitted, open_fitter
from commands.models import no_model, open_model
from commands.options import (
    FORMATS,
    PHOTOS,
    AllFacesOption,
    DepthOption,
    DetailsOption,
    DeviceOption,
    FormatsOption,
    FramesOfVideoOption,
    HeadPathOption,
    JsonOption,
    LandmarkerOption,
    ModelOption,
    ObjOption,
    QuietOption,
    RasterizerOption,
    SmoothOption,
    WeightsOption,
)
from manifests.errors import UsageError
from manifests.files import writable_folder
from pipelines.terminal.lines import print_line

if TYPE_CHECKING:
    from pipelines.photo_faces import PhotoFile


def reconstruct_command(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help=PHOTOS)],
    model: ModelOption = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the results.")] = Path(
        "reconstructions"
    ),
    all_faces: AllFacesOption = False,
    formats: FormatsOption = FORMATS,
    save_obj: ObjOption = False,
    save_depth: DepthOption = False,
    frames: FramesOfVideoOption = None,
    smooth: SmoothOption = True,
    rasterizer: RasterizerOption = None,
    details: DetailsOption = None,
    head_path: HeadPathOption = None,
    backend: LandmarkerOption = "mediapipe",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a textured 3-D head of the face in each photo or video.

    Per face: NAME.glb and NAME.obj, NAME_detail.* with details, texture, albedo, displacement and normal map,
    codes and landmarks (.npz, .json), and a picture NAME.png. A video becomes one person with one shape:
    NAME.mp4 besides, and the codes of all frames.

    Without --model and without a run in ./runs, the open head is fitted, as by `deca fit`.

    Example: deca reconstruct photo.jpg --model runs/001 --out reconstructions
    """
    if no_model(model):
        if head_path is not None:
            raise UsageError(
                "--head-path: there is no model whose head it could be; name one with --model, or call "
                "`deca fit --head flame --head-path ...`."
            )
        wanted = [*formats.split(","), *["obj"] * save_obj]
        chosen = Chosen(all_faces, wanted, save_depth, frames, smooth, rasterizer)
        return fit_instead(photos, out, details, (backend, weights, device), quiet, as_json, chosen)
    from commands.clips import check_any, each_video, no_photo_suffices, read_clip, write_clip
    from pipelines.photo_faces import FaceFinder, FrameSource, is_video, list_photos
    from pipelines.terminal.progress_bar import progress

    listed, out = list_photos(photos), writable_folder(out, f"--out {out}")
    videos = [file for file in listed if is_video(file.path)]
    files = [file for file in listed if file not in videos]
    finder = FaceFinder(backend, weights, device)
    from deca_model.use.mesh_files import check_formats
    from deca_model.use.photo_batches import reconstruct_faces
    from deca_model.use.reconstruction_files import Outputs, save_reconstruction

    outputs = Outputs(check_formats([*formats.split(","), *["obj"] * save_obj]), save_depth)
    network, size = open_model(
        model, device, head_path, details, silent=quiet or as_json, rasterizer=rasterizer
    )
    done, seen = [], set()
    if files:
        few = quiet or len(files) == 1
        with no_photo_suffices(videos), progress("reconstruct", len(files), "photos", quiet=few) as shown:
            looked = finder.find(files, every=all_faces, beside=videos)
            for faces, found in reconstruct_faces(network, size, looked):
                save_reconstruction(network, found, [face.name for face in faces], out, outputs)
                for f in faces:
                    mesh = out / f"{f.name}.{outputs.formats[-1]}"
                    done.append({"photo": str(f.path), "mesh": str(mesh), "faces": f.faces})
                shown.advance(len({f.path for f in faces} - seen))
                seen |= {f.path for f in faces}

    def film(video: PhotoFile) -> dict[str, Any]:
        in_photos = len(finder.skipped)
        with FrameSource(video.path, frames) as source:
            clip = read_clip(network, size, finder, source, smooth, quiet)
            told = write_clip(network, size, clip, source, video, out, outputs, quiet)
        del finder.skipped[in_photos:]  # frames are counted with their video
        return told

    clips = each_video(videos, finder, len(listed) == 1, film)
    check_any([*done, *clips], listed)
    if as_json:
        skipped = [{"photo": str(path), "reason": reason} for path, reason in finder.skipped]
        told = {"reconstructed": done, "videos": clips, "skipped": skipped}
        print(json.dumps({**told, "doubtful": list(map(str, finder.doubtful))}))
        return
    for video in clips:
        print_line(f"{video['film']}: {video['said']}", indent="  ")
    if files:
        _print(out, done, len(finder.skipped), all_faces)


def _print(out: Path, done: list[dict[str, Any]], skipped: int, every: bool) -> None:
    print_line(f"{out}: faces reconstructed: {len(done)}, photos without a face: {skipped}", indent="  ")
    for each in done[:5]:
        picture = Path(each["mesh"]).with_suffix(".png")
        print_line(f"  {each['mesh']}  (picture: {picture})", indent="    ")
    if len(done) > 5:
        print(f"  and {len(done) - 5} more")
    several = len({each["photo"] for each in done if each["faces"] > 1})
    if several and not every:
        print_line(
            f"with several faces, of which the largest central one was taken: {several} photos", indent="  "
        )


def transfer_command(
    person: Annotated[Path, typer.Option(help="Photo of the person to change.")],
    driver: Annotated[Path, typer.Option(help="Photo whose expression is taken.")],
    model: ModelOption = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the results.")] = Path("transfers"),
    formats: FormatsOption = FORMATS,
    details: DetailsOption = None,
    head_path: HeadPathOption = None,
    backend: LandmarkerOption = "mediapipe",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Give one person another one's expression; without a model, on heads fitted as by `deca fit`.

    Writes PERSON_as_DRIVER as meshes with texture, its codes (.npz) and a picture that compares (.png).

    Example: deca transfer --person anna.jpg --driver ben.jpg --model runs/001 --out transfers
    """
    from pipelines.photo_faces import FaceFinder

    out = writable_folder(out, f"--out {out}")
    finder = FaceFinder(backend, weights, device)
    first, second = finder.one(person), finder.one(driver)
    from deca_model.use.mesh_files import check_formats
    from deca_model.use.photo_batches import reconstruct_face_list
    from deca_model.use.reconstruction_files import Outputs
    from deca_model.use.transfer_files import save_transfer

    outputs = Outputs(check_formats(formats.split(",")))
    if no_model(model):
        fitter = open_fitter(details is not False, as_json)
        network = fitter.model
        of_first, of_second = (next(fitted(fitter, [face])) for face in (first, second))
    else:
        network, size = open_model(model, device, head_path, details, silent=as_json)
        of_first, of_second = (reconstruct_face_list(network, size, [face]) for face in (first, second))
    files = save_transfer(network, of_first, of_second, f"{first.name}_as_{second.name}", out, outputs)
    print(json.dumps({"files": [str(path) for path in files]}) if as_json else "\n".join(map(str, files)))


def animate_command(
    photo: Annotated[Path, typer.Argument(help="Photo of the person.")],
    model: ModelOption = None,
    out: Annotated[
        Path, typer.Option(metavar="FILE|FOLDER", help="Film: .mp4, .gif, or a folder for PNGs.")
    ] = Path("film.mp4"),
    drive: Annotated[
        Path | None, typer.Option(help="Video or folder of photos whose expressions are taken.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Default: 75; with --drive, all that it has.")
    ] = None,
    smooth: SmoothOption = True,
    details: DetailsOption = None,
    head_path: HeadPathOption = None,
    backend: LandmarkerOption = "mediapipe",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a film of a face: it turns its head, or shows the expressions of others.

    Without a model and without a run in ./runs, heads are fitted, as by `deca fit`.

    Each frame shows the shape and the textured head; with --drive, the driver's photo before them. An .mp4
    gets the sound of a video that drives it.

    Example: deca animate photo.jpg --model runs/001 --out head-turn.mp4
    """
    from pipelines.photo_faces import FaceFinder, FrameSource, output_film
    from pipelines.terminal.progress_bar import progress

    out = output_film(out)
    with FrameSource(drive, frames) as driver:
        finder = FaceFinder(backend, weights, device)
        silent = quiet or as_json
        wanted = Wanted(finder.one(photo), drive, frames, smooth, silent)
        from deca_model.use.film_files import write_film

        if no_model(model):
            stream, pace, sound = fitted_film(wanted, finder, driver)
        else:
            opened = open_model(model, device, head_path, details, silent=silent)
            stream, pace, sound = modelled_film(wanted, opened, finder, driver)
        with progress("animate", len(driver.files) or frames or TURN, "frames", quiet=quiet) as shown:
            count = 0

            def counted() -> Iterator[Any]:
                nonlocal count
                for frame in stream:
                    yield frame
                    count += 1
                    shown.advance(1)

            write_film(out, counted(), pace, sound)
    if as_json:
        print(json.dumps({"film": str(out), "frames": count, "skipped": len(finder.skipped)}))
        return
    print_line(f"{out}: {count} frames" + f", {len(finder.skipped)} without a face" * bool(finder.skipped))
