from __future__ import annotations

import itertools
import json

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from deca_model.crop import crop_pixels
from deca_model.data import FaceDataset, training_batches
from deca_model.packs import open_pack
from deca_model.parquet_bytes import find_bytes
from deca_model.sampler import SubjectSampler
from deca_model.table import open_table
from manifests.errors import UsageError
from tests.deca_model.synthetic import make_manifest


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A manifest, and the pack that `deca-data pack` makes of it; one person has no masks."""
    from pipelines.pack import Call, pack
    from pipelines.pack_rows import CropSettings

    folder = tmp_path_factory.mktemp("pack")
    manifest = make_manifest(folder, (4, 4, 3, 5), unmasked=(2,))
    pack(Call([manifest], folder / "pack", CropSettings(), shard_rows=6, quiet=True))
    return manifest, folder / "pack/train.json"


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("page", [300, 1 << 20])
def test_stored_bytes_are_found_where_a_parquet_reader_finds_them(tmp_path, nullable, page):
    random = np.random.default_rng(0)
    values = [random.bytes(int(size)) for size in random.integers(0, 200, 500)]
    if nullable:
        values = [None if random.random() < 0.3 else value for value in values]
        values[100:200] = [None] * 100
    field = pa.field("data", pa.binary(), nullable=nullable)
    path = tmp_path / "t.parquet"
    table = pa.table([values], schema=pa.schema([field]))
    pq.write_table(
        table, path, compression="NONE", use_dictionary=False, data_page_size=page, row_group_size=170
    )
    found = find_bytes(path, "data")
    data = np.fromfile(path, np.uint8)
    for row, value in enumerate(values):
        if value is None:
            assert found.length[row] == -1
        else:
            assert found.take(data, row).tobytes() == value
    pq.write_table(table, path, compression="zstd", use_dictionary=False)
    with pytest.raises(UsageError, match="data is compressed"):
        find_bytes(path, "data")


def test_a_pack_gives_the_faces_of_its_manifest(packed):
    manifest, index = packed
    raw, pack = open_table([manifest]), open_table([index])
    assert pack.sample_ids.to_pylist() == raw.sample_ids.to_pylist()
    np.testing.assert_array_equal(pack.subjects, raw.subjects)
    samplers = [SubjectSampler(t.subjects, t.datasets, subjects=2, images=3, seed=1) for t in (raw, pack)]
    first, second = (
        next(training_batches(FaceDataset(table, 112), sampler))
        for table, sampler in zip((raw, pack), samplers, strict=True)
    )
    assert first.sample_ids == second.sample_ids
    assert torch.equal(first.has_mask, second.has_mask)
    # The same crops up to a whole pixel of the packed size and to JPEG: landmarks agree with the pixels.
    difference = crop_pixels(first.landmarks.numpy(), 112) - crop_pixels(second.landmarks.numpy(), 112)
    assert np.abs(difference).max() < 1.5
    for n in range(6):
        shift = difference[n].mean(axis=0)
        moved = cv2.warpAffine(
            second.images[n].numpy(), np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (112, 112)
        )
        inner = (slice(8, -8), slice(8, -8))
        assert np.abs(moved[inner].astype(int) - first.images[n].numpy()[inner]).mean() < 6
    both = (first.masks > 127) & (second.masks > 127)
    either = (first.masks > 127) | (second.masks > 127)
    assert both.sum() / either.sum() > 0.95


def test_a_pack_gives_the_same_batches_in_workers(packed):
    table = open_pack(packed[1])
    dataset = FaceDataset(table, 64)
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=2, images=2, seed=3)
    alone = list(itertools.islice(training_batches(dataset, sampler), 4))
    for first, second in zip(alone, training_batches(dataset, sampler, workers=2), strict=False):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.masks, second.masks)


def test_broken_packs_are_plain_sentences(packed, tmp_path):
    index = json.loads(packed[1].read_text())
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"format": 1, "shards": index["shards"], "manifest": ""}))
    with pytest.raises(UsageError, match="shard of the pack is missing"):
        open_pack(path)
    path.write_text("{}")
    with pytest.raises(UsageError, match="no index of a pack"):
        open_pack(path)
