"""Loader speed on one core: the official per-sample work, raw images, a pack, and the limit.

    python -m benchmarks.loader --manifest train.parquet [--pack pack/train.json] [--faces 300]

All read the same faces in the same order, in one process with one thread, with a warm file cache; times are
CPU time of the process. "official" does what the official loader does for a sample: read the image as
float64 in [0, 1], crop rule, and a similarity warp of image and mask by scikit-image. "bare JPEG" only
decodes the files at full size: no loader that starts from them can be faster, unless it decodes less.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset
from deca_model.data.manifest_faces import FaceTable
from deca_model.data.sampler import Draws
from manifests.images.crop import face_square

SIZE = 224


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


def milliseconds(work, faces: int) -> float:
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
    parser.add_argument("--pack", type=Path)
    parser.add_argument("--faces", type=int, default=300)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    table = open_table([arguments.manifest])
    assert isinstance(table, FaceTable)
    random = np.random.default_rng(0)
    rows = random.choice(len(table), min(arguments.faces, len(table)), replace=False)
    scales = random.uniform(1.4, 1.8, len(rows))
    paths = [str(table.image_path(row)) for row in rows]
    work = {
        "official per-sample work": lambda: [
            official(table, r, s) for r, s in zip(rows, scales, strict=True)
        ],
        "raw images": lambda: ours(FaceDataset(table, SIZE), rows, scales),
        "bare JPEG decoding (limit)": lambda: [cv2.imread(path) for path in paths],
    }
    if arguments.pack:
        packed = open_table([arguments.pack])
        place = {name: n for n, name in enumerate(packed.sample_ids.to_pylist())}
        same = np.array([place[table.sample_ids[row].as_py()] for row in rows])
        work["packed shards"] = lambda: ours(FaceDataset(packed, SIZE), same, scales)
    found = {name: milliseconds(job, len(rows)) for name, job in work.items()}
    widths = [table.sizes[row].prod() ** 0.5 for row in rows]
    print(f"{len(rows)} faces, photos of {np.mean(widths):.0f} px on average, crops of {SIZE} px, one core\n")
    print("| work | ms a face | faces/s | times official |\n|---|---|---|---|")
    for name, time_each in found.items():
        ratio = found["official per-sample work"] / time_each
        print(f"| {name} | {time_each:.2f} | {1000 / time_each:.0f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
