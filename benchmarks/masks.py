"""The mask backends against hand-made labels: intersection over union, hair taken for face, and CPU time.

    python -m benchmarks.masks --labels FOLDER [FOLDER ...] [--weights FOLDER]

Each FOLDER gives a table and holds pairs `N.jpg` and `N_labels.png`. A label image has one channel: 0 skin
(also ears and neck), 1 hair and brows, 2 background, 3 nose, 4 mouth, 5 eyes, as in FASSEG's sets. Where the
names end with an angle (`p01_140_-90.jpg`, as in FASSEG V3), a second table has a column for each angle, left
and right together.

The face is 0, 3, 4 and 5, and 1 inside the brow polygons of the landmarks. The intersection over union is
counted in the box of the 68 landmarks, extended upwards by half its height. The labels call ears and neck
skin, our masks do not: the second figure leaves out the skin of the labels beside and below the silhouette of
the mesh, and so does the count of photos below 0.85. Hair counted as face is the mask's part that the labels
call hair, outside the brow polygons, in percent of the face; brows wider than the polygons are in it. Time is
the CPU time of the process for a mask, given box and mesh, the best of three runs. The mean IoU of each photo
goes to standard error.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.tables import markdown
from deca_data.backends import BACKENDS, load_backend
from deca_data.backends.mediapipe.landmark_maps import mesh_to_ibug
from deca_data.backends.mesh.outline import OVAL
from manifests.errors import UsageError
from manifests.images.decode import Unreadable, decode_file

SKIN, HAIR, NOSE, MOUTH, EYES = 0, 1, 3, 4, 5
LOW = 0.85  # an IoU below this is a fault that one sees
RIGHT_TEMPLE, LEFT_TEMPLE = 127, 356


class Result(NamedTuple):
    """What one way of making masks gives: a figure for each photo, (N,), and the mean time.

    Attributes:
        whole: IoU in the box.
        proper: the same without ears and neck.
        hair: hair counted as face, as a share of the face.
        spent: CPU milliseconds a mask.
    """

    whole: np.ndarray
    proper: np.ndarray
    hair: np.ndarray
    spent: float


class Case(NamedTuple):
    """One labelled photo."""

    name: str
    image: np.ndarray  # (H, W, 3) uint8 RGB
    box: np.ndarray  # (4,)
    mesh: np.ndarray  # (478, 3)
    landmarks: np.ndarray  # (68, 2)
    face: np.ndarray  # (H, W) bool, by the labels
    counted: np.ndarray  # (H, W) bool, the box in which pixels are counted
    proper: np.ndarray  # (H, W) bool, the box without ears and neck of the labels
    hair: np.ndarray  # (H, W) bool, hair by the labels, without the brows


def load_cases(folder: Path) -> list[Case]:
    """Reads the labelled photos and finds the box and the mesh of each.

    Raises:
        UsageError: there are no pairs, a file cannot be read, or no face is found in a photo.
    """
    paths = sorted(folder.glob("*_labels.png"), key=lambda path: (len(path.name), path.name))
    if not paths:
        raise UsageError(
            f"--labels {folder}: there is no file named *_labels.png; name a folder that has them."
        )
    detector = load_backend("detector", "mediapipe")
    landmarker = load_backend("landmarker", "mediapipe")
    cases = []
    for path in paths:
        photo = path.with_name(path.name.replace("_labels.png", ".jpg"))
        image = read(photo)
        found = detector.detect([image])[0]
        box = max(found, key=lambda one: one.box[2] - one.box[0]).box if found else None
        mesh = landmarker.mesh(image, box) if box is not None else None
        if box is None or mesh is None:
            raise UsageError(f"{photo}: no face is found; remove this photo and its labels.")
        cases.append(_case(photo.stem, image, box, mesh, read(path)[..., 0]))
    return cases


def read(path: Path) -> np.ndarray:
    """An image file, (H, W, 3) uint8 RGB.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return decode_file(path).image
    except Unreadable as error:
        raise UsageError(f"{path}: this cannot be read as an image ({error}); replace it.") from error


def iou(mask: np.ndarray, face: np.ndarray, counted: np.ndarray) -> float:
    """Intersection over union of two (H, W) masks inside a third."""
    either = ((mask > 0) | face) & counted
    return float(((mask > 0) & face & counted).sum() / max(int(either.sum()), 1))


def plain_outline(case: Case) -> np.ndarray:
    """The oval of the mesh: a better mask has a larger IoU than this."""
    return _filled(case.mesh[list(OVAL), :2], case.face.shape)


