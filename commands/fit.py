"""`deca fit`: heads from photos without a trained model; `deca reconstruct` uses it where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from commands.clips import check_any, each_video, no_photo_suffices
from commands.fitted import INSTEAD, faces_of_frames
from commands.models import choose_rasterizer
from commands.options import (
    FORMATS,
    PHOTOS,
    AllFacesOption,
    DepthOption,
    DeviceOption,
    FormatsOption,
    FramesOfVideoOption,
    JsonOption,
    LandmarkerOption,
    ObjOption,
    QuietOption,
    RasterizerOption,
    SmoothOption,
    WeightsOption,
)
from commands.printing import say
from manifests.files import writable_folder
from pipelines.terminal.lines import print_line

if TYPE_CHECKING:
    from deca_model.use.fitting.fit import Fitter
    from deca_model.use.reconstruction_files import Outputs
    from pipelines.photo_faces import FaceFinder, PhotoFile
    from pipelines.terminal.progress_bar import Progress


class Chosen(NamedTuple):
    """What the user chose to be written.

    All faces of a photo or one, mesh formats, depth maps or not, frames of a video, whether to smooth, and
    the rasteriser of pictures and films.
    """

    every: bool
    formats: list[str]
    depth: bool
    frames: int | None
    smooth: bool
    rasterizer: str | None = None


def fit_command(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help=PHOTOS)],
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("reconstructions"),
    same_person: Annotated[
        bool, typer.Option("--same-person", help="All photos show one person: they share the shape.")
    ] = False,
    head: Annotated[str, typer.Option(help="Head model: open (embedded), flame or ict.")] = "open",
    head_path: Annotated[
        Path | None, typer.Option("--head-path", help="File or folder of the flame or ict head.")
    ] = None,
    all_faces: AllFacesOption = False,
    formats: FormatsOption = FORMATS,
    save_obj: ObjOption = False,
    save_depth: DepthOption = False,
    frames: FramesOfVideoOption = None,
    smooth: SmoothOption = True,
    rasterizer: RasterizerOption = None,
    details: Annotated[bool, typer.Option("--details/--no-details", help="Wrinkles and folds.")] = True,
    outline: Annotated[
        bool, typer.Option("--outline/--no-outline", help="Whether chin and profile follow the skin's rim.")
    ] = True,
    backend: LandmarkerOption = "mediapipe",
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a textured 3-D head of the face in each photo, without a trained model.

    The head is fitted to landmarks, outline, colours and wrinkles of the photo, in a few seconds per face.
    The files are those of `deca reconstruct`. The same photos give the same heads. --device is for the
    landmarks only.
    A video has one shape, smoothed codes in NAME_frames.npz, and a film of the head, NAME.mp4.

    Example: deca fit photo.jpg --out reconstructions

    Example: deca fit anna/ --same-person

    Example: deca fit speech.mp4 --out reconstructions
    """
    fit_photos(
        photos,
        out,
        Chosen(all_faces, [*formats.split(","), *["obj"] * save_obj], save_depth, frames, smooth, rasterizer),
        same_person=same_person,
        head=head,
        head_path=head_path,
        details=details,
        outline=outline,
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
    chosen: Chosen,
) -> None:
    """What `deca reconstruct` does where there is no model; it says so on standard error."""
    say(quiet or as_json)(INSTEAD)
    fit_photos(
        photos,
        out,
        chosen,
        details=details is not False,
        landmarks=landmarks,
        quiet=quiet,
        as_json=as_json,
    )


def fit_photos(
    photos: list[Path],
    out: Path,
    chosen: Chosen,
    *,
    same_person: bool = False,
    head: str = "open",
    head_path: Path | None = None,
    details: bool = True,
    outline: bool = True,
    landmarks: tuple[str, Path | None, str] = ("mediapipe", None, "auto"),
    quiet: bool = False,
    as_json: bool = False,
) -> None:
    """Fit a head to the face in each photo or video, save it, and print what `deca reconstruct` prints."""
    from pipelines.fit_faces import MeshFinder
    from pipelines.photo_faces import FaceFinder, is_video, list_photos
    from pipelines.terminal.progress_bar import progress

    listed, out = list_photos(photos), writable_folder(out, f"--out {out}")
    videos = [file for file in listed if is_video(file.path)]
    files = [file for file in listed if file not in videos]
    finder = FaceFinder(*landmarks)
    from deca_model.use.fitting.fit import Fitter, fitting_model, groups, landmark_error
    from deca_model.use.mesh_files import check_formats
    from deca_model.use.reconstruction_files import Outputs, save_reconstruction

    outputs = Outputs(check_formats(chosen.formats), chosen.depth)
    model = fitting_model(head, head_path)
    choose_rasterizer(model, chosen.rasterizer)
    fitter = Fitter(model, details=details, outline=outline)
    silent, few, done = quiet or as_json, len(files) <= 1, []
    with no_photo_suffices(videos), progress("fit", len(files), "photos", quiet=silent or few) as shown:
        seen = set()
        looked = MeshFinder().add(finder.find(files, every=chosen.every, beside=videos))
        for faces in groups(looked, same_person) if files else ():
            for face, found in fitter.fit_each(faces):
                save_reconstruction(model, found, [face.name], out, outputs)
                mesh = out / f"{face.name}.{outputs.formats[-1]}"
                done.append({"photo": str(face.path), "mesh": str(mesh)})
                done[-1] |= {
                    "faces": face.faces,
                    "landmark_error": round(landmark_error(face.landmarks, found), 4),
                }
                shown.advance(face.path not in seen)  # a photo may have several faces
                seen.add(face.path)
    done += each_video(
        videos,
        finder,
        len(listed) == 1,
        lambda video: _fit_video(video, out, fitter, finder, outputs, chosen, silent),
    )
    check_any(done, listed)
    if as_json:
        skipped = [{"photo": str(path), "reason": reason} for path, reason in finder.skipped]
        doubtful = list(map(str, finder.doubtful))
        print(json.dumps({"reconstructed": done, "skipped": skipped, "doubtful": doubtful}))
        return
    print_heads(out, done, len(finder.skipped), chosen.every)


