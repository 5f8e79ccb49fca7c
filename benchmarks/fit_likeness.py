"""Fits how rare a face is among people, and measures who is taken for a person.

    python -m benchmarks.fit_likeness --people FOLDER ... [--animals FOLDER] [--write]

People are photos of people, in folders whose first two parts name the person (CFP) or the set; only faces
that look into the camera count. A third of the folders at a time is measured with the Gaussian of the other
two. "Dropped" is what the recipe deca-paper does not keep.

``--write`` fits it to all of them and writes the arrays; the bounds are constants of
`deca_data.backends.mediapipe.likeness`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.fit_landmark_map import save
from benchmarks.masks import read
from benchmarks.tables import markdown
from deca_data.backends.mediapipe import likeness
from deca_data.backends.mediapipe.agreement import fit_on_box
from deca_data.backends.mediapipe.detections import Reduced, detect_reduced
from deca_data.backends.mediapipe.face_frame import face_frame
from deca_data.backends.mediapipe.landmark_maps import MESH_MIRROR
from deca_data.backends.mediapipe.models import FaceModels
from deca_data.backends.mediapipe.outputs import RawDetection
from deca_data.boxes import longer_side
from deca_data.sources.walk import IMAGE_ENDINGS, walk
from pipelines.curate.recipe import load_recipe

AXES = 64
PARTS = 3
SURE = 0.7  # score of detections that are used
MIRRORED_POINTS = np.array([1, 0, 2, 3, 5, 4])


class Faces(NamedTuple):
    """Features of faces, and of their mirror images."""

    features: np.ndarray  # (N, F)
    mirrored: np.ndarray  # (N, F)
    names: list[str]


class Gaussian(NamedTuple):
    """A Gaussian by its mean, its first axes and their variances, and the distances' median and spread."""

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    scale: np.ndarray


def main() -> None:
    """Prints a Markdown table; writes the arrays if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=Path, nargs="+", required=True, help="folders of photos of people")
    parser.add_argument("--animals", type=Path, help="folder of photos of animals")
    parser.add_argument("--write", action="store_true", help="fit to all people and write the arrays")
    given = parser.parse_args()
    people = load(given.people)
    if not people.names:
        parser.error("--people: no face that looks into the camera is found; name folders of photos.")
    groups = np.unique(["/".join(name.split("/")[:2]) for name in people.names], return_inverse=True)[1]
    parts = np.random.default_rng(0).permutation(groups.max() + 1)[groups] % PARTS
    animals = load([given.animals]) if given.animals else None
    scores, foreign = np.zeros(len(parts)), []
    for part in range(PARTS):
        own = parts == part
        model = gaussian(people, ~own)
        scores[own] = rarities(model, people.features[own])
        if animals is not None and animals.names:
            foreign.append(rarities(model, animals.features))
    rows = [row("people", scores)]
    if foreign and animals is not None:
        rows.append(row("animals", np.mean(foreign, axis=0)))
    header = ["", "found", "median", "99 %", "99.8 %", "least", "largest", "dropped"]
    print(markdown(header, rows))
    last = np.argsort(-scores)[:5]
    print(f"\nThe rarest people: {', '.join(people.names[place] for place in last)}.")
    if given.write:
        model = gaussian(people, np.ones(len(parts), bool))
        save(
            {
                "person_mean": model.mean.astype(np.float32),
                "person_axes": model.axes.astype(np.float16),
                "person_variances": model.variances.astype(np.float32),
                "person_scale": model.scale.astype(np.float32),
            }
        )


def row(name: str, scores: np.ndarray) -> list[object]:
    """A row of the table."""
    figures = [*np.percentile(scores, [50, 99, 99.8]), scores.min(), scores.max()]
    least = load_recipe("deca-paper").min_landmark_confidence or 0.0
    dropped = np.mean([likeness.likeness(score) < least for score in scores])
    return [name, len(scores), *(f"{each:.2f}" for each in figures), f"{dropped:.2%}"]


def load(folders: list[Path]) -> Faces:
    """The faces of these folders that look into the camera."""
    models = FaceModels()
    features, mirrored, names = [], [], []
    for folder in folders:
        for found in walk(folder, IMAGE_ENDINGS):
            image = read(folder / found.path)
            detected = [
                face for face in detect_reduced(models, Reduced.of(image), "short") if face.score >= SURE
            ]
            face = max(detected, key=lambda one: longer_side(one.box), default=None)
            fitted = None if face is None else fit_on_box(models, image, face.box)
            if face is None or fitted is None:
                continue
            if abs(face_frame(fitted.mesh).yaw) > likeness.LARGEST_YAW:
                continue
            sides = (fitted.mesh, fitted.plain, face), _mirrored(fitted.mesh, fitted.plain, face)
            for kept, (mesh, plain, seen) in zip((features, mirrored), sides, strict=True):
                kept.append(likeness.features(mesh, plain, face_frame(mesh), seen))
            names.append(f"{folder.name}/{found.path}")
    return Faces(np.array(features), np.array(mirrored), names)


def gaussian(faces: Faces, chosen: np.ndarray) -> Gaussian:
    """The Gaussian of the chosen faces and their mirror images."""
    values = np.concatenate([faces.features[chosen], faces.mirrored[chosen]])
    mean = values.mean(0)
    variances, axes = np.linalg.eigh(np.cov((values - mean).T, bias=True))
    variances, axes = variances[: -AXES - 1 : -1], axes[:, : -AXES - 1 : -1].T
    distances = likeness.gaussian_distance(faces.features[chosen] - mean, axes, variances)
    return Gaussian(mean, axes, variances, np.array([np.median(distances), distances.std()]))


def rarities(model: Gaussian, features: np.ndarray) -> np.ndarray:
    """(N,) see `likeness.rarity`."""
    distances = likeness.gaussian_distance(features - model.mean, model.axes, model.variances)
    return (distances - model.scale[0]) / model.scale[1]


def _mirrored(
    mesh: np.ndarray, plain: np.ndarray, face: RawDetection
) -> tuple[np.ndarray, np.ndarray, RawDetection]:
    box = face.box[[2, 1, 0, 3]] * (-1, 1, -1, 1)
    points = face.points[MIRRORED_POINTS] * (-1, 1)
    flipped = (each[MESH_MIRROR] * (-1, 1, 1) for each in (mesh, plain))
    return (*flipped, face._replace(box=box, points=points))  # type: ignore[return-value]


if __name__ == "__main__":
    main()
