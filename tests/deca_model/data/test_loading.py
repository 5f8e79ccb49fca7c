from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch

from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset, training_batches
from deca_model.data.manifest_faces import FaceTable
from deca_model.data.sampler import SubjectSampler
from manifests.errors import UsageError, WorkFailed
from manifests.images.crop import crop_pixels
from tests.deca_model.synthetic import ASTRONAUT, make_manifest


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("faces"), (4, 4, 3, 5, None))


@pytest.fixture
def dataset(manifest):
    return FaceDataset(open_table([manifest]), size=64)


def sampler_for(table, **more):
    wanted = {"subjects": 2, "images": 2, "seed": 5, **more}
    return SubjectSampler(table.subjects, table.datasets, **wanted)


def test_batches_hold_what_the_manifest_says(dataset):
    table = dataset.table
    assert len(table) == 17
    assert table.subjects.max() + 1 == 5
    draws = sampler_for(table).batch(0, 0)
    batch = dataset.load(draws)
    assert batch.images.shape == (4, 64, 64, 3)
    assert batch.images.dtype == torch.uint8
    assert batch.faces().is_contiguous(memory_format=torch.channels_last)
    assert float(batch.faces().max()) <= 1.0
    assert batch.sample_ids == tuple(table.sample_ids[int(r)].as_py() for r in draws.rows)
    assert batch.subjects.tolist() == table.subjects[draws.rows].tolist()
    assert batch.has_mask.all()
    # the mask went through the same cut as the image: it covers the landmarks' hull
    for mask, points in zip(batch.masks.numpy(), batch.landmarks.numpy(), strict=True):
        outline = cv2.convexHull(np.round(crop_pixels(points, 64)).astype(np.int32))
        hull = cv2.fillConvexPoly(np.zeros((64, 64), np.uint8), outline, (1,))
        both = ((mask > 127) & (hull > 0)).sum() / ((mask > 127) | (hull > 0)).sum()
        assert both > 0.92


def test_landmarks_of_a_batch_lie_on_the_same_face(dataset):
    # All photos show one portrait: warping each crop back by its landmarks gives the same picture.
    batch = dataset.load(sampler_for(dataset.table).batch(0, 1))
    aligned = []
    for image, points in zip(batch.images.numpy(), batch.landmarks.numpy(), strict=True):
        matrix, _ = cv2.estimateAffinePartial2D(crop_pixels(points, 64), (ASTRONAUT - [170, 80]) * 0.4)
        grey = cv2.cvtColor(cv2.warpAffine(image, matrix, (40, 40)), cv2.COLOR_RGB2GRAY).astype(float)
        aligned.append((grey - grey.mean()) / grey.std())
    for other in aligned[1:]:
        assert (aligned[0] * other).mean() > 0.9


def same(first, second):
    assert first.position == second.position
    assert first.sample_ids == second.sample_ids
    for name in ("images", "masks", "landmarks", "squares", "has_mask"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_the_same_batches_for_any_number_of_workers_and_after_a_resume(dataset):
    sampler = sampler_for(dataset.table)
    alone = list(itertools.islice(training_batches(dataset, sampler), 10))
    for first, second in zip(alone, training_batches(dataset, sampler, workers=2), strict=False):
        same(first, second)
    for first, second in zip(alone[6:], training_batches(dataset, sampler, start=6, workers=1), strict=False):
        same(first, second)


def test_two_processes_share_the_batch(dataset):
    sampler = sampler_for(dataset.table)
    whole = next(training_batches(dataset, sampler))
    halves = [next(training_batches(dataset, sampler, rank=rank, world=2)) for rank in range(2)]
    assert torch.equal(torch.cat([half.images for half in halves]), whole.images)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_stops_with_its_name(tmp_path, workers):
    path = make_manifest(tmp_path, (2, 2))
    broken = tmp_path / "astronauts/train01/01.jpg"
    broken.write_bytes(b"\xff\xd8 this is no picture")
    dataset = FaceDataset(open_table([path]), size=64)
    with pytest.raises(WorkFailed, match=r"train01/01\.jpg: it was kept but cannot be read.*--resume"):
        list(itertools.islice(training_batches(dataset, sampler_for(dataset.table), workers=workers), 3))


def test_a_replaced_image_of_another_size_stops_with_its_name(tmp_path):
    path = make_manifest(tmp_path, (2, 2))
    cv2.imwrite(str(tmp_path / "astronauts/train00/00.jpg"), np.zeros((100, 90, 3), np.uint8))
    dataset = FaceDataset(open_table([path]), size=64)
    with pytest.raises(WorkFailed, match=r"train00/00\.jpg: the image is 90 x 100 pixels"):
        list(itertools.islice(training_batches(dataset, sampler_for(dataset.table)), 3))


def test_a_missing_mask_is_absent_not_ones(tmp_path):
    dataset = FaceDataset(open_table([make_manifest(tmp_path, (2, 2), unmasked=(0, 1))]), size=64)
    batch = next(training_batches(dataset, sampler_for(dataset.table)))
    assert not batch.has_mask.any()
    assert batch.masks.max() == 0


def test_rows_that_are_not_ok_are_left_out(tmp_path):
    import pyarrow as pa

    from manifests.reading import open_manifest
    from manifests.writing import write_manifest

    path = make_manifest(tmp_path, (3, 3))
    opened = open_manifest(path)
    status = pa.array(["dropped", "ok", "ok", "failed", "ok", "ok"])
    table = opened.table.set_column(opened.table.column_names.index("status"), "status", status)
    write_manifest(table, path, roots=opened.roots)
    assert len(open_table([path])) == 4
    write_manifest(table.slice(0, 1), path, roots=opened.roots)
    with pytest.raises(UsageError, match="no row has status ok"):
        open_table([path])


def test_a_manifest_older_than_the_columns_of_bounds_is_trained_on(tmp_path):
    import pyarrow.parquet as pq

    from manifests.schema import BOUND_COLUMNS

    path = make_manifest(tmp_path, (3, 3))
    pq.write_table(pq.read_table(path).drop_columns(list(BOUND_COLUMNS)), path)
    dataset = FaceDataset(open_table([path]), size=64)
    assert len(next(training_batches(dataset, sampler_for(dataset.table))).images) > 0


def test_several_manifests_make_one_table(tmp_path):
    one = make_manifest(tmp_path / "a", (2, 3), dataset="first")
    two = make_manifest(tmp_path / "b", (4,), dataset="second")
    table = open_table([one, two])
    assert table.dataset_names == ("first", "second")
    assert table.subjects.max() + 1 == 3
    assert isinstance(table, FaceTable)
    assert table.image_path(8).is_file()
    assert table.shares({"first": 2.0, "second": 1.0}) == {0: 2.0, 1: 1.0}
    with pytest.raises(UsageError, match="secnd"):
        table.shares({"first": 1.0, "secnd": 1.0})
