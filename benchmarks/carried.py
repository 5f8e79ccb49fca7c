"""Expression transfer: do mouth and eyes of the result open as in the driving photo?

    python -m benchmarks.carried --drivers FOLDER [--person PHOTO] [--model RUN] [--every N]

One person (by default a portrait of the demo) gets the expressions of many photos, as by `deca transfer`;
without a model on heads fitted as by `deca fit`. Openings of mouth and eyes are measured as in training
(`deca_model.training.openings`); r is their correlation with the driving photo's over the photos: of the
moved head's own landmarks, and of those that MediaPipe finds in its picture with texture. Both are seen from
the front.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.tables import markdown
from commands.fitted import fitted, open_fitter
from deca_model.networks.model import Deca
from deca_model.networks.pictures import as_uint8
from deca_model.training.openings import openings
from deca_model.use.head_views import framing, textured_pictures
from deca_model.use.inference import Reconstruction
from deca_model.use.open_model import open_model
from deca_model.use.photo_batches import reconstruct_face_list
from deca_model.use.photo_texture import photo_texture
from deca_model.use.transfer import transfer_expression
from pipelines.demo.portraits import save_portraits
from pipelines.photo_faces import FaceFinder, FacePhoto, NoFace, list_photos

SIDE = 512
"""Side of a picture in pixels."""
HEADER = ["heads", "measured on", "drivers", "mouth r", "eyes r"]


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drivers", type=Path, required=True, help="folder of photos")
    parser.add_argument("--person", type=Path, help="photo of the person")
    parser.add_argument("--model", type=Path, help="run or checkpoint; without it heads are fitted")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th driver only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    finder = FaceFinder("mediapipe", None, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        save_portraits(place)
        person = finder.one(options.person or place / "astronaut.png")
        drivers = list_photos([options.drivers])[:: options.every]
        found = measure(person, finder, drivers, options.model, place / "seen.png")
    name = "of a model" if options.model else "fitted"
    rows = [row(name, where, found[0], ours) for where, ours in zip(PLACES, found[1:], strict=True)]
    print(markdown(HEADER, rows))


PLACES = ("the head's landmarks", "its picture")


def measure(
    person: FacePhoto, finder: FaceFinder, drivers: Sequence, model: Path | None, place: Path
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Openings (N, 2) of the drivers' photos, of the moved heads, and of those in the heads' pictures.

    No landmarks in a picture are NaN. ``place`` is the file of a picture.
    """
    network, heads = _heads(model)
    first = heads(person)
    texture = photo_texture(network, first)
    seen = []
    for face in finder.find(drivers):
        moved = frontal(network, first, heads(face))
        picture = textured_pictures(network, moved.posed, texture, SIDE)
        cv2.imwrite(str(place), as_uint8(picture)[0][..., ::-1])
        try:
            points = finder.one(place).landmarks
        except NoFace:
            points = np.full((68, 2), np.nan)
        seen.append([face.landmarks, moved.posed.landmarks[0].numpy(), points])
    photos, moved, pictures = (openings(torch.from_numpy(np.stack(part))) for part in zip(*seen, strict=True))
    return photos.numpy(), moved.numpy(), pictures.numpy()


@torch.no_grad()
def frontal(model: Deca, person: Reconstruction, driver: Reconstruction) -> Reconstruction:
    """The person with the driver's expression, seen from the front, the whole head in the picture."""
    codes = person.posed.codes
    pose = torch.cat([torch.zeros_like(codes.pose[:, :3]), codes.pose[:, 3:]], dim=1)
    codes = codes._replace(pose=pose)
    codes = codes._replace(camera=framing(model, codes))
    return transfer_expression(model, replace(person, posed=model.pose(codes)), driver)


def _heads(path: Path | None) -> tuple[Deca, Callable[[FacePhoto], Reconstruction]]:
    """The model, and the function that makes a head of a face."""
    if path is None:
        fitter = open_fitter(False, True)
        return fitter.model, lambda face: next(fitted(fitter, [face]))
    model, size = open_model(path, "cpu")
    return model, lambda face: reconstruct_face_list(model, size, [face])


def row(name: str, where: str, photo: np.ndarray, ours: np.ndarray) -> list[object]:
    """A line of the table."""
    found = np.isfinite(ours).all(axis=1)
    correlations = [np.corrcoef(photo[found, part], ours[found, part])[0, 1] for part in (0, 1)]
    return [name, where, int(found.sum()), *(f"{each:.3f}" for each in correlations)]


if __name__ == "__main__":
    main()
