"""Large photos, decoded in full and at a reduced size: time, and how far landmarks move.

    python -m benchmarks.large --photos FOLDER [--every N]

Every N-th photo is enlarged and saved as a JPEG. It goes through detection, landmarks, consistency, quality
and masks in this process twice: decoded in full, and as the commands do it. The face fills the photo, or
takes a quarter of its height on grey. "Moved" is the landmark that moved most between the two ways, in
percent of the face's size.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

from benchmarks.landmarks import load
from benchmarks.tables import markdown
from manifests.images import reduction
from pipelines.run.bring_up import Call, open_workspace
from pipelines.run.runner import plan
from pipelines.run.stage_plan import with_defaults
from pipelines.workspace.parts import read_part

SIZES = ((4000, 3000), (6000, 4000))
HEADER = [
    *("photos", "face", "in full, CPU ms", "reduced, CPU ms", "times as fast"),
    *("moved, median", "moved, 95 %"),
]


def main() -> None:
    """Prints a Markdown table with a row for each size of photo and face."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--every", type=int, default=50, metavar="N", help="take every N-th photo only")
    options = parser.parse_args()
    images = list(load(options.photos, options.every).values())
    rows = []
    for size in SIZES:
        for part in (1.0, 0.25):
            rows.append(_row(images, size, part))
            print(", ".join(rows[-1]), file=sys.stderr, flush=True)
    print(markdown(HEADER, rows))


def _row(images: list[np.ndarray], size: tuple[int, int], part: float) -> list[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "raw").mkdir()
        for number, image in enumerate(images):
            made = cv2.cvtColor(enlarged(image, size, part), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / "raw" / f"{number:04}.jpg"), made, [cv2.IMWRITE_JPEG_QUALITY, 92])
        _pass(folder / "first", folder / "raw")  # so that what is made at the first use does not count
        with patch.object(reduction, "FACTORS", (1,)):
            slow, truth = _pass(folder / "whole", folder / "raw")
        fast, found = _pass(folder / "reduced", folder / "raw")
    moved = [_moved(*pair) for pair in zip(truth, found, strict=True) if _both(*pair)]
    return [
        f"{size[0]} x {size[1]}",
        "fills it" if part == 1 else "a quarter of its height",
        f"{1000 * slow / len(images):,.0f}",
        f"{1000 * fast / len(images):,.0f}",
        f"{slow / fast:.2f}",
        f"{100 * np.median(moved):.2f} %",
        f"{100 * np.quantile(moved, 0.95):.1f} %",
    ]


def enlarged(image: np.ndarray, size: tuple[int, int], part: float) -> np.ndarray:
    """The image in the middle of a grey photo of ``size``, as high as ``part`` of the photo."""
    width, height = size
    scale = min(part * height / image.shape[0], width / image.shape[1])
    face = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    photo = np.full((height, width, 3), 128, np.uint8)
    top, left = (height - face.shape[0]) // 2, (width - face.shape[1]) // 2
    photo[top : top + face.shape[0], left : left + face.shape[1]] = face
    return photo


def _pass(space: Path, raw: Path) -> tuple[float, list[dict[str, Any]]]:
    """CPU seconds, and the rows of the landmarks stage."""
    workspace = open_workspace(Call(space, [raw], quiet=True, say=lambda line: None))
    jobs = plan(workspace, with_defaults({}, ["consistency", "quality", "masks"]))
    start = time.process_time()
    for job in jobs:
        job.run()
    seconds = time.process_time() - start
    return seconds, [row for job in jobs for row in read_part(job.parts["landmarks"]).to_pylist()]


def _both(truth: dict[str, Any], found: dict[str, Any]) -> bool:
    return truth["landmarks"] is not None and found["landmarks"] is not None


def _moved(truth: dict[str, Any], found: dict[str, Any]) -> float:
    """Distance of the landmark that moved most, over the longer side of the landmarks' box."""
    points, other = (np.reshape(row["landmarks"], (68, 2)) for row in (truth, found))
    return float(np.linalg.norm(points - other, axis=1).max() / np.ptp(points, axis=0).max())


if __name__ == "__main__":
    main()
