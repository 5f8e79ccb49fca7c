"""The faces of a pack (`manifests/packs` has the format): their crops are read from the mapped shards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deca_model.data.landmark_rows import LandmarkRows, landmark_rows
from manifests.errors import UsageError, WorkFailed
from manifests.images.decode import Unreadable, decode_jpeg
from manifests.packs.reading import Pack
from manifests.packs.schema import DENSE, decode_mask

MESH_NUMBERS = 478 * 3


class NoFaces(UsageError):
    """A manifest or pack has no face that can be trained on."""


@dataclass(frozen=True)
class PackedTable:
    """The faces of a pack, like ``manifest_faces.FaceTable``; landmarks are in pixels of the packed crops."""

    pack: Pack
    sample_ids: pa.ChunkedArray
    identities: pa.ChunkedArray  # null where nobody is known
    dataset_names: tuple[str, ...]
    datasets: np.ndarray  # (N,)
    subjects: np.ndarray  # (N,)
    expressions: np.ndarray  # (N,) int32; -1 where unknown
    landmarks: LandmarkRows  # (N, 68, 2) float32
    dense: pa.ChunkedArray | None  # 478 x 3 numbers, null where a face has no dense mesh; None: no face has
    fingerprint: str

    def __len__(self) -> int:
        return len(self.landmarks)

    def read(self, row: int, reduction: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The packed crop and the mask of a row, at 1 / reduction of their size (see ``FaceTable.read``)."""
        try:
            image = decode_jpeg(self.pack.image_bytes(row).tobytes(), reduction)
        except Unreadable as error:
            raise self._damaged(row, "image") from error
        stored = self.pack.mask_bytes(row)
        if stored is None:
            return image, None
        mask = decode_mask(stored, self.pack.index.size)
        if mask is None:
            raise self._damaged(row, "mask")
        if reduction > 1:  # as OpenCV's reduced decoding
            mask = cv2.resize(mask, image.shape[1::-1], interpolation=cv2.INTER_LINEAR_EXACT)
        return image, mask

    @property
    def has_masks(self) -> bool:
        """Whether any face has a mask."""
        return self.pack.has_masks

    @property
    def has_dense(self) -> bool:
        """Whether any face has a dense mesh."""
        return self.dense is not None and self.dense.null_count < len(self)

    def read_dense(self, row: int) -> np.ndarray | None:
        """The dense mesh (478, 2) of a row in pixels of the packed crop, or None where it has none.

        Raises:
            WorkFailed: it has another number of points, or is not finite.
        """
        stored = None if self.dense is None else self.dense[row].values
        if stored is None:
            return None
        points = stored.to_numpy(zero_copy_only=False)
        if len(points) != MESH_NUMBERS or not np.isfinite(points).all():
            raise self._damaged(row, "dense mesh")
        return points.reshape(-1, 3)[:, :2]

    def shares(self, mix: Mapping[str, float]) -> dict[int, float] | None:
        """As ``FaceTable.shares``."""
        return dataset_shares(self.dataset_names, mix)

    def _damaged(self, row: int, what: str) -> WorkFailed:
        return WorkFailed(
            f"{self.pack.place(row)}: the {what} is damaged; delete this shard, run `deca-data pack` again, "
            "then continue with --resume."
        )


def packed_table(pack: Pack) -> PackedTable:
    """Collects the rows of an open pack.

    Raises:
        NoFaces: there is none.
        UsageError: a landmark is not finite.
    """
    columns = ["sample_id", "dataset", "identity", "expression", "landmarks"]
    table = pack.table.select(columns)
    if table.num_rows == 0:
        raise NoFaces(f"{pack.path}: the pack holds no face.")
    names, datasets = number_datasets(table["dataset"])
    landmarks = landmark_rows(table["landmarks"])
    if not all(np.isfinite(block).all() for block in landmarks.blocks):
        raise UsageError(f"{pack.path}: landmarks of this pack are not finite; run `deca-data pack` again.")
    return PackedTable(
        pack=pack,
        sample_ids=table["sample_id"],
        identities=table["identity"],
        dataset_names=names,
        datasets=datasets,
        subjects=number_subjects(datasets, table["identity"]),
        expressions=table["expression"].fill_null(-1).to_numpy(),
        landmarks=landmarks,
        dense=pack.table[DENSE.name] if DENSE.name in pack.table.column_names else None,
        fingerprint=pack.index.manifest,
    )


def dataset_shares(names: tuple[str, ...], mix: Mapping[str, float]) -> dict[int, float] | None:
    """Turns the setting ``data.mix`` (dataset name to weight) into weights by dataset number.

    Raises:
        UsageError: a name that is not in ``names``, or one of them is left out.
    """
    if not mix:
        return None
    wrong = sorted(set(mix) ^ set(names))
    if wrong:
        raise UsageError(
            f"data.mix must name each dataset of the manifest, {', '.join(names)}: "
            f"look at {', '.join(wrong)} (weight 0 leaves a dataset out)."
        )
    return {number: mix[name] for number, name in enumerate(names) if mix[name] > 0}


def number_datasets(datasets: pa.ChunkedArray) -> tuple[tuple[str, ...], np.ndarray]:
    """The names in a column, sorted, and the number of each row's name among them."""
    encoded = pc.dictionary_encode(datasets.cast(pa.string()))  # type: ignore[attr-defined]
    names = encoded.chunk(0).dictionary.to_pylist()  # one dictionary for all chunks
    order = sorted(names)
    places = np.array([order.index(name) for name in names], dtype=np.int64)
    return tuple(order), np.concatenate([places[chunk.indices.to_numpy()] for chunk in encoded.chunks])


def number_subjects(datasets: np.ndarray, identities: pa.ChunkedArray) -> np.ndarray:
    """Numbers the (dataset, identity) pairs; a null identity gets a number of its own."""
    code = pc.dictionary_encode(identities).combine_chunks().indices  # type: ignore[attr-defined]
    unknown = code.is_null().to_numpy(zero_copy_only=False)
    person = code.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    pairs = datasets.astype(np.int64) * (int(person.max()) + 1) + person
    _, subjects = np.unique(pairs, return_inverse=True)
    subjects[unknown] = int(subjects.max()) + 1 + np.arange(unknown.sum())
    return np.unique(subjects, return_inverse=True)[1]