def measure(make: Callable[[Case], np.ndarray], cases: list[Case]) -> Result:
    """Makes all masks and compares them with the labels."""
    masks = [make(case) for case in cases]
    pairs = list(zip(masks, cases, strict=True))
    whole = np.array([iou(mask, case.face, case.counted) for mask, case in pairs])
    proper = np.array([iou(mask, case.face, case.proper) for mask, case in pairs])
    hair = np.array(
        [((mask > 0) & case.hair).sum() / max((case.face & case.proper).sum(), 1) for mask, case in pairs]
    )
    spent = []
    for case in cases:
        runs = []
        for _ in range(3):
            start = time.process_time()
            make(case)
            runs.append(time.process_time() - start)
        spent.append(min(runs))
    return Result(whole, proper, hair, 1000 * float(np.mean(spent)))


def main() -> None:
    """Prints a Markdown table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument(
        "--labels", type=Path, nargs="+", required=True, help="folders of N.jpg and N_labels.png"
    )
    arguments.add_argument(
        "--weights", type=Path, help="folder of the weight files of facexlib, for its networks"
    )
    given = arguments.parse_args()
    cv2.setNumThreads(1)
    try:
        sets = [load_cases(folder) for folder in given.labels]
    except UsageError as error:
        arguments.error(str(error))
    parsers = {}
    for name in BACKENDS["parser"]:
        try:
            parsers[name] = load_backend("parser", name, weights=None if name == "mesh" else given.weights)
        except UsageError as error:
            print(f"{name}: left out; {error}", file=sys.stderr)
    for number, cases in enumerate(sets):
        results = {"plain mesh outline": measure(plain_outline, cases)}
        results |= {f"`{name}` parser": measure(_with(parser), cases) for name, parser in parsers.items()}
        print("\n" * (number > 0), end="")
        _print(results, [case.name for case in cases])


def _with(parser: object) -> Callable[[Case], np.ndarray]:
    def make(case: Case) -> np.ndarray:
        known = {"meshes": [case.mesh]} if getattr(parser, "wants_mesh", False) else {}
        return parser.parse([case.image], [case.box], [case.landmarks], **known)[0]  # type: ignore[attr-defined]

    return make


def _case(name: str, image: np.ndarray, box: np.ndarray, mesh: np.ndarray, labels: np.ndarray) -> Case:
    points = mesh_to_ibug(mesh)
    shape = labels.shape
    brows = np.zeros(shape, bool)
    for part in (points[17:22], points[22:27]):
        brows |= _filled(cv2.convexHull(part.astype(np.float32))[:, 0], shape) > 0
    face = np.isin(labels, (SKIN, NOSE, MOUTH, EYES)) | (brows & (labels == HAIR))
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    y0 -= (y1 - y0) / 2
    counted = np.zeros(shape, bool)
    counted[max(0, round(y0)) : round(y1) + 1, max(0, round(x0)) : round(x1) + 1] = True
    silhouette = cv2.dilate(_filled(mesh[list(OVAL), :2], shape), np.ones((5, 5), np.uint8)) > 0
    low = np.arange(shape[0])[:, None] > mesh[[RIGHT_TEMPLE, LEFT_TEMPLE], 1].max()
    proper = counted & ~((labels == SKIN) & ~silhouette & low)
    return Case(name, image, box, mesh, points, face, counted, proper, (labels == HAIR) & ~face)


def _filled(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], (1,))
    return mask


def _print(results: dict[str, Result], names: list[str]) -> None:
    for row, name in enumerate(names):
        each = ", ".join(f"{way} {found.whole[row]:.3f}" for way, found in results.items())
        print(f"{name}: {each}", file=sys.stderr)
    found = results.values()
    rows = [
        ["mean IoU", *(f"{one.whole.mean():.4f}" for one in found)],
        ["mean IoU without ears and neck", *(f"{one.proper.mean():.4f}" for one in found)],
        [f"photos below {LOW}", *(str((one.proper < LOW).sum()) for one in found)],
        ["hair counted as face, % of the face", *(f"{100 * one.hair.mean():.1f}" for one in found)],
        ["CPU ms a mask, mesh given", *(f"{one.spent:.1f}" for one in found)],
    ]
    print(markdown([f"{len(names)} photos", *results], rows))
    angles = [re.search(r"_([+-]?\d+)$", name) for name in names]
    if "`mesh` parser" in results and all(angles):
        turns = np.array([abs(int(angle[1])) for angle in angles if angle])
        print("\n" + _by_angle(results["`mesh` parser"], turns))


def _by_angle(result: Result, turns: np.ndarray) -> str:
    columns = [turns == turn for turn in sorted(set(turns.tolist()))]
    rows = [
        ["photos", *(str(chosen.sum()) for chosen in columns)],
        ["mean IoU without ears and neck", *(f"{result.proper[chosen].mean():.3f}" for chosen in columns)],
        [f"photos below {LOW}", *(str((result.proper[chosen] < LOW).sum()) for chosen in columns)],
        ["hair counted as face, %", *(f"{100 * result.hair[chosen].mean():.1f}" for chosen in columns)],
    ]
    return markdown(["`mesh` parser, degrees", *map(str, sorted(set(turns.tolist())))], rows)


if __name__ == "__main__":
    main()
