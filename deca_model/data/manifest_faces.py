"""The faces of manifests that can be trained on, as arrays: millions, shared with the loader's workers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deca_model.data.pack_faces import NoFaces, dataset_shares, number_subjects
from manifests.images.kept import read_mask, read_photo
from manifests.reading import Manifest


@dataclass(frozen=True)
class FaceTable:
    """The usable faces of one or more manifests, in the manifests' order.

    Strings stay in Arrow columns: a worker that reads them copies nothing.
    """

    manifests: tuple[Manifest, ...]
    source: np.ndarray  # (N,) index into manifests
    sample_ids: pa.ChunkedArray
    identities: pa.ChunkedArray  # null where nobody is known
    images: pa.ChunkedArray
    mask_paths: pa.ChunkedArray  # null where a face has no mask
    dataset_names: tuple[str, ...]
    datasets: np.ndarray  # (N,) index into dataset_names
    subjects: np.ndarray  # (N,) one number a person; a face without identity is a person of its own
    expressions: np.ndarray  # (N,) int32, the dataset's expression class; -1 where unknown
    landmarks: np.ndarray  # (N, 68, 2) float32, pixels of the original image
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

    def shares(self, mix: Mapping[str, float]) -> dict[int, float] | None:
        """Turns the setting ``data.mix`` (dataset name to weight) into weights by dataset number.

        Raises:
            UsageError: a name that no manifest holds, or a dataset that the setting leaves out.
        """
        return dataset_shares(self.dataset_names, mix)


def face_table(manifests: Sequence[Manifest]) -> FaceTable:
    """Collects the rows of open manifests that have status ok and landmarks.

    Raises:
        UsageError: there is none.
    """
    columns = [
        *("sample_id", "dataset", "identity", "image", "mask_path", "landmarks", "width", "height"),
        "expression",
    ]
    tables = []
    for manifest in manifests:
        present = [name for name in columns if name in manifest.table.column_names]
        usable = pc.and_(  # type: ignore[attr-defined]
            pc.equal(manifest.table["status"], "ok"),  # type: ignore[attr-defined]
            pc.is_valid(manifest.table["landmarks"]),  # type: ignore[attr-defined]
        )
        tables.append(manifest.table.filter(usable).select(present).replace_schema_metadata(None))
    table = pa.concat_tables(tables, promote_options="default").combine_chunks()
    if table.num_rows == 0:
        names = ", ".join(str(manifest.path) for manifest in manifests)
        raise NoFaces(f"{names}: no row has status ok and landmarks; `deca-data status` says why.")
    names, datasets = np.unique(table["dataset"].to_numpy(zero_copy_only=False), return_inverse=True)
    return FaceTable(
        manifests=tuple(manifests),
        source=np.repeat(np.arange(len(tables)), [part.num_rows for part in tables]),
        sample_ids=table["sample_id"],
        identities=table["identity"],
        images=table["image"],
        mask_paths=table["mask_path"],
        dataset_names=tuple(str(name) for name in names),
        datasets=datasets,
        subjects=number_subjects(datasets, table["identity"]),
        expressions=_whole(table, "expression", absent=-1),
        landmarks=_landmarks(table["landmarks"]),
        sizes=np.stack([_whole(table, "width"), _whole(table, "height")], axis=1),
        fingerprint=_fingerprint(manifests),
    )


def _landmarks(column: pa.ChunkedArray) -> np.ndarray:
    flat = column.combine_chunks()
    flat = flat.chunk(0) if isinstance(flat, pa.ChunkedArray) else flat
    return flat.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, 68, 2)


def _whole(table: pa.Table, name: str, absent: int = 0) -> np.ndarray:
    if name not in table.column_names:
        return np.full(table.num_rows, absent, np.int32)
    return table[name].fill_null(absent).to_numpy(zero_copy_only=False).astype(np.int32)


def _fingerprint(manifests: Sequence[Manifest]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for manifest in manifests:
        digest.update(manifest.fingerprint.encode())
    return digest.hexdigest()
