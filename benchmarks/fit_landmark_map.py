"""Fits the map from MediaPipe's mesh to the 68 landmarks of hand-annotated photos, and measures it.

    python -m benchmarks.fit_landmark_map --landmarks FOLDER [--write]

FOLDER has a folder for each set, with pairs of `NAME.jpg` and `NAME.txt` (68 lines "x y", pixels, centres at
integers). The face in a photo is the one on the annotated points.

The correction of each landmark is linear in the mesh's shape and the yaw, in the head's frame, with a ridge
penalty; each photo also counts mirrored, so that the map is symmetric (`deca_data.backends.mediapipe.
landmarks` describes it). As photos see a correction only as its projection, all photos are solved together:
a ridge regression with the kernel K(i, j) = (f_i . f_j + offset) P_i P_j', f being the features and P the
(2, 3) projections.

Errors are in percent of the distance between the outer eye corners, as means over photos: before the map,
with the map fitted to nine tenths of the photos and measured on the last tenth, in turn, and with the map
fitted to all sets but one and measured on that one. ``--write`` fits it to all photos and writes the arrays.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.masks import read
from benchmarks.tables import markdown
from deca_data.backends import load_backend
from deca_data.backends.mediapipe import face_frame, landmarks
from deca_data.backends.mediapipe.landmark_maps import MESH_MIRROR, mesh_to_ibug
from deca_data.stages.detect import choose_given
from manifests.errors import UsageError
from manifests.files import atomic_path
from manifests.landmarks import MIRROR, interocular

RIDGE = 1.0
OFFSET = 30.0**2  # prior variance of the constant offset over that of a feature's weight
RANK = 40  # number of directions of the mesh's shape that are kept
FOLDS = 10
ARRAYS = Path(face_frame.__file__).with_name(face_frame.FILE)


class Photo(NamedTuple):
    """One annotated face."""

    group: str
    mesh: np.ndarray  # (478, 3)
    truth: np.ndarray  # (68, 2)


class Sides(NamedTuple):
    """Photos, each also mirrored, in the head's frame."""

    features: np.ndarray  # (N, F)
    projections: np.ndarray  # (N, 2, 3)
    targets: np.ndarray  # (N, 2, 68), in units of the mean mesh


