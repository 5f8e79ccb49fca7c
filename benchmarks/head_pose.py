"""The head's angles and the openness of the eyes on photos of heads turned by known angles.

    python -m benchmarks.head_pose --angles FOLDER

FOLDER holds photos `pPP_CCC_ANGLE.jpg` of person PP, turned by ANGLE degrees, negative where the nose points
to the image's right (FASSEG V3). The people turned by themselves, towards marks: the nominal angles are off
by several degrees, as one sees at 0 degrees, where the mean error is 6.

Three ways: by the 68 points alone (`deca_data.head_pose`), by the mesh (`mesh_pose.head_angles`), and by the
mesh with the curve fitted to the other people, which says how well the curve does on new ones. At the end are
the constants that a fit to all photos gives, which `mesh_pose` has rounded.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.masks import read
from benchmarks.tables import markdown
from deca_data.backends import load_backend
from deca_data.backends.mediapipe.mesh_pose import head_angles, mesh_angles
from deca_data.boxes import longer_side
from deca_data.face_scores import eye_openness
from deca_data.head_pose import HeadPose, head_pose
from manifests.errors import UsageError

NAME = re.compile(r"p(\d+)_\d+_([+-]?\d+)\.jpg")
POWERS = np.array([1, 3, 5])


class Turned(NamedTuple):
    """One photo of a head at a known angle."""

    person: int
    angle: float  # degrees, positive where the nose points to the image's right
    mesh: np.ndarray
    by_points: HeadPose
    openness: float


def main() -> None:
    """Prints Markdown tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--angles", type=Path, required=True, help="folder of pPP_CCC_ANGLE.jpg")
    try:
        photos = load(parser.parse_args().angles)
    except UsageError as error:
        parser.error(str(error))
    ways = {
        "the 68 points": np.array([photo.by_points for photo in photos]),
        "the mesh": np.array([head_angles(photo.mesh) for photo in photos]),
        "the mesh, curve of the other people": cross_validated(photos),
    }
    nominal = np.array([photo.angle for photo in photos])
    openness = np.array([photo.openness for photo in photos])
    angles = np.unique(np.abs(nominal))
    rows = []
    for way, poses in ways.items():
        for angle in angles:
            here = np.abs(nominal) == angle
            towards = np.where(nominal[here] < 0, -1, 1)
            yaw, error = poses[here, 0] * towards, np.abs(poses[here, 0] - nominal[here])
            rest = (yaw.mean(), error.mean(), poses[here, 1].mean(), (poses[here, 2] * towards).mean())
            rows.append([way, f"{angle:.0f}", *(f"{each:.1f}" for each in rest)])
    print(markdown(["by", "degrees", "yaw, mean", "mean error", "pitch, mean", "roll, mean"], rows))
    eyes = [f"{openness[np.abs(nominal) == angle].mean():.2f}" for angle in angles]
    print("\n" + markdown(["degrees", *(f"{angle:.0f}" for angle in angles)], [["eye openness", *eyes]]))
    tilt = np.mean([mesh_angles(photo.mesh, 0.0).pitch for photo in photos if photo.angle == 0])
    curve = ", ".join(f"{each:.1f}" for each in fitted(photos))
    print(f"\n{len(photos)} photos. Fitted to all of them: tilt {tilt:.1f}, curve {curve}.")


def load(folder: Path) -> list[Turned]:
    """The photos of known angles, and what is found on them.

    Raises:
        UsageError: there are none, or no face is found in one.
    """
    detector, landmarker = load_backend("detector", "mediapipe"), load_backend("landmarker", "mediapipe")
    photos = []
    for path in sorted(folder.iterdir() if folder.is_dir() else []):
        named = NAME.fullmatch(path.name)
        if named is None:
            continue
        image = read(path)
        found = max(detector.detect([image])[0], key=lambda face: longer_side(face.box), default=None)
        result = None if found is None else landmarker.landmarks([image], [found.box])[0]
        by_points = None if result is None else head_pose(result.points)
        if result is None or result.mesh is None or result.pose is None or by_points is None:
            raise UsageError(f"{path}: no face is found; remove this photo.")
        openness = eye_openness(result.points, result.pose.yaw) or 0.0
        photos.append(Turned(int(named[1]), -float(named[2]), result.mesh, by_points, openness))
    if not photos:
        raise UsageError(f"{folder}: there is no file such as p01_140_-90.jpg; name a folder that has them.")
    return photos


def fitted(photos: list[Turned]) -> np.ndarray:
    """(3,) the coefficients of `mesh_pose.CURVE` by least squares over these photos."""
    found = np.array([mesh_angles(photo.mesh).yaw for photo in photos])
    return np.linalg.lstsq((found[:, None] / 60) ** POWERS, [photo.angle for photo in photos], rcond=None)[0]


def cross_validated(photos: list[Turned]) -> np.ndarray:
    """(N, 3) angles of each photo, with the curve fitted to the other people."""
    poses = np.array([mesh_angles(photo.mesh) for photo in photos])
    people = np.array([photo.person for photo in photos])
    for person in np.unique(people):
        curve = fitted([photo for photo in photos if photo.person != person])
        own = people == person
        poses[own, 0] = ((poses[own, :1] / 60) ** POWERS) @ curve
    return poses


if __name__ == "__main__":
    main()
