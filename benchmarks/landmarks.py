"""Detection and landmarks in one process: photos found and CPU time.

    python -m benchmarks.landmarks --photos FOLDER [--every N] [--match WORD ...]

Three ways over the same decoded photos:

- ours: the detect and landmarks backends, made once, with their further searches for doubtful faces;
- bare: MediaPipe's face mesh, made once, one call a photo;
- plain: MediaPipe's face mesh, made again for every photo, as a script does that calls a function per file.

Time is the CPU time of the process, so that other work on the machine counts little. "Found" counts the
photos with landmarks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import mediapipe
import numpy as np

from benchmarks.tables import markdown
from deca_data.backends import load_backend
from deca_data.sample import Sample
from deca_data.sources.walk import IMAGE_ENDINGS, walk
from deca_data.stages.detect import DetectSettings, DetectStage
from manifests.images.decode import Unreadable, decode_file

Finder = Callable[[np.ndarray], bool]

HEADER = ["photos", "number", "way", "found", "CPU ms a photo", "times as fast as plain"]


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th photo only")
    parser.add_argument(
        "--match",
        nargs="*",
        default=["frontal", "profile"],
        metavar="WORD",
        help="count the photos with this word in their path separately (default: CFP's frontal and profile)",
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    photos = load(options.photos, options.every)
    ways = {"ours": ours(), "bare FaceMesh": bare(), "plain": plain}
    measured = {way: measure(find, list(photos.values())) for way, find in ways.items()}
    rows = []
    for word in ["", *options.match]:
        chosen = np.array([word in path for path in photos])
        if chosen.any():
            rows += group_rows(word or "all", {way: each[chosen] for way, each in measured.items()})
    print(markdown(HEADER, rows))


def load(folder: Path, every: int) -> dict[str, np.ndarray]:
    """Every N-th photo, decoded, by its path below ``folder``; unreadable ones are left out."""
    images = {}
    for found in list(walk(folder, IMAGE_ENDINGS))[::every]:
        try:
            images[found.path] = decode_file(folder / found.path).image
        except Unreadable:
            continue
    return images


def ours() -> Finder:
    """Detection and landmarks as the pipeline does them."""
    stage = DetectStage(DetectSettings(), load_backend("detector", "mediapipe"))
    landmarker = load_backend("landmarker", "mediapipe")

    def find(image: np.ndarray) -> bool:
        sample = Sample(image, {})
        stage.run([sample], Path())
        return sample.ok and landmarker.landmarks([image], [np.array(sample.row["box"])])[0] is not None

    return find


def bare() -> Finder:
    """MediaPipe's face mesh, made once."""
    model = _face_mesh()
    return lambda image: model.process(image).multi_face_landmarks is not None  # pyright: ignore


def plain(image: np.ndarray) -> bool:
    """MediaPipe's face mesh, made for this photo only."""
    with _face_mesh() as model:
        return model.process(image).multi_face_landmarks is not None  # pyright: ignore


def measure(find: Finder, images: list[np.ndarray]) -> np.ndarray:  # (N, 2)
    """CPU milliseconds of each photo, and 1 where a face is found, else 0."""
    find(images[0])  # so that what is made at the first use does not count
    figures = []
    for image in images:
        start = time.process_time()
        found = find(image)
        figures.append((1000 * (time.process_time() - start), found))
    return np.array(figures)


def group_rows(name: str, measured: dict[str, np.ndarray]) -> list[list[str]]:
    """The rows of one group of photos: one for each way."""
    plain_time = measured["plain"][:, 0].mean()
    rows = []
    for way, figures in measured.items():
        milliseconds, found = figures[:, 0].mean(), int(figures[:, 1].sum())
        times = plain_time / milliseconds
        rows.append([name, str(len(figures)), way, str(found), f"{milliseconds:.1f}", f"{times:.2f}"])
    return rows


def _face_mesh():
    return mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True)  # pyright: ignore


if __name__ == "__main__":
    main()
