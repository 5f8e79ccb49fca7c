from __future__ import annotations

import io
import itertools

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from deca_model.data.augment import augment, blurred, compressed, noisy, sharpened
from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset, training_batches
from deca_model.data.sampler import SubjectSampler
from deca_model.settings.batches import AugmentSettings
from deca_model.training.validation import HeldOut
from manifests.images.crop import crop_pixels
from tests.deca_model.synthetic import ASTRONAUT, make_manifest

SIZE = 96
EMOCA = AugmentSettings(
    scale=(0.9, 1.1), rotation=10, translation=0.05, jpeg=(12, 51), noise=10, blur=1.5, sharpen=0.5
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return open_table([make_manifest(tmp_path_factory.mktemp("faces"), (4, 4, 3, 5), unmasked=(2,))])


@pytest.fixture
def face(table):
    """A real crop with its mask and landmarks, as the loader makes it."""
    batch = FaceDataset(table, SIZE).load(sampler_for(table).batch(0, 0))
    return batch.images[0].numpy(), batch.masks[0].numpy(), batch.landmarks[0].numpy()


def sampler_for(table):
    return SubjectSampler(table.subjects, table.datasets, subjects=2, images=2, seed=5)


def affine_of(before, after):
    """The affine map (2, 3) that takes the points from one place to the other."""
    known = np.column_stack([before, np.ones(len(before))])
    return np.linalg.lstsq(known, after, rcond=None)[0].T


def test_the_defaults_change_nothing(face):
    for before, after in zip(face, augment(*face, settings=AugmentSettings(), seed=3), strict=True):
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("size", [64, 97])
def test_photo_mask_and_landmarks_move_together_about_the_centre(face, size):
    image, mask = (cv2.resize(picture, (size, size)) for picture in face[:2])
    grown = AugmentSettings(scale=(1.25, 1.25))
    moved, moved_mask, landmarks = augment(image, mask, face[2], grown, seed=0)
    np.testing.assert_allclose(landmarks, face[2] * 1.25, rtol=1e-6)
    expected = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), 0, 1.25)
    np.testing.assert_array_equal(moved, cv2.warpAffine(image, expected, (size, size)))
    np.testing.assert_array_equal(moved_mask, cv2.warpAffine(mask, expected, (size, size)))


def test_a_pixel_goes_where_its_landmark_goes(face):
    geometry = AugmentSettings(scale=(0.9, 1.1), rotation=10, translation=0.05)
    for seed in range(20):
        dot = np.zeros((SIZE, SIZE, 3), np.uint8)
        cv2.circle(dot, (60, 40), 3, (255, 255, 255), -1)
        place = ((2 * np.array([[60.0, 40.0]]) + 1) / SIZE - 1).astype(np.float32)
        moved, _, points = augment(dot, face[1], place, geometry, seed)
        rows, columns = np.nonzero(moved[..., 0] > 127)
        np.testing.assert_allclose(crop_pixels(points[0], SIZE), [columns.mean(), rows.mean()], atol=0.3)


def test_the_draws_fill_emocas_ranges(face):
    geometry = AugmentSettings(scale=(0.9, 1.1), rotation=10, translation=0.05)
    image, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8)
    maps = np.stack(
        [affine_of(face[2], augment(image, mask, face[2], geometry, seed)[2]) for seed in range(2000)]
    )
    scales = np.sqrt(np.linalg.det(maps[:, :, :2]))
    angles = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    shifts = maps[:, :, 2] / 2  # in crop sides
    np.testing.assert_allclose(shifts[:, 0], shifts[:, 1], atol=1e-6)
    for drawn, low, high in ((scales, 0.9, 1.1), (angles, -10, 10), (shifts[:, 0], -0.05, 0.05)):
        width = high - low
        assert low - 1e-5 <= drawn.min() < low + width / 200
        assert high - width / 200 < drawn.max() <= high + 1e-5
        assert abs(drawn.mean() - (low + high) / 2) < width / 40


def test_each_change_of_the_colours_is_as_likely_as_none(face):
    colours = AugmentSettings(jpeg=(12, 51), noise=10, blur=1.5, sharpen=0.5)
    image, mask, landmarks = face
    counts = dict.fromkeys(("none", "jpeg", "noise", "other"), 0)
    qualities = {compressed(image, quality).tobytes(): quality for quality in range(12, 52)}
    for seed in range(1000):
        changed, same_mask, same_landmarks = augment(image, mask, landmarks, colours, seed)
        assert same_mask is mask
        assert same_landmarks is landmarks
        if np.array_equal(changed, image):
            counts["none"] += 1
        elif changed.tobytes() in qualities:
            counts["jpeg"] += 1
        else:
            free = (image > 60).all(axis=2) & (image < 195).all(axis=2)  # where noise does not saturate
            difference = (changed.astype(int) - image)[free]
            counts["noise" if (np.ptp(difference, axis=1) == 0).all() else "other"] += 1
    assert 160 < counts["none"] < 320  # a very weak blur changes no pixel
    assert 160 < counts["jpeg"] < 240
    assert 160 < counts["noise"] < 240
    assert 280 < counts["other"] < 440
    assert sum(counts.values()) == 1000


