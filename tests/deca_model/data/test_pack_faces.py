from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset, training_batches
from deca_model.data.pack_faces import packed_table
from deca_model.data.sampler import SubjectSampler
from manifests.errors import UsageError, WorkFailed
from manifests.images.crop import crop_pixels
from manifests.packs.reading import Pack
from manifests.packs.schema import FORMAT, Index
from manifests.packs.writing import write_index
from pipelines.share.pack import pack
from pipelines.share.pack_rows import CropSettings
from tests.deca_model.synthetic import make_manifest


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A manifest, and the pack that `deca-data pack` makes of it; one person has no masks."""
    folder = tmp_path_factory.mktemp("pack")
    manifest = make_manifest(folder, (4, 4, 3, 5), unmasked=(2,))
    pack([manifest], folder / "pack", CropSettings(), shard_rows=6, quiet=True)
    return manifest, folder / "pack/train.json"


def test_manifests_packs_and_both_know_the_expressions(tmp_path):
    one = make_manifest(tmp_path / "a", (2, 1), dataset="first", expressions=(7, None, 10))
    two = make_manifest(tmp_path / "b", (2,), dataset="second")
    pack([one], tmp_path / "pack", CropSettings(), quiet=True)
    assert open_table([one]).expressions.tolist() == [7, -1, 10]
    assert open_table([one, two]).expressions.tolist() == [7, -1, 10, -1, -1]
    assert open_table([tmp_path / "pack/train.json"]).expressions.tolist() == [7, -1, 10]
    assert open_table([tmp_path / "pack/train.json", two]).expressions.tolist() == [7, -1, 10, -1, -1]


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
    table = open_table([packed[1]])
    dataset = FaceDataset(table, 64)
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=2, images=2, seed=3)
    alone = list(itertools.islice(training_batches(dataset, sampler), 4))
    for first, second in zip(alone, training_batches(dataset, sampler, workers=2), strict=False):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.masks, second.masks)


def test_a_damaged_picture_is_one_sentence(packed, tmp_path):
    folder = Path(shutil.copytree(packed[1].parent, tmp_path / "pack"))
    pack = Pack(folder / "train.json")
    shard, mask = folder / "train-00001.arrow", pack.mask_bytes(7)
    assert mask is not None
    for picture, what in ((pack.image_bytes(7).tobytes(), "image"), (mask, "mask")):
        whole = shard.read_bytes()
        assert whole.count(picture) == 1
        damaged = tmp_path / "damaged"  # not in place: the file is mapped
        damaged.write_bytes(whole.replace(picture, bytes(len(picture))))
        damaged.replace(shard)
        sentence = (
            rf"train-00001\.arrow, row 1: the {what} is damaged; delete this shard, run `deca-data pack`"
        )
        table = open_table([folder / "train.json"])
        with pytest.raises(WorkFailed, match=sentence):
            table.read(7, 1)
        table.read(6, 1)
        damaged.write_bytes(whole)
        damaged.replace(shard)


def test_a_pack_without_a_face_is_refused(tmp_path):
    index = Index(format=FORMAT, size=256, scale=2, quality=9, split=None, manifest="", rows=0, shards=())
    with pytest.raises(UsageError, match=r"train\.json: the pack holds no face"):
        open_table([write_index(tmp_path, "train", index)])


@pytest.mark.parametrize("reduction", [1, 2, 4, 8])
def test_masks_are_reduced_as_opencv_reduces_them(packed, reduction):
    table = packed_table(Pack(packed[1]))
    _, whole = table.read(0, 1)
    image, mask = table.read(0, reduction)
    assert whole is not None
    assert mask is not None
    way = [cv2.IMREAD_GRAYSCALE, *(getattr(cv2, f"IMREAD_REDUCED_GRAYSCALE_{n}") for n in (2, 4, 8))]
    expected = cv2.imdecode(cv2.imencode(".png", whole)[1], way[reduction.bit_length() - 1])
    np.testing.assert_array_equal(mask, expected)
    assert mask.shape == image.shape[:2]


def test_packs_and_manifests_are_mixed(tmp_path):
    """Half of one dataset packed, the other half packed apart, and another dataset as photos."""
    whole = make_manifest(tmp_path / "a", (4, 4, 3), unmasked=(1,))
    table = pq.read_table(whole)
    for name, rows in (("even", slice(0, None, 2)), ("odd", slice(1, None, 2))):
        pq.write_table(table.take(np.arange(len(table))[rows]), whole.with_name(f"{name}.parquet"))
    halves = [whole.with_name("even.parquet"), whole.with_name("odd.parquet")]
    pack(halves, tmp_path / "packed", CropSettings(), shard_rows=3, quiet=True)
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
