"""Packs and manifests as one table: those that come together in `--manifest a.json b.parquet`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deca_model.data.landmark_rows import LandmarkRows
from deca_model.data.manifest_faces import FaceTable
from deca_model.data.pack_faces import PackedTable, dataset_shares, number_subjects
from manifests.errors import UsageError


@dataclass(frozen=True)
class MixedTable:
    """The faces of several tables, one table after the other; landmarks are in pixels of what is read."""

    parts: tuple[FaceTable | PackedTable, ...]
    starts: np.ndarray  # (parts,) the first row of each
    sample_ids: pa.ChunkedArray
    identities: pa.ChunkedArray
    dataset_names: tuple[str, ...]
    datasets: np.ndarray  # (N,) index into dataset_names
    subjects: np.ndarray  # (N,) one number a person of a dataset, whichever table the face is of
    expressions: np.ndarray  # (N,) int32; -1 where unknown
    landmarks: LandmarkRows  # (N, 68, 2) float32
    fingerprint: str

    def __len__(self) -> int:
        return len(self.landmarks)

    def read(self, row: int, reduction: int) -> tuple[np.ndarray, np.ndarray | None]:
        """As the ``read`` of the table that the row is of."""
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[part].read(row - int(self.starts[part]), reduction)

    @property
    def has_masks(self) -> bool:
        """Whether any face has a mask."""
        return any(part.has_masks for part in self.parts)

    @property
    def has_dense(self) -> bool:
        """Whether any face has a dense mesh."""
        return any(part.has_dense for part in self.parts)

    def read_dense(self, row: int) -> np.ndarray | None:
        """As the ``read_dense`` of the table that the row is of."""
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[part].read_dense(row - int(self.starts[part]))

    def shares(self, mix: Mapping[str, float]) -> dict[int, float] | None:
        """As ``FaceTable.shares``."""
        return dataset_shares(self.dataset_names, mix)


def mix(parts: Sequence[FaceTable | PackedTable]) -> MixedTable:
    """Puts tables together; persons are the same where dataset and identity are.

    Raises:
        UsageError: a face is in two of them, as when a manifest and its own pack are given.
    """
    sample_ids = _joined([part.sample_ids for part in parts])
    identities = _joined([part.identities for part in parts])
    _check_distinct(sample_ids)
    names, datasets = np.unique(
        np.concatenate([np.asarray(part.dataset_names)[part.datasets] for part in parts]), return_inverse=True
    )
    lengths = [len(part.landmarks) for part in parts]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    digest = hashlib.blake2b(" ".join(part.fingerprint for part in parts).encode(), digest_size=16)
    return MixedTable(
        parts=tuple(parts),
        starts=starts,
        sample_ids=sample_ids,
        identities=identities,
        dataset_names=tuple(str(name) for name in names),
        datasets=datasets,
        subjects=number_subjects(datasets, identities),
        expressions=np.concatenate([part.expressions for part in parts]),
        landmarks=LandmarkRows(block for part in parts for block in part.landmarks.blocks),
        fingerprint=digest.hexdigest(),
    )


def _joined(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    return pa.chunked_array([chunk for column in columns for chunk in column.cast(pa.string()).chunks])


def _check_distinct(sample_ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(sample_ids).as_py() == len(sample_ids):  # type: ignore[attr-defined]
        return
    counted = pc.value_counts(sample_ids)  # type: ignore[attr-defined]
    twice = counted.filter(pc.greater(counted.field("counts"), 1))  # type: ignore[attr-defined]
    name = twice.field("values")[0].as_py()
    raise UsageError(
        f"--manifest: {len(twice)} faces are in two of the files, such as {name}; give a manifest or its "
        "pack, not both."
    )