@pytest.mark.parametrize("quality", [12, 51])
def test_the_jpeg_quality_is_that_of_pillow(face, quality):
    stream = io.BytesIO()
    Image.fromarray(face[0]).save(stream, "jpeg", quality=quality)
    expected = np.asarray(Image.open(stream))
    difference = np.abs(compressed(face[0], quality).astype(int) - expected)
    assert difference.mean() < 0.5
    assert np.abs(compressed(face[0], 30).astype(int) - expected).mean() > 4 * difference.mean()


def test_noise_is_gaussian_and_grey():
    flat = np.full((200, 200, 3), 128, np.uint8)
    noise = noisy(flat, 10.0, np.random.default_rng(0)).astype(int) - 128
    assert (np.ptp(noise, axis=2) == 0).all()
    assert noise.std() == pytest.approx(10, rel=0.02)
    assert abs(noise.mean()) < 0.2
    dark = noisy(np.zeros((50, 50, 3), np.uint8), 10.0, np.random.default_rng(0))
    assert dark.max() < 60  # nothing wraps round


def test_blur_and_sharpening_of_a_dot():
    dot = np.full((9, 9, 3), 100, np.uint8)
    dot[4, 4] = 120
    weights = np.exp(-(np.arange(-2, 3) ** 2) / (2 * 1.5**2))
    weights /= weights.sum()  # imgaug cuts the kernel to 5 x 5
    expected = 100 + 20 * np.outer(weights, weights)
    np.testing.assert_allclose(blurred(dot, 1.5)[2:7, 2:7, 0], expected, atol=0.6)
    np.testing.assert_array_equal(blurred(dot, 0.0), dot)
    sharp = sharpened(dot, 0.5).astype(int)
    assert sharp[4, 4].tolist() == [200] * 3  # 100 + 20 x (1 + 8 x 0.5)
    assert sharp[3, 3].tolist() == [90] * 3  # 100 - 20 x 0.5
    assert sharp[0, 0].tolist() == [100] * 3


def test_landmarks_of_an_augmented_batch_lie_on_the_same_face(table):
    dataset = FaceDataset(table, SIZE, EMOCA)
    aligned = []
    for batch in itertools.islice(training_batches(dataset, sampler_for(table)), 4):
        for image, points in zip(batch.images.numpy(), batch.landmarks.numpy(), strict=True):
            matrix, _ = cv2.estimateAffinePartial2D(crop_pixels(points, SIZE), (ASTRONAUT - [170, 80]) * 0.4)
            grey = cv2.cvtColor(cv2.warpAffine(image, matrix, (40, 40)), cv2.COLOR_RGB2GRAY).astype(float)
            aligned.append((grey - grey.mean()) / grey.std())
        for mask, points in zip(
            batch.masks[batch.has_mask].numpy(), batch.landmarks[batch.has_mask].numpy(), strict=True
        ):
            outline = cv2.convexHull(np.round(crop_pixels(points, SIZE)).astype(np.int32))
            hull = cv2.fillConvexPoly(np.zeros((SIZE, SIZE), np.uint8), outline, (1,))
            both = ((mask > 127) & (hull > 0)).sum() / ((mask > 127) | (hull > 0)).sum()
            assert both > 0.92
        assert not batch.masks[~batch.has_mask].any()
    for other in aligned[1:]:
        assert (aligned[0] * other).mean() > 0.85


def same(first, second):
    assert first.sample_ids == second.sample_ids
    return all(
        torch.equal(getattr(first, name), getattr(second, name))
        for name in ("images", "masks", "landmarks", "squares", "has_mask")
    )


def test_the_same_augmented_batches_for_any_number_of_workers_and_after_a_resume(table):
    sampler, dataset = sampler_for(table), FaceDataset(table, SIZE, EMOCA)
    alone = list(itertools.islice(training_batches(dataset, sampler), 8))
    for first, second in zip(alone, training_batches(dataset, sampler, workers=2), strict=False):
        assert same(first, second)
    for first, second in zip(alone[5:], training_batches(dataset, sampler, start=5, workers=1), strict=False):
        assert same(first, second)
    halves = [next(training_batches(dataset, sampler, rank=rank, world=2)) for rank in range(2)]
    assert torch.equal(torch.cat([half.images for half in halves]), alone[0].images)
    plain = next(training_batches(FaceDataset(table, SIZE), sampler))
    assert not same(plain, alone[0])
    assert torch.equal(plain.squares, alone[0].squares)  # the crops are drawn alike


def test_held_out_faces_are_not_augmented(table):
    held_out = HeldOut(table, SIZE, 8)
    plain = list(held_out.batches())
    held_out.dataset = FaceDataset(table, SIZE, EMOCA)
    for first, second in zip(plain, held_out.batches(), strict=True):
        assert same(first, second)
