"""Packed shards: the crops of a whole dataset in a few large files, read at random without unpacking them.

`deca-data pack` writes Parquet shards (its own documentation gives the columns). Parquet readers unpack a
row group at a time, which would cost 256 faces for one; but the pictures are stored as they are, so their
places in the file are found once and the bytes are then taken from the mapped file (``parquet_bytes.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deca_model.data.decoding import decode_image, decode_mask
from deca_model.data.parquet_bytes import StoredBytes, find_bytes
from manifests.errors import UsageError

_FORMAT = 1


@dataclass(frozen=True)
class PackedTable:
    """The faces of a pack, like ``face_table.FaceTable``; landmarks are in pixels of the packed crops."""

    path: Path
    shard: np.ndarray  # (N,) index into shards
    row_in_shard: np.ndarray  # (N,)
    shards: tuple[Path, ...]
    image_bytes: tuple[StoredBytes, ...]  # per shard
    mask_bytes: tuple[StoredBytes, ...]
    sample_ids: pa.ChunkedArray
    identities: pa.ChunkedArray  # null where nobody is known
    dataset_names: tuple[str, ...]
    datasets: np.ndarray  # (N,)
    subjects: np.ndarray  # (N,)
    landmarks: np.ndarray  # (N, 68, 2) float32
    fingerprint: str
    _maps: dict[int, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.landmarks)

    def read(self, row: int, reduction: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The packed crop and the mask of a row, at 1 / reduction of their size (see ``FaceTable.read``)."""
        shard, place = int(self.shard[row]), int(self.row_in_shard[row])
        if shard not in self._maps:
            self._maps[shard] = np.asarray(np.memmap(self.shards[shard], np.uint8, mode="r"))
        data = self._maps[shard]
        name = f"{self.shards[shard]}, row {place}"
        image = decode_image(self.image_bytes[shard].take(data, place), reduction, name)
        if self.mask_bytes[shard].length[place] < 0:
            return image, None
        return image, decode_mask(self.mask_bytes[shard].take(data, place), reduction, name)

    def shares(self, mix: Mapping[str, float]) -> dict[int, float] | None:
        """As ``FaceTable.shares``."""
        return dataset_shares(self.dataset_names, mix)


def open_pack(path: Path) -> PackedTable:
    """Opens the index (``.json``) of a pack.

    Raises:
        UsageError: the index or a shard is missing, or of another format.
    """
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        names = [shard["name"] for shard in index["shards"]]
        if index["format"] != _FORMAT:
            raise UsageError(f"{path}: its format is {index['format']}, this version reads {_FORMAT}.")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path}: this is no index of a pack ({error}); make one with deca-data pack."
        ) from None
    shards = tuple(path.with_name(name) for name in names)
    for shard in shards:
        if not shard.is_file():
            raise UsageError(f"{shard}: this shard of the pack is missing; run deca-data pack again.")
    columns = ["sample_id", "dataset", "identity", "landmarks"]
    tables = [pq.read_table(shard, columns=columns).replace_schema_metadata(None) for shard in shards]
    table = pa.concat_tables(tables).combine_chunks()
    if table.num_rows == 0:
        raise UsageError(f"{path}: the pack holds no face.")
    dataset_names, datasets = np.unique(table["dataset"].to_numpy(zero_copy_only=False), return_inverse=True)
    points = table["landmarks"].combine_chunks()
    points = points.chunk(0) if isinstance(points, pa.ChunkedArray) else points
    counts = [part.num_rows for part in tables]
    return PackedTable(
        path=path,
        shard=np.repeat(np.arange(len(shards)), counts),
        row_in_shard=np.concatenate([np.arange(count) for count in counts]),
        shards=shards,
        image_bytes=tuple(find_bytes(shard, "image_jpeg") for shard in shards),
        mask_bytes=tuple(find_bytes(shard, "mask_png") for shard in shards),
        sample_ids=table["sample_id"],
        identities=table["identity"],
        dataset_names=tuple(str(name) for name in dataset_names),
        datasets=datasets,
        subjects=number_subjects(datasets, table["identity"]),
        landmarks=points.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, 68, 2),
        fingerprint=str(index["manifest"]),
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


def number_subjects(datasets: np.ndarray, identities: pa.ChunkedArray) -> np.ndarray:
    """Numbers the (dataset, identity) pairs; a null identity gets a number of its own."""
    code = pc.dictionary_encode(identities).combine_chunks().indices  # type: ignore[attr-defined]
    unknown = code.is_null().to_numpy(zero_copy_only=False)
    person = code.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    pairs = datasets.astype(np.int64) * (int(person.max()) + 1) + person
    _, subjects = np.unique(pairs, return_inverse=True)
    subjects[unknown] = int(subjects.max()) + 1 + np.arange(unknown.sum())
    return np.unique(subjects, return_inverse=True)[1]