def main() -> None:
    """Prints a Markdown table; writes the arrays if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--landmarks", type=Path, required=True, help="folders of photos and points")
    parser.add_argument("--write", action="store_true", help="fit to all photos and write the arrays")
    given = parser.parse_args()
    try:
        photos = load(given.landmarks)
    except UsageError as error:
        parser.error(str(error))
    groups = sorted({photo.group for photo in photos})
    folds = np.random.default_rng(0).permutation(len(photos)) % FOLDS
    sets = np.array([groups.index(photo.group) for photo in photos])
    results = {"single points of the mesh": np.array([error_of(mesh_to_ibug(p.mesh), p) for p in photos])}
    results["with the map, other photos"] = cross_validated(photos, folds)
    if len(groups) > 1:
        results["with the map, another set"] = cross_validated(photos, sets)
    if given.write:
        write(photos)
    rows = []
    for way, errors in results.items():
        for group in (None, *groups):
            chosen = errors[[group in (None, photo.group) for photo in photos]]
            inner, whole = chosen[:, 17:].mean(), chosen.mean()
            rows.append([way, group or "all", len(chosen), f"{inner:.2f} %", f"{whole:.2f} %"])
    print(markdown(["way", "set", "photos", "inner 51", "all 68"], rows))


def load(folder: Path) -> list[Photo]:
    """The annotated photos and their meshes.

    Raises:
        UsageError: there are none, a file cannot be read, or no mesh is found.
    """
    detector, landmarker = load_backend("detector", "mediapipe"), load_backend("landmarker", "mediapipe")
    photos = []
    for path in sorted(folder.glob("*/*.txt")):
        truth = np.loadtxt(path)
        if truth.shape != (68, 2):
            raise UsageError(f"{path}: expected 68 lines of two numbers, found the shape {truth.shape}.")
        image = read(path.with_suffix(".jpg"))
        chosen = choose_given(detector.detect([image])[0], [*truth.min(0), *truth.max(0)])
        mesh = landmarker.mesh(image, chosen.box)
        if mesh is None:
            raise UsageError(f"{path}: no face is found in its photo; remove both files.")
        photos.append(Photo(path.parent.name, mesh, truth))
    if not photos:
        raise UsageError(f"{folder}: there is no */NAME.txt; name a folder of folders of photos and points.")
    return photos


def mean_mesh(photos: list[Photo]) -> np.ndarray:
    """(478, 3): the symmetric mean of the meshes, each freed from place, size and rotation.

    Its pitch is the mean of the photos'.
    """
    mean = photos[0].mesh.astype(np.float64)
    for _ in range(10):
        frames = [face_frame.face_frame(photo.mesh, mean) for photo in photos]
        _, y, z = np.mean([frame.rotation[:, 2] for frame in frames], axis=0)
        tilt = np.array([[1, 0, 0], [0, z, y], [0, -y, z]]) / (1, np.hypot(y, z), np.hypot(y, z))
        mean = (mean + np.mean([frame.shape for frame in frames], axis=0)) @ tilt.T
        mean = (mean + mean[MESH_MIRROR] * (-1, 1, 1)) / 2
        mean = (mean - mean.mean(0)) / np.linalg.norm(mean[263] - mean[33])
    return mean


def sides(photos: list[Photo], mean: np.ndarray) -> Sides:
    """What the fit needs of the photos: each photo, then all mirrored."""
    rows = []
    for sign, mesh_order, order in ((1, slice(None), slice(None)), (-1, MESH_MIRROR, MIRROR)):
        for photo in photos:
            mesh = photo.mesh.astype(np.float64)[mesh_order] * (sign, 1, 1)
            frame = face_frame.face_frame(mesh, mean)
            target = (photo.truth[order] * (sign, 1) - mesh_to_ibug(mesh)) / frame.scale
            rows.append((landmarks.features(frame), frame.rotation[:2], target.T))
    return Sides(*(np.array(column) for column in zip(*rows, strict=True)))


def solve(known: Sides) -> tuple[np.ndarray, np.ndarray]:
    """The weights (F, 68, 3) and the offsets (68, 3)."""
    count = 2 * len(known.features)
    kernel = known.features @ known.features.T + OFFSET
    projected = np.einsum("iab,jcb->iajc", known.projections, known.projections)
    whole = (projected * kernel[:, None, :, None]).reshape(count, count)
    solved = np.linalg.solve(whole + RIDGE * np.eye(count), known.targets.reshape(count, 68))
    spread = np.einsum("iab,iap->ipb", known.projections, solved.reshape(-1, 2, 68))
    return np.einsum("if,ipb->fpb", known.features, spread), OFFSET * spread.sum(0)


def cross_validated(photos: list[Photo], folds: np.ndarray) -> np.ndarray:
    """(N, 68) errors of each photo with the map fitted to the photos of the other folds."""
    errors = np.zeros((len(photos), 68))
    for fold in np.unique(folds):
        others = [photo for photo, own in zip(photos, folds, strict=True) if own != fold]
        mean = mean_mesh(others)
        weights, offset = solve(sides(others, mean))
        for place in np.flatnonzero(folds == fold):
            mesh = photos[place].mesh
            frame = face_frame.face_frame(mesh, mean)
            part = np.tensordot(landmarks.features(frame), weights, 1) * landmarks.share(frame)
            points = mesh_to_ibug(mesh) + frame.scale * (offset + part) @ frame.rotation[:2].T
            errors[place] = error_of(points, photos[place])
    return errors


def error_of(points: np.ndarray, photo: Photo) -> np.ndarray:
    """(68,) distances in percent of the distance between the outer eye corners."""
    return 100 * np.linalg.norm(points - photo.truth, axis=1) / interocular(photo.truth)


def write(photos: list[Photo]) -> None:
    """Fits to all photos, reduces the weights to `RANK` directions, and writes the arrays."""
    mean = mean_mesh(photos).astype(np.float32).astype(np.float64)
    weights, offset = solve(sides(photos, mean))
    u, sizes, vt = np.linalg.svd(weights.reshape(len(weights), -1), full_matrices=False)
    root = np.sqrt(sizes[:RANK])
    fitted = {
        "mean_mesh": mean.astype(np.float32),
        "offset": offset.astype(np.float32),
        "basis": (u[:, :RANK] * root).astype(np.float16),
        "weights": (root[:, None] * vt[:RANK]).astype(np.float32),
    }
    save(fitted)


def save(fitted: dict[str, np.ndarray]) -> None:
    """Writes these arrays into the package's file; other arrays in it stay."""
    kept = {}
    if ARRAYS.is_file():
        with np.load(ARRAYS, allow_pickle=False) as old:
            kept = {name: old[name] for name in old}
    with atomic_path(ARRAYS) as temporary:
        np.savez_compressed(temporary, **{**kept, **fitted})


if __name__ == "__main__":
    main()
