"""The faces of manifests that can be trained on: millions, shared by all processes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from deca_model.data.face_columns import columns_of, read_columns
from deca_model.data.landmark_rows import LandmarkRows, landmark_rows
from deca_model.data.pack_faces import NoFaces, dataset_shares, number_datasets, number_subjects
from manifests.images.kept import read_mask, read_mesh, read_photo
from manifests.reading import Manifest
from manifests.streaming import ManifestStream


@dataclass(frozen=True)
class FaceTable:
    """The usable faces of one or more manifests, in the manifests' order.

    Strings and landmarks stay in Arrow columns, often of a mapped file: a process that reads them copies only
    what it reads.
    """

    manifests: tuple[Manifest, ...]
    source: np.ndarray  # (N,) index into manifests
    sample_ids: pa.ChunkedArray
    identities: pa.ChunkedArray  # null where nobody is known
    images: pa.ChunkedArray
    mask_paths: pa.ChunkedArray  # null where a face has no mask
    dense_paths: pa.ChunkedArray  # null where a face has no dense mesh
    dataset_names: tuple[str, ...]
    datasets: np.ndarray  # (N,) index into dataset_names
    subjects: np.ndarray  # (N,) one number a person; a face without identity is a person of its own
    expressions: np.ndarray  # (N,) int32, the dataset's expression class; -1 where unknown
    landmarks: LandmarkRows  # (N, 68, 2) float32, pixels of the original image
    sizes: np.ndarray  # (N, 2) int32 width, height; 0 where unknown
    fingerprint: str

    def __len__(self) -> int:
        return len(self.landmarks)

    def image_path(self, row: int) -> Path:
        """The image file of a row."""
        manifest = self.manifests[self.source[row]]
        return manifest.image_path(self.dataset_names[self.datasets[row]], self.images[row].as_py())

    def mask_path(self, row: int) -> Path | None:
        """The mask file of a row, or None where it has none."""
        relative = self.mask_paths[row].as_py()
        return None if relative is None else self.manifests[self.source[row]].workspace_path(relative)

    def read(self, row: int, reduction: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Image (H, W, 3) RGB uint8 and mask (H, W) uint8 of a row, at 1 / reduction of their size.

        Raises:
            WorkFailed: a file is missing, damaged, or no longer has the size that the manifest says.
        """
        width, height = self.sizes[row].tolist()
        size = (width, height) if width and height else None
        image = read_photo(self.image_path(row), size, reduction)
        path = self.mask_path(row)
        return image, None if path is None else read_mask(path, size, reduction)

    @property
    def has_masks(self) -> bool:
        """Whether any face has a mask."""
        return self.mask_paths.null_count < len(self)

    @property
    def has_dense(self) -> bool:
        """Whether any face has a dense mesh."""
        return self.dense_paths.null_count < len(self)

    def read_dense(self, row: int) -> np.ndarray | None:
        """The dense mesh (478, 2) of a row in pixels of the original image, or None where it has none.

        Raises:
            WorkFailed: its file is missing or damaged.
        """
        relative = self.dense_paths[row].as_py()
        if relative is None:
            return None
        return read_mesh(self.manifests[self.source[row]].workspace_path(relative))[:, :2]

    def shares(self, mix: Mapping[str, float]) -> dict[int, float] | None:
        """Turns the setting ``data.mix`` (dataset name to weight) into weights by dataset number.

        Raises:
            UsageError: a name that no manifest holds, or a dataset that the setting leaves out.
        """
        return dataset_shares(self.dataset_names, mix)


def open_faces(streams: Sequence[ManifestStream]) -> FaceTable:
    """Collects the rows of manifests that have status ok and landmarks.

    Raises:
        NoFaces: there is none.
        UsageError: as ``face_columns.read_columns``.
    """
    found = [read_columns(stream) for stream in streams]
    prints = [columns.fingerprint for columns in found]
    return _face_table([stream.head for stream in streams], [columns.table for columns in found], prints)


def face_table(manifests: Sequence[Manifest]) -> FaceTable:
    """The same of manifests that are in memory."""
    tables = [columns_of(manifest.table, manifest.path) for manifest in manifests]
    return _face_table(manifests, tables, [manifest.fingerprint for manifest in manifests])


def _face_table(
    manifests: Sequence[Manifest], tables: Sequence[pa.Table], prints: Sequence[str]
) -> FaceTable:
    table = pa.concat_tables(tables)
    if table.num_rows == 0:
        names = ", ".join(str(manifest.path) for manifest in manifests)
        raise NoFaces(f"{names}: no row has status ok and landmarks; `deca-data status` says why.")
    names, datasets = number_datasets(table["dataset"])
    return FaceTable(
        manifests=tuple(manifests),
        source=np.repeat(np.arange(len(tables)), [part.num_rows for part in tables]),
        sample_ids=table["sample_id"],
        identities=table["identity"],
        images=table["image"],
        mask_paths=table["mask_path"],
        dense_paths=table["dense_path"],
        dataset_names=names,
        datasets=datasets,
        subjects=number_subjects(datasets, table["identity"]),
        expressions=_whole(table["expression"], absent=-1),
        landmarks=landmark_rows(table["landmarks"]),
        sizes=np.stack([_whole(table["width"]), _whole(table["height"])], axis=1),
        fingerprint=hashlib.blake2b("".join(prints).encode(), digest_size=16).hexdigest(),
    )


def _whole(column: pa.ChunkedArray, absent: int = 0) -> np.ndarray:
    return column.fill_null(absent).to_numpy().astype(np.int32)
