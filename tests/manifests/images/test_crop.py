"""The crop rule and square cutting: what lies where in a crop."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from manifests.images.crop import (
    Cut,
    Square,
    crop_pixels,
    cut_square,
    face_square,
    normalise_points,
    snap,
    snap_larger,
)
from manifests.images.kept import read_photo
from manifests.images.reduction import reduction_for_crop
from tests.deca_model.synthetic import ASTRONAUT

GREY = (118, 118, 118)


def test_the_official_crop_rule():
    square = face_square(ASTRONAUT, 1.5)
    np.testing.assert_allclose(square.center, [(179 + 270) / 2, (86 + 177) / 2])
    assert square.side == pytest.approx(1.5 * (91 + 91) / 2)


@pytest.mark.parametrize(("scale", "size"), [(1.4, 224), (1.8, 64), (1.6, 40)])
def test_dots_drawn_at_landmarks_are_found_where_the_crop_says(scale: float, size: int, tmp_path: Path):
    # Dots on a large picture, so that the decoding is reduced too; some lie outside the picture.
    points = ASTRONAUT * 7 - np.array([1000, 500], np.float32)
    image = np.zeros((800, 1000, 3), np.uint8)
    spots = [8, 27, 30, 36, 45, 48, 54]
    for x, y in points[spots]:
        cv2.circle(image, (round(float(x)), round(float(y))), 14, (255, 255, 255), -1)
    path = tmp_path / "dots.png"
    cv2.imwrite(str(path), image)
    wanted = face_square(points, scale)
    reduction = reduction_for_crop(float(wanted.side), size)
    assert reduction == {224: 2, 64: 8, 40: 8}[size]
    square, cut = snap(wanted, reduction)
    crop = cut_square(read_photo(path, (1000, 800), reduction), cut, size)
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


def test_snapping_moves_a_square_by_less_than_a_pixel_and_stays_exact():
    for left, multiple in itertools.product([10.2, -33.7, 0.49], [1, 2, 8]):
        square, (x, y, side) = snap(Square(np.array([left, 20.0]), np.array(100.3)), multiple)
        assert abs(square.center - [left, 20.0]).max() <= multiple
        assert square.side == side * multiple
        edge = square.center - square.side / 2 + 0.5
        np.testing.assert_allclose(edge, np.array([x, y]) * multiple)


def test_the_larger_whole_square_is_no_smaller_and_centred():
    for x, side in itertools.product(np.linspace(-3, 3, 25), [0.2, 99.9, 100.0, 100.1]):
        cut = snap_larger(Square(np.array([x, 40.0]), np.array(side)))
        assert cut.side == max(1, np.ceil(side))
        assert abs(cut.left + cut.side / 2 - 0.5 - x) <= 0.5


@pytest.mark.parametrize("cut", [Cut(7, 5, 40), Cut(-9, 3, 40), Cut(30, -12, 50), Cut(-20, -30, 160)])
def test_a_square_is_cut_as_it_is_and_filled_beyond_the_image(cut: Cut):
    image = np.random.default_rng(0).integers(0, 255, (60, 70, 3), dtype=np.uint8)
    around = cv2.copyMakeBorder(image, 200, 200, 200, 200, cv2.BORDER_CONSTANT, value=GREY)
    expected = around[200 + cut.top :, 200 + cut.left :][: cut.side, : cut.side]
    assert np.array_equal(cut_square(image, cut, cut.side, fill=GREY), expected)
    assert np.array_equal(cut_square(image, cut, cut.side, fill=GREY, resize_first=True), expected)
    black = np.where((expected == GREY).all(axis=2), 0, expected[..., 0])
    assert np.array_equal(cut_square(image[..., 0], cut, cut.side), black)
    half = cv2.resize(expected, (20, 20), interpolation=cv2.INTER_AREA)
    assert np.array_equal(cut_square(image, cut, 20, fill=GREY, interpolation=cv2.INTER_AREA), half)


def test_a_part_that_is_resized_first_has_its_edge_on_a_whole_pixel():
    image = np.full((50, 60, 3), 200, np.uint8)
    found = cut_square(image, Cut(-28, -25, 120), 24, fill=GREY, resize_first=True)
    expected = np.full((24, 24, 3), GREY, np.uint8)
    expected[5:15, 6:18] = 200
    assert np.array_equal(found, expected)
    blended = cut_square(image, Cut(-28, -25, 120), 24, fill=GREY, interpolation=cv2.INTER_AREA)
    assert set(np.unique(blended)) == {118, 151, 167, 200}  # 0.4 and 0.6 of a pixel


def test_a_square_beyond_every_border_is_filled():
    image = np.full((50, 60, 3), 200, np.uint8)
    for place in (Cut(100, 100, 40), Cut(-40, 0, 40), Cut(0, 50, 10**9)):
        assert np.array_equal(cut_square(image, place, 32, fill=GREY), np.full((32, 32, 3), GREY))
    crop = cut_square(image, Cut(-40, -35, 80), 32)
    assert crop[-5, -5].tolist() == [200] * 3
    assert crop[5, 5].tolist() == [0] * 3
