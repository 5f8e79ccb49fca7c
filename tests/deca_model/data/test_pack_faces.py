from __future__ import annotations

import itertools
import json

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from deca_model.data.decoding import _GREY, UnreadableImage, decode_mask, one_bit_png
from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset, training_batches
from deca_model.data.pack_faces import open_pack
from deca_model.data.parquet_bytes import find_bytes
from deca_model.data.sampler import SubjectSampler
from manifests.errors import UsageError
from manifests.images.crop import crop_pixels
from pipelines.share.pack import Call, pack
from pipelines.share.pack_rows import CropSettings
from tests.deca_model.synthetic import make_manifest


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A manifest, and the pack that `deca-data pack` makes of it; one person has no masks."""
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


def test_packs_and_manifests_are_mixed(tmp_path):
    """Half of one dataset packed, the other half packed apart, and another dataset as photos."""
    whole = make_manifest(tmp_path / "a", (4, 4, 3), unmasked=(1,))
    table = pq.read_table(whole)
    for name, rows in (("even", slice(0, None, 2)), ("odd", slice(1, None, 2))):
        pq.write_table(table.take(np.arange(len(table))[rows]), whole.with_name(f"{name}.parquet"))
    halves = [whole.with_name("even.parquet"), whole.with_name("odd.parquet")]
    pack(Call(halves, tmp_path / "packed", CropSettings(), shard_rows=3, quiet=True))
    other = make_manifest(tmp_path / "b", (3, 3), name="other", dataset="pilots", seed=5)
    paths = [tmp_path / "packed/even.json", other, tmp_path / "packed/odd.json"]
    mixed = open_table(paths)
    parts = [open_table([path]) for path in paths]
    assert len(mixed) == 11 + 6
    assert mixed.sample_ids.to_pylist() == [name for part in parts for name in part.sample_ids.to_pylist()]
    assert mixed.dataset_names == ("astronauts", "pilots")
    assert len(np.unique(mixed.subjects)) == 3 + 2  # a person is the same in both packs
    start = 0
    for part in parts:
        for row in range(len(part)):
            np.testing.assert_array_equal(mixed.landmarks[start + row], part.landmarks[row])
            (image, mask), (expected, other) = mixed.read(start + row, 1), part.read(row, 1)
            np.testing.assert_array_equal(image, expected)
            assert (mask is None) == (other is None)
            assert mask is None or other is None or np.array_equal(mask, other)
        start += len(part)
    shares = mixed.shares({"astronauts": 0.25, "pilots": 0.75})
    sampler = SubjectSampler(mixed.subjects, mixed.datasets, subjects=2, images=2, seed=0, shares=shares)
    drawn = [name.split("/")[0] for n in range(60) for name in _names(mixed, sampler, n)]
    assert 0.6 < drawn.count("pilots") / len(drawn) < 0.9
    loaded = next(training_batches(FaceDataset(mixed, 64), sampler, workers=1))
    assert loaded.images.shape == (4, 64, 64, 3)
    assert mixed.fingerprint == open_table(paths).fingerprint != open_table(paths[::-1]).fingerprint
    with pytest.raises(UsageError, match=r"6 faces are in two of the files, such as astronauts/.*not both"):
        open_table([tmp_path / "packed/even.json", halves[0]])
    with pytest.raises(UsageError, match=r"data\.mix must name each dataset"):
        mixed.shares({"astronauts": 1.0})


def _names(table, sampler, number):
    draws = sampler.batch(*divmod(number, sampler.batches_per_epoch))
    return [table.sample_ids[row].as_py() for row in draws.rows]


def test_black_and_white_pngs_are_decoded_as_opencv_does(tmp_path):
    random = np.random.default_rng(0)
    for height, width in ((256, 256), (64, 96), (50, 67)):
        blob = cv2.resize(random.random((6, 6)), (width, height), interpolation=cv2.INTER_CUBIC)
        mask = ((blob > 0.5) * 255).astype(np.uint8)
        grey = cv2.imencode(".png", mask)[1]
        assert one_bit_png(grey.tobytes()) is None
        small = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_BILEVEL, 1, cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
        ours = one_bit_png(small.tobytes())
        assert ours is not None
        np.testing.assert_array_equal(ours, mask)
        for reduction in (1, 2, 4, 8):
            expected = cv2.imdecode(small, _GREY[reduction])
            np.testing.assert_array_equal(decode_mask(small, reduction, "x"), expected)
        for end in (0, 7, 20, 32, 40, len(small) // 2, len(small) - 20):
            assert one_bit_png(small[:end].tobytes()) is None
        filtered = cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_BILEVEL, 1])[1]
        np.testing.assert_array_equal(decode_mask(filtered, 1, "x"), mask)
    with pytest.raises(UnreadableImage, match="shard 1, row 2: the mask cannot be decoded"):
        decode_mask(small[:40], 1, "shard 1, row 2")


def test_a_packs_masks_are_of_one_bit(packed):
    masks = pq.read_table(packed[1].with_name("train-00000.parquet"))["mask_png"].to_pylist()
    assert all(one_bit_png(mask) is not None for mask in masks if mask is not None)
