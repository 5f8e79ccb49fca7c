"""Loader speed on one core: the official loader's work for a face, raw images, a pack, and the limit.

    python -m benchmarks.loader --manifest train.parquet [--pack packed/train.json] [--faces 300]

All ways read the same faces in the same order, in one process with one thread and a warm file cache. Time is
the CPU time of the process, the best of three rounds. "Official work" does what the official loader does for
a face: it reads the image as float64 in [0, 1], applies the crop rule, and warps image and mask with
scikit-image. "Bare JPEG decoding" only decodes the files at full size; a loader that decodes them at full
size cannot be faster.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.tables import markdown
from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset
from deca_model.data.manifest_faces import FaceTable
from deca_model.data.sampler import Draws
from manifests.images.crop import face_square

SIZE = 224
OFFICIAL = "official work"


def official(table: FaceTable, row: int, scale: float) -> None:
    """Loads one face as the official loader does."""
    from skimage.io import imread
    from skimage.transform import estimate_transform, warp

    image = imread(table.image_path(row)) / 255.0
    if image.ndim == 2:
        image = np.stack([image] * 3, axis=2)
    path = table.mask_path(row)
    mask = np.ones(image.shape[:2]) if path is None else imread(path) / 255.0
    square = face_square(table.landmarks[row], scale)
    half = square.side / 2
    source = square.center + np.array([[-half, -half], [-half, half], [half, -half]])
    target = np.array([[0, 0], [0, SIZE - 1], [SIZE - 1, 0]])
    transform = estimate_transform("similarity", source, target)
    warp(image, transform.inverse, output_shape=(SIZE, SIZE)).transpose(2, 0, 1).astype(np.float32)
    warp(mask, transform.inverse, output_shape=(SIZE, SIZE)).astype(np.float32)


def ours(dataset: FaceDataset, rows: np.ndarray, scales: np.ndarray) -> None:
    """Loads faces in batches of 32."""
    for start in range(0, len(rows), 32):
        part = slice(start, start + 32)
        shifts = np.zeros((len(rows[part]), 2))
        dataset.load(Draws(0, start, rows[part], scales[part], shifts))


def milliseconds(work: Callable[[], object], faces: int) -> float:
    """CPU time per face, the best of three rounds."""
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, (time.process_time() - start) / faces * 1000)
    return best


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--pack", type=Path, help="a pack of the same faces")
    parser.add_argument("--faces", type=int, default=300)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    table = open_table([arguments.manifest])
    assert isinstance(table, FaceTable)
    random = np.random.default_rng(0)
    rows = random.choice(len(table), min(arguments.faces, len(table)), replace=False)
    scales = random.uniform(1.4, 1.8, len(rows))
    paths = [str(table.image_path(row)) for row in rows]
    work: dict[str, Callable[[], object]] = {
        OFFICIAL: lambda: [official(table, *each) for each in zip(rows, scales, strict=True)],
        "raw images": lambda: ours(FaceDataset(table, SIZE), rows, scales),
    }
    if arguments.pack:
        packed = open_table([arguments.pack])
        place = {name: n for n, name in enumerate(packed.sample_ids.to_pylist())}
        same = np.array([place[table.sample_ids[row].as_py()] for row in rows])
        work["packed shards"] = lambda: ours(FaceDataset(packed, SIZE), same, scales)
    work["bare JPEG decoding"] = lambda: [cv2.imread(path) for path in paths]
    found = {name: milliseconds(job, len(rows)) for name, job in work.items()}
    lines = [
        [name, f"{each:.2f}", f"{1000 / each:.0f}", f"{found[OFFICIAL] / each:.1f}"]
        for name, each in found.items()
    ]
    side = np.mean([table.sizes[row].prod() ** 0.5 for row in rows])
    print(markdown(["way", "CPU ms a face", "faces/s", "times as fast as the official work"], lines))
    print(f"\n{len(rows)} faces, photos of {side:.0f} px on average, crops of {SIZE} px.")


if __name__ == "__main__":
    main()
