"""Measures detection and landmarks: `python -m benchmarks.landmarks --photos FOLDER`.

Three ways over the same decoded photos, in one process:

- ours: the detect and landmarks backends, made once, with all their second looks at doubtful faces;
- bare: MediaPipe's own face mesh, made once, one call a photo, no second look;
- plain: the same, but a model is made for every photo, as scripts do that call a helper function per file.

Seconds are the process's CPU time, so that other work on the machine counts little. Found are photos with
landmarks; photos without a face are fine, but count as not found.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import mediapipe
import numpy as np
from rich.console import Console
from rich.table import Table

from deca_data.backends import load_backend
from deca_data.sample import Sample
from deca_data.sources.walk import IMAGE_ENDINGS, walk
from deca_data.stages.detect import DetectSettings, DetectStage
from manifests.images.decode import Unreadable, decode_file

Finder = Callable[[np.ndarray], bool]


def main() -> None:
    """Reads the arguments, measures, prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--every", type=int, default=1, help="take only every so many-th photo")
    parser.add_argument("--match", default="", help="take only photos whose path holds this")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    images = load(options.photos, options.match, options.every)
    ways = {"ours": ours(), "bare": bare(), "plain": plain}
    rows = {name: measure(find, images) for name, find in ways.items()}
    print_rows(rows, len(images))


def load(folder: Path, match: str, every: int) -> list[np.ndarray]:
    """The photos, decoded; unreadable ones are left out."""
    images = []
    for found in [found for found in walk(folder, IMAGE_ENDINGS) if match in found.path][::every]:
        try:
            images.append(decode_file(folder / found.path).image)
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
        return sample.ok and landmarker.landmarks([image], [sample.row["box"]])[0] is not None

    return find


def bare() -> Finder:
    """MediaPipe's face mesh as it comes, made once."""
    model = _face_mesh()
    return lambda image: model.process(image).multi_face_landmarks is not None  # pyright: ignore


def plain(image: np.ndarray) -> bool:
    """MediaPipe's face mesh, made for this photo only."""
    with _face_mesh() as model:
        return model.process(image).multi_face_landmarks is not None  # pyright: ignore


def measure(find: Finder, images: Sequence[np.ndarray]) -> tuple[float, int]:
    """CPU seconds and number of photos with a face."""
    find(images[0])  # whatever is made at first use
    start = time.process_time()
    found = sum(find(image) for image in images)
    return time.process_time() - start, found


def print_rows(rows: dict[str, tuple[float, int]], count: int) -> None:
    """The table."""
    table = Table("way", "photos", "found", "ms a photo", "photos/s", "times plain")
    slowest = rows["plain"][0]
    for name, (seconds, found) in rows.items():
        table.add_row(
            *(name, str(count), str(found), f"{1000 * seconds / count:.1f}"),
            *(f"{count / seconds:.1f}", f"{slowest / seconds:.2f}"),
        )
    Console().print(table)


def _face_mesh():
    return mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True)  # pyright: ignore


if __name__ == "__main__":
    main()
