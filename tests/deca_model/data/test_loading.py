from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from deca_model.data.crop import Square, crop_pixels, face_square, normalise_points, snap
from deca_model.data.decoding import UnreadableImage, read_image, reduction_for
from deca_model.data.faces import open_table
from deca_model.data.loading import (
    FaceDataset,
    cut_face,
    training_batches,
)
from deca_model.data.manifest_faces import FaceTable
from deca_model.data.sampler import SubjectSampler
from manifests.errors import UsageError
from tests.deca_model.synthetic import ASTRONAUT, make_manifest


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("faces"), (4, 4, 3, 5, None))


@pytest.fixture
def dataset(manifest):
    return FaceDataset(open_table([manifest]), size=64)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("reduction", [2, 8])
@pytest.mark.parametrize("known", [1, 0])  # a manifest may lack the size; it is 0 then
def test_a_photo_that_exif_turns_is_reduced_from_its_first_pixel_on(turn, reduction, known, tmp_path):
    noise = np.random.default_rng(turn).integers(0, 255, (403, 501, 3), dtype=np.uint8)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 12), np.empty(0), 0, 255, cv2.NORM_MINMAX)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = turn
    Image.fromarray(smooth).save(tmp_path / "photo.jpg", quality=98, subsampling=0, exif=exif)
    upright = read_image(tmp_path / "photo.jpg", 1)
    height, width = upright.shape[:2]
    small = read_image(tmp_path / "photo.jpg", reduction, known * np.array([width, height]))
    rows, columns = height // reduction, width // reduction
    whole = upright[: rows * reduction, : columns * reduction].astype(float)
    means = whole.reshape(rows, reduction, columns, reduction, 3).mean(axis=(1, 3))
    assert np.abs(small[:rows, :columns] - means).max() < 4  # a shift by half a pixel of 8 gives 10


def sampler_for(table, **more):
    wanted = {"subjects": 2, "images": 2, "seed": 5, **more}
    return SubjectSampler(table.subjects, table.datasets, **wanted)


def test_the_official_crop_rule():
    square = face_square(ASTRONAUT, 1.5)
    np.testing.assert_allclose(square.center, [(179 + 270) / 2, (86 + 177) / 2])
    assert square.side == pytest.approx(1.5 * (91 + 91) / 2)


@pytest.mark.parametrize(("scale", "size"), [(1.4, 224), (1.8, 64), (1.6, 40)])
def test_dots_drawn_at_landmarks_are_found_where_the_crop_says(scale, size, tmp_path):
    # Dots on a large picture, so that the decoding is reduced too; some lie outside the picture.
    points = ASTRONAUT * 7 - np.array([1000, 500], np.float32)
    image = np.zeros((800, 1000, 3), np.uint8)
    spots = [8, 27, 30, 36, 45, 48, 54]
    for x, y in points[spots]:
        cv2.circle(image, (round(float(x)), round(float(y))), 14, (255, 255, 255), -1)
    path = tmp_path / "dots.png"
    cv2.imwrite(str(path), image)
    wanted = face_square(points, scale)
    reduction = reduction_for(float(wanted.side), size)
    assert reduction == {224: 2, 64: 8, 40: 8}[size]
    square, cut = snap(wanted, reduction)
    crop = np.empty((size, size, 3), np.uint8)
    cut_face(read_image(path, reduction), cut, crop)
    pixels = crop_pixels(normalise_points(points, square), size)
    for spot in spots:
        x, y = pixels[spot]
        ys, xs = np.mgrid[:size, :size]
        near = (np.hypot(xs - x, ys - y) < size / 9) * crop[..., 0].astype(float)
        if not (0 < points[spot, 0] < 999 and 0 < points[spot, 1] < 799):
            assert near.sum() == 0
            continue
        found = np.array([(xs * near).sum(), (ys * near).sum()]) / near.sum()
        np.testing.assert_allclose(found, (x, y), atol=0.4)


def test_a_square_beyond_every_border_is_black():
    crop = np.full((32, 32, 3), 7, np.uint8)
    cut_face(np.full((50, 60, 3), 200, np.uint8), (100, 100, 40), crop)
    assert crop.max() == 0
    cut_face(np.full((50, 60, 3), 200, np.uint8), (-40, -35, 80), crop)
    assert crop[-5, -5].tolist() == [200] * 3
    assert crop[5, 5].tolist() == [0] * 3


def test_snapping_moves_a_square_by_less_than_a_pixel_and_stays_exact():
    for left, multiple in itertools.product([10.2, -33.7, 0.49], [1, 2, 8]):
        square, (x, y, side) = snap(Square(np.array([left, 20.0]), np.array(100.3)), multiple)
        assert abs(square.center - [left, 20.0]).max() <= multiple
        assert square.side == side * multiple
        edge = square.center - square.side / 2 + 0.5
        np.testing.assert_allclose(edge, np.array([x, y]) * multiple)


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
    with pytest.raises(UnreadableImage, match=r"train01/01\.jpg: the image cannot be decoded"):
        list(itertools.islice(training_batches(dataset, sampler_for(dataset.table), workers=workers), 3))


def test_a_replaced_image_of_another_size_stops_with_its_name(tmp_path):
    path = make_manifest(tmp_path, (2, 2))
    cv2.imwrite(str(tmp_path / "astronauts/train00/00.jpg"), np.zeros((100, 90, 3), np.uint8))
    dataset = FaceDataset(open_table([path]), size=64)
    with pytest.raises(UnreadableImage, match=r"train00/00\.jpg: the image is 90 x 100 pixels"):
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
