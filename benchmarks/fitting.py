"""Heads fitted to photos: time, landmark error, and whether mouth and eyes open as in the photo.

    python -m benchmarks.fitting [--photos FOLDER] [--landmarks FOLDER] [--every N]

`deca fit`'s fitter runs on each photo, with details. PHOTOS is a folder per person, such as CFP; the
reference is then MediaPipe's own detection, to which the head is fitted. LANDMARKS holds photos with
hand-made 68 points (NAME.txt beside NAME.jpg); these are the reference there, and the fit has not seen them.

An error is the mean distance of the head's 68 landmarks in percent of the distance between the outer eye
corners. Openings of mouth and eyes are measured as in training (`deca_model.training.openings`); r is their
correlation over the photos. Time is the CPU time of the fit, without detection, meshes and files.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.tables import markdown
from deca_model.training.openings import openings
from deca_model.use.fitting.fit import Fitter, fitting_model
from manifests.landmarks import interocular
from pipelines.fit_faces import FitPhoto, MeshFinder
from pipelines.photo_faces import FaceFinder, PhotoFile, list_photos

ANOTHER_FACE = 0.25
"""A detection farther from the hand-made points, in inter-ocular distances, is of another face."""
HEADER = [
    *("photos", "number", "reference", "CPU s a face"),
    *("median error", "of landmarks 17-67", "mouth r", "eyes r"),
]


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="photos, a folder per person, such as CFP")
    parser.add_argument("--landmarks", type=Path, help="folders of photos with hand-made 68 points")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th photo only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    fitter = Fitter(fitting_model())
    rows = []
    if options.photos is not None:
        files = list_photos([options.photos])[:: options.every]
        for word in ("frontal", "profile"):
            chosen = [file for file in files if word in str(file.path)]
            rows += [row(word, "detected", *measure(fitter, chosen))] if chosen else []
        if not rows:
            rows.append(row("all", "detected", *measure(fitter, files)))
    if options.landmarks is not None:
        files = [file for file in list_photos([options.landmarks]) if file.path.with_suffix(".txt").is_file()]
        rows.append(row("hand-made points", "by hand", *measure(fitter, files[:: options.every], True)))
    print(markdown(HEADER, rows))


def measure(
    fitter: Fitter, files: Sequence[PhotoFile], by_hand: bool = False
) -> tuple[np.ndarray, np.ndarray, float]:
    """Fitted and reference landmarks, (N, 68, 2) each, in pixels; CPU seconds per face."""
    fitted, reference, seconds = [], [], 0.0
    for face in faces(files):
        truth = np.loadtxt(face.path.with_suffix(".txt")) if by_hand else face.landmarks
        if relative(face.landmarks[None], truth[None])[0].mean() > ANOTHER_FACE:
            continue
        start = time.process_time()
        ((_, found),) = fitter.fit_each([face])
        seconds += time.process_time() - start
        fitted.append(found.landmarks()[0])
        reference.append(truth)
    return np.stack(fitted), np.stack(reference), seconds / len(fitted)


def faces(files: Sequence[PhotoFile]) -> Iterator[FitPhoto]:
    """The faces of photos, with meshes and masks."""
    return MeshFinder().add(FaceFinder().find(files))


def row(name: str, kind: str, fitted: np.ndarray, reference: np.ndarray, seconds: float) -> list[object]:
    """A line of the table."""
    errors = relative(fitted, reference)
    ours, photo = (openings(torch.from_numpy(points)).numpy() for points in (fitted, reference))
    correlations = [np.corrcoef(ours[:, part], photo[:, part])[0, 1] for part in (0, 1)]
    return [
        name,
        len(fitted),
        kind,
        f"{seconds:.2f}",
        f"{100 * np.median(errors.mean(axis=1)):.2f} %",
        f"{100 * np.median(errors[:, 17:].mean(axis=1)):.2f} %",
        *(f"{each:.3f}" for each in correlations),
    ]


def relative(points: np.ndarray, reference: np.ndarray) -> np.ndarray:  # (N, 68)
    """Distances over the reference's inter-ocular distance."""
    eyes = np.maximum(interocular(reference), 1e-6)
    return np.linalg.norm(points - reference, axis=-1) / eyes[:, None]


if __name__ == "__main__":
    main()
