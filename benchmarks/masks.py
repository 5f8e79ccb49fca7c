"""The mask backends against hand-made labels: intersection over union, and CPU time.

    python -m benchmarks.masks --labels FOLDER [--weights FOLDER]

FOLDER holds pairs `N.jpg` and `N_labels.png`. A label image has one channel: 0 skin (also ears and neck),
1 hair and brows, 2 background, 3 nose, 4 mouth, 5 eyes, as in FASSEG's frontal02.

The face is 0, 3, 4 and 5, and 1 inside the brow polygons of the landmarks. The intersection over union is
counted in the box of the 68 landmarks, extended upwards by half its height. The labels call ears and neck
skin, our masks do not: the second figure leaves out the skin of the labels beside and below the silhouette of
the mesh. Time is the CPU time of the process for a mask, given box and mesh, the best of three runs. The mean
IoU of each photo goes to standard error.
"""

from __future__ import annotations

import argparse
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
from manifests.errors import UsageError
from manifests.images.decode import Unreadable, decode_file

SKIN, HAIR, NOSE, MOUTH, EYES = 0, 1, 3, 4, 5
RIGHT_TEMPLE, LEFT_TEMPLE = 127, 356
# The points of MediaPipe's face oval.
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
    *(148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)


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


def measure(make: Callable[[Case], np.ndarray], cases: list[Case]) -> tuple[np.ndarray, np.ndarray, float]:
    """IoU of each photo, the same without ears and neck, and CPU milliseconds a mask."""
    masks = [make(case) for case in cases]
    whole = np.array([iou(mask, case.face, case.counted) for mask, case in zip(masks, cases, strict=True)])
    proper = np.array([iou(mask, case.face, case.proper) for mask, case in zip(masks, cases, strict=True)])
    spent = []
    for case in cases:
        runs = []
        for _ in range(3):
            start = time.process_time()
            make(case)
            runs.append(time.process_time() - start)
        spent.append(min(runs))
    return whole, proper, 1000 * float(np.mean(spent))


def main() -> None:
    """Prints a Markdown table."""
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--labels", type=Path, required=True, help="folder of N.jpg and N_labels.png")
    arguments.add_argument(
        "--weights", type=Path, help="folder of the weight files of facexlib, for its networks"
    )
    given = arguments.parse_args()
    cv2.setNumThreads(1)
    try:
        cases = load_cases(given.labels)
    except UsageError as error:
        arguments.error(str(error))
    results = {"plain mesh outline": measure(plain_outline, cases)}
    for name in BACKENDS["parser"]:
        try:
            parser = load_backend("parser", name, weights=None if name == "mesh" else given.weights)
        except UsageError as error:
            print(f"{name}: left out; {error}", file=sys.stderr)
            continue
        results[f"`{name}` parser"] = measure(_with(parser), cases)
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
    return Case(
        name, image, box, mesh, points, face, counted, counted & ~((labels == SKIN) & ~silhouette & low)
    )


def _filled(points: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(points).astype(np.int32)], (1,))
    return mask


def _print(results: dict[str, tuple[np.ndarray, np.ndarray, float]], names: list[str]) -> None:
    for row, name in enumerate(names):
        each = ", ".join(f"{way} {whole[row]:.3f}" for way, (whole, _, _) in results.items())
        print(f"{name}: {each}", file=sys.stderr)
    rows = [
        ["mean IoU", *(f"{whole.mean():.4f}" for whole, _, _ in results.values())],
        ["mean IoU without ears and neck", *(f"{proper.mean():.4f}" for _, proper, _ in results.values())],
        ["CPU ms a mask, mesh given", *(f"{spent:.1f}" for _, _, spent in results.values())],
    ]
    print(markdown([f"{len(names)} photos", *results], rows))


if __name__ == "__main__":
    main()