def _fit_video(
    video: PhotoFile,
    out: Path,
    fitter: Fitter,
    finder: FaceFinder,
    outputs: Outputs,
    chosen: Chosen,
    silent: bool,
) -> dict[str, Any]:
    """Fit one head to all frames of a video; writes NAME.mp4, NAME_frames.npz and the head of one frame."""
    from deca_model.use.film_files import write_film
    from deca_model.use.fitting.clip import clip_frames, most_frontal, save_clip_codes
    from deca_model.use.fitting.fit import landmark_error, with_sharp_crop
    from deca_model.use.fitting.gaze import look, smoothed_looks, with_gaze
    from deca_model.use.photo_texture import photo_texture
    from deca_model.use.reconstruction_files import save_reconstruction
    from manifests.images.decode import decode_file
    from pipelines.photo_faces import FrameSource
    from pipelines.terminal.progress_bar import progress

    with FrameSource(video.path, chosen.frames) as source:
        views, faces, looks = [], [], []
        for face in faces_of_frames(finder, source, silent):
            views.append(fitter.view(face))
            faces.append((face.landmarks, face.faces, face.path))
            looks.append(look(face.landmarks, face.mesh))
        over = "smoothed over time (--no-smooth leaves it out)" if chosen.smooth else "not smoothed"
        say(silent)(f"{video.path.name}: one shape for {len(views)} frames, {over}")
        codes = fitter.fit_clip(views, source.per_second, chosen.smooth)
        looks = smoothed_looks(looks, source.per_second) if chosen.smooth else looks
        best = most_frontal(codes)
        found = with_gaze(fitter.model, fitter.render([views[best]], [codes[best]]), [looks[best]])
        found = with_sharp_crop(found, decode_file(faces[best][2]).image)
        save_reconstruction(fitter.model, found, [video.name], out, outputs)
        save_clip_codes(out / f"{video.name}_frames.npz", views, codes)
        film, texture = out / f"{video.name}.mp4", photo_texture(fitter.model, found)
        with progress("draw", len(views), "frames", quiet=silent) as shown:
            # frames without a face are left out: the others last longer, so that the sound fits
            pace = source.per_second * len(views) / len(source.files)
            stream = _counted(clip_frames(fitter, views, codes, looks, texture), shown)
            write_film(film, stream, pace, sound=video.path)
    mesh = str(out / f"{video.name}.{outputs.formats[-1]}")
    error = landmark_error(faces[best][0], found)
    told = {"photo": str(video.path), "mesh": mesh, "film": str(film), "frames": len(views)}
    return told | {"faces": max(count for _, count, _ in faces), "landmark_error": round(error, 4)}


def _counted(frames: Iterable[Any], shown: Progress) -> Iterator[Any]:
    for frame in frames:
        yield frame
        shown.advance(1)


def print_heads(out: Path, done: list[dict[str, Any]], skipped: int, every: bool) -> None:
    """Print how many heads there are, the files of the first five, and the head that fits worst."""
    what = "photos and frames" if any("film" in each for each in done) else "photos"
    errors = sorted(100 * each["landmark_error"] for each in done)
    print_line(
        f"{out}: faces fitted: {len(done)}, {what} without a face: {skipped}; median landmark error "
        f"{errors[len(errors) // 2]:.1f} % of the inter-ocular distance",
        indent="  ",
    )
    for each in done[:5]:
        film = f", film: {each['film']}" if "film" in each else ""
        picture = Path(each["mesh"]).with_suffix(".png")
        print_line(f"  {each['mesh']}  (picture: {picture}{film})", indent="    ")
    if len(done) > 5:
        print(f"  and {len(done) - 5} more")
    if len(done) > 1:
        worst = max(done, key=lambda each: each["landmark_error"])
        picture = Path(worst["mesh"]).with_suffix(".png")
        print_line(f"largest landmark error: {100 * worst['landmark_error']:.1f} %, {picture}", indent="  ")
    several = sum(each["faces"] > 1 for each in done)
    if several and not every:
        print_line(
            f"with several faces, of which the largest central one was taken: {several} photos", indent="  "
        )
