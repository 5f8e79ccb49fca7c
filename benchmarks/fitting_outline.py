"""Turned heads fitted with and without the outline of the photo's mask.

    python -m benchmarks.fitting_outline --photos FOLDER --angles FOLDER [--persons 15] [--rendered 24]

PHOTOS is a folder per person with profiles, such as CFP: each profile is fitted alone. Counted are the
distance of the shape codes within persons over that between persons, the landmarks 17-67 against the detected
ones, and the correlation of the openings of mouths and eyes.

ANGLES holds heads with hand-made labels, as FASSEG V3. The profile line is the last pixel of the head in each
row between brows and chin; its error is the distance to the labels' one in percent of that height.

Rendered heads have a known shape, and the skin of a photo. Their face, without expression and pose, is
aligned with the fitted one (rotation, shift and scale); the error is the mean distance of the vertices.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.fitting import faces, relative
from benchmarks.masks import read
from benchmarks.tables import markdown
from deca_model.networks.codes import Codes
from deca_model.networks.model import Deca
from deca_model.render.light import FACTORS, ambient_light
from deca_model.training.openings import openings
from deca_model.training.validation import shape_consistency
from deca_model.use.fitting.fit import Fitter, fitting_model
from deca_model.use.fitting.outline_fit import TURNED
from deca_model.use.inference import Reconstruction
from deca_model.use.photo_texture import photo_texture
from manifests.images.crop import cut_square, snap
from pipelines.fit_faces import FitPhoto
from pipelines.photo_faces import PhotoFile, list_photos

BACKGROUND, FACE = 2, (0, 3, 4, 5)
"""The labels of the background, and of skin, nose, mouth and eyes."""
SIZE = 384


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--angles", type=Path)
    parser.add_argument("--persons", type=int, default=15, help="of whom the profiles are fitted")
    parser.add_argument("--rendered", type=int, default=24, help="number of rendered heads")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = fitting_model()
    ways = {"landmarks": Fitter(model, details=False, outline=False), "outline": Fitter(model, details=False)}
    people = sorted(path for path in options.photos.iterdir() if path.is_dir())[: options.persons]
    profiles = list(faces([file for file in list_photos(people) if "profile" in str(file.path)]))
    angles = [] if options.angles is None else _turned(options.angles)
    skins = [file for file in list_photos(people) if "frontal" in str(file.path)] or list_photos(people)
    with tempfile.TemporaryDirectory() as folder:
        heads, shapes = rendered(model, skins, options.rendered, Path(folder))
    header = ["figure", "number", *ways]
    found = {way: fitter_figures(fitter, profiles, angles, heads, shapes) for way, fitter in ways.items()}
    numbers = {name: number for name, (_, number) in found["outline"].items()}
    print(
        markdown(header, [[name, n, *(found[way][name][0] for way in ways)] for name, n in numbers.items()])
    )


def fitter_figures(
    fitter: Fitter,
    profiles: Sequence[FitPhoto],
    angles: Sequence[FitPhoto],
    heads: Sequence[FitPhoto],
    shapes: np.ndarray,  # (N, 100) of the heads
) -> dict[str, tuple[str, int]]:
    """What is printed of one way of fitting: text and number of photos."""
    figures = {}
    if profiles:
        figures |= _on_profiles(fitter, profiles)
    if angles:
        lines = np.array([profile_line(fitter, face) for face in angles])
        lines = lines[np.isfinite(lines)]
        figures["profile line, mean"] = f"{100 * lines.mean():.2f} %", len(lines)
        figures["profile line, median"] = f"{100 * np.median(lines):.2f} %", len(lines)
    errors = [
        vertex_error(fitter.model, _fit(fitter, face).posed.codes.shape, shape)
        for face, shape in zip(heads, shapes, strict=True)
    ]
    figures["vertices of rendered heads"] = f"{np.mean(errors):.2f} mm", len(errors)
    return figures


def _on_profiles(fitter: Fitter, profiles: Sequence[FitPhoto]) -> dict[str, tuple[str, int]]:
    start = time.process_time()
    found = [_fit(fitter, face) for face in profiles]
    seconds = (time.process_time() - start) / len(found)
    people = np.array([face.path.parent.parent.name for face in profiles])
    codes = np.concatenate([each.posed.codes.shape.numpy() for each in found])
    fitted = np.concatenate([each.landmarks() for each in found])
    photo = np.stack([face.landmarks for face in profiles])
    ours, theirs = (openings(torch.from_numpy(points)).numpy() for points in (fitted, photo))
    r = [np.corrcoef(ours[:, part], theirs[:, part])[0, 1] for part in (0, 1)]
    consistency = shape_consistency(codes, people).get("shape_consistency", np.nan)
    inner = np.median(relative(fitted, photo)[:, 17:].mean(axis=1))
    figures = {
        "CFP's profiles: shapes within over between": f"{consistency:.3f}",
        "landmarks 17-67": f"{100 * inner:.2f} %",
        "mouth r": f"{r[0]:.3f}",
        "eyes r": f"{r[1]:.3f}",
        "CPU s a face": f"{seconds:.2f}",
    }
    return {name: (text, len(found)) for name, text in figures.items()}


def _fit(fitter: Fitter, face: FitPhoto) -> Reconstruction:
    ((_, found),) = fitter.fit_each([face])
    return found


def _turned(folder: Path) -> list[FitPhoto]:
    """The labelled photos whose names say that the head is turned by 30 degrees or more."""
    files = [file for file in list_photos([folder]) if not file.path.stem.endswith("_labels")]
    angle = {file: int(re.findall(r"[+-]?\d+$", file.path.stem)[0]) for file in files}
    return list(faces([file for file in files if abs(angle[file]) >= max(30, TURNED)]))


def profile_line(fitter: Fitter, face: FitPhoto) -> float:
    """Mean distance between the profile lines of the head and the labels; NaN where the labels show none."""
    found = _fit(fitter, face)
    square = found.squares[0]
    labels = read(face.path.with_name(f"{face.path.stem}_labels.png"))[..., 0]
    _, cut = snap(square)
    side = fitter.size
    labels = cut_square(labels, cut, side, interpolation=cv2.INTER_NEAREST)
    inside = cut_square(np.ones(face.image.shape[:2], np.uint8), cut, side) > 0
    shown = np.isin(labels, FACE) & inside
    drawn = fitter.model.renderer.rasterize(found.posed.vertices, fitter.model.head.faces, side).face_index[0]
    head = drawn.numpy() >= 0
    if found.posed.codes.pose[0, 1] < 0:
        shown, labels, head, inside = (each[:, ::-1] for each in (shown, labels, head, inside))
    points = (found.posed.landmarks[0].numpy() + 1) * side / 2 - 0.5
    top, bottom = int(points[17:27, 1].mean()), int(points[8, 1])
    apart = []
    for row in range(max(top, 0), min(bottom, side)):
        ours, theirs = np.flatnonzero(head[row]), np.flatnonzero(shown[row])
        if len(ours) and len(theirs) and theirs[-1] + 2 < side:
            beside = slice(theirs[-1] + 1, theirs[-1] + 3)
            if (labels[row, beside] == BACKGROUND).any() and inside[row, beside].all():
                apart.append(abs(ours[-1] - theirs[-1]))
    return float(np.mean(apart)) / (bottom - top) if len(apart) > 10 else np.nan


@torch.no_grad()
def rendered(
    model: Deca, skins: Sequence[PhotoFile], count: int, folder: Path
) -> tuple[list[FitPhoto], np.ndarray]:
    """Random heads, turned by 30 to 60 degrees, with the skin of photos; those that are found, and shapes."""
    rng = np.random.default_rng(11)
    fitter = Fitter(model, details=False)
    chosen = [skins[n] for n in np.linspace(0, len(skins) - 1, count).round().astype(int)]
    files, shapes = [], {}
    for number, face in enumerate(faces(chosen)):
        texture = photo_texture(model, _fit(fitter, face))
        shape = torch.from_numpy(rng.normal(0, 1, (1, 100))).float()
        turn = rng.choice([-1, 1]) * rng.uniform(0.5, 1.05)
        pose = torch.tensor([[rng.normal(0, 0.05), turn, 0, max(0, rng.normal(0, 0.1)), 0, 0]]).float()
        light = ambient_light(1, 0.9)
        light[0, 1:3] += torch.from_numpy(rng.normal(0, 0.1, (2, 1))).float() / FACTORS[1]
        camera = torch.tensor([[6.5, 0.0, 0.01]])
        posed = model.pose(Codes(shape, torch.zeros(1, 50), torch.zeros(1, 50), pose, camera, light))
        drawn = model.renderer(posed.head.vertices, posed.vertices, texture, light, SIZE)
        picture = (drawn.image * drawn.mask + rng.uniform(0.1, 0.9) * (1 - drawn.mask)).clamp(0, 1)
        path = folder / f"{number:03d}.png"
        cv2.imwrite(str(path), (picture[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)[..., ::-1])
        files.append(PhotoFile(path.stem, path))
        shapes[path.stem] = shape[0].numpy()
    found = list(faces(files))
    return found, np.stack([shapes[face.name] for face in found])


@torch.no_grad()
def vertex_error(model: Deca, fitted: torch.Tensor, true: np.ndarray) -> float:
    """Millimetres between two shape codes' faces (1, 100) and (100,), after a similarity alignment."""
    region = torch.unique(model.head.faces[model.head.face_region])
    one, two = (
        model.head.neutral(code, torch.zeros(1, 1))[0, region].double().numpy()
        for code in (fitted, torch.from_numpy(true)[None])
    )
    one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    u, values, vt = np.linalg.svd(two.T @ one)
    signs = np.array([1, 1, np.linalg.det(u @ vt)])
    scale = (values * signs).sum() / (one**2).sum()
    return 1000 * float(np.linalg.norm(scale * one @ (u * signs @ vt).T - two, axis=1).mean())


if __name__ == "__main__":
    main()
