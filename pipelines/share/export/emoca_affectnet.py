"""AffectNet in the form that EMOCA's AffectNet modules read after their own preparation.

Below `affectnet/`, which is both `data.input_dir` and `data.output_dir`:

- `Manually_Annotated/`: tables of the photos, under the names that `AffectNetDataModule` and
  `AffectNetEmoNetSplitModule` ask for; a missing label has AffectNet's own value for it (expression 9,
  valence and arousal -2), which EMOCA leaves out;
- `processed/detections/<photo>.png`: 224 x 224 crops, 1.25 x 1.1 landmark boxes wide;
- `processed/landmarks/<photo>.pkl`: a type, and (68, 2) in pixels of the crop;
- `processed/segmentations/<photo>.pkl`: of the crop, 1 (skin) on the visible face, else 0 (background);
- `processed/status.memmap`, which says that nothing is left to prepare.
"""

from __future__ import annotations

import csv
import gzip
import io
import pickle
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from manifests.files import atomic_path, inside, write_atomic
from manifests.images.crop import crop_pixels, cut_square, face_square, normalise_points, snap
from manifests.images.kept import read_mask, read_photo
from manifests.reading import Manifest
from manifests.streaming import ManifestStream
from pipelines.share.export.lists import stem_of
from pipelines.share.export.official import source_of
from pipelines.share.export.rows import AHEAD, THREADS, Call, Exported
from pipelines.terminal.progress_bar import Progress
from pipelines.threads import in_order

SOURCE = "affectnet"
COLUMNS = ("dataset", "image", "mask_path", "split", "expression", "valence", "arousal")
SIZE, SCALE = 224, 1.25 * 1.1
PREPARED_TOGETHER = 1000
"""Photos for each flag of the status file."""

UNKNOWN = {"expression": 9, "valence": -2.0, "arousal": -2.0}
TABLES = {
    "train": ("training", "training_emonet_split"),
    "val": ("validation", "validation_emonet_split", "validation_emonet_split_clean"),
}
TEST_TABLES = (
    *("validation_representative_selection", "validation_representative_emonet_split"),
    "validation_emonet_split_clean_representative",
)
HEADER = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks"),
    *("expression", "valence", "arousal"),
)


class _Array:
    """An array that any version of numpy reads from the pickle; numpy's own pickles name its modules."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __reduce__(self) -> tuple[Any, ...]:
        return np.ndarray, (self.array.shape, self.array.dtype.str, bytearray(self.array.tobytes()))


def write_affectnet(call: Call, streams: list[ManifestStream], shown: Progress, done: Exported) -> None:
    """Writes the photos of AffectNet's layout, if there are any.

    Raises:
        UsageError: a manifest names a path outside the export.
        WorkFailed: a kept photo or mask cannot be read any more.
    """
    folder, tables, unmasked = call.out / "affectnet", {"train": [], "val": []}, 0
    for stream in streams:
        write = partial(_write_photo, folder / "processed", stream.head)
        for split, line, masked in in_order(write, _rows(stream), THREADS, AHEAD, shown):
            tables[split].append(line)
            unmasked += not masked
    if not any(tables.values()):
        return
    for split, names in TABLES.items():
        for name in names:
            path = folder / f"Manually_Annotated/{name}.csv"
            write_atomic(path, _table(tables[split]))
            done.files[str(path)] = len(tables[split])
    for name in TEST_TABLES:
        write_atomic(folder / f"processed/{name}.csv", _table(tables["val"]))
    flags = -(-sum(map(len, tables.values())) // PREPARED_TOGETHER)
    write_atomic(folder / "processed/status.memmap", np.ones(flags, np.bool_).tobytes())
    if unmasked:
        done.notes.append(f"{unmasked} photos of AffectNet have no mask and count as skin all over")
    place = folder.resolve()
    done.notes.append(
        f"for EMOCA on AffectNet: data.input_dir={place} data.output_dir={place} "
        "data.processed_subfolder=processed"
    )


def _rows(stream: ManifestStream) -> Iterator[dict[str, Any]]:
    return (row for row in stream.usable_rows(COLUMNS) if source_of(stream.head, row) == SOURCE)


def _write_photo(folder: Path, manifest: Manifest, row: dict[str, Any]) -> tuple[str, dict[str, Any], bool]:
    """Writes crop, landmarks and mask; returns the split, the line of the table, and if there is a mask."""
    photo = read_photo(manifest.image_path(row["dataset"], row["image"]))
    square, cut = snap(face_square(row["landmarks"], SCALE))
    points = crop_pixels(normalise_points(row["landmarks"], square), SIZE).astype(np.float32)
    visible = np.full(photo.shape[:2], 255, np.uint8)
    if row["mask_path"] is not None:
        visible = read_mask(manifest.workspace_path(row["mask_path"]))
    how = cv2.INTER_AREA if cut.side > SIZE else cv2.INTER_CUBIC
    crop = cut_square(photo, cut, SIZE, interpolation=how)
    mask = (cut_square(visible, cut, SIZE, interpolation=cv2.INTER_AREA) > 127).astype(np.uint8)
    name = f"{row['dataset']}/{stem_of(SOURCE, row['image'])}"
    with atomic_path(inside(folder / "detections", f"{name}.png", manifest.path)) as temporary:
        cv2.imwrite(str(temporary), crop[..., ::-1])
    landmarks = pickle.dumps("kpt68", protocol=4) + pickle.dumps(_Array(points), protocol=4)
    write_atomic(folder / f"landmarks/{name}.pkl", landmarks)
    labels = gzip.compress(pickle.dumps(["face_parsing", _Array(mask)], protocol=4), mtime=0)
    write_atomic(folder / f"segmentations/{name}.pkl", labels)
    return (
        "val" if row["split"] == "val" else "train",
        _line(f"{name}.jpg", row),
        row["mask_path"] is not None,
    )


def _line(name: str, row: dict[str, Any]) -> dict[str, Any]:
    points = row["landmarks"]
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    box = (left, top, right - left, bottom - top)
    labels = {key: absent if row[key] is None else round(row[key], 6) for key, absent in UNKNOWN.items()}
    return {
        "subDirectory_filePath": name,
        **dict(zip(HEADER[1:5], (round(float(each), 2) for each in box), strict=True)),
        "facial_landmarks": ";".join(f"{value:.2f}" for value in points.reshape(-1)),
        **labels,
    }


def _table(lines: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    table = csv.DictWriter(text, HEADER, lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    return text.getvalue().encode()
