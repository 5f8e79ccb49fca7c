"""Anchors, decoding and averaging of detections."""

from __future__ import annotations

import numpy as np
import pytest

from deca_data.backends.mediapipe.ssd import anchors, decoded, letterboxed


@pytest.mark.parametrize(("kind", "side", "count"), [("short", 128, 896), ("full", 192, 2304)])
def test_anchors_lie_in_the_middle_of_their_cells(kind, side, count):
    found = anchors(kind, side)
    assert found.shape == (count, 2)
    assert 0 < found.min() < found.max() < 1
    assert np.allclose(np.sort(found, 0) + np.sort(found, 0)[::-1], 1)  # symmetric
    if kind == "short":
        assert np.allclose(found[[0, 1, 2, 511]] * 128, [(4, 4), (4, 4), (12, 4), (124, 124)])
        assert np.allclose(found[[512, 517, 518, 895]] * 128, [(8, 8), (8, 8), (24, 8), (120, 120)])


def test_overlapping_detections_are_averaged_by_score_and_others_stay():
    raw, logits = np.zeros((4, 16), np.float32), np.array([2.0, 1.0, 0.5, -5.0], np.float32)
    raw[:, 2:4] = 40
    raw[1, 0] = 8  # 8 pixels to the right of the first
    raw[2, :2] = 60
    raw[3, :2] = -60
    raw[:, 4:] = np.arange(12)
    centres = np.full((4, 2), 0.5, np.float32)
    first, second = decoded(raw, logits, centres, 128, (64, 128))  # the last one has a low score
    shares = 1 / (1 + np.exp(-logits[:2].astype(float)))
    shift = 8 * shares[1] / shares.sum()
    assert first.score == pytest.approx(shares[0])
    # the square of 128 pixels begins 32 pixels above the image
    assert np.allclose(first.box, [44 + shift - 0.5, 44 - 32.5, 84 + shift - 0.5, 84 - 32.5], atol=1e-4)
    assert np.allclose(second.box, [104 - 0.5, 104 - 32.5, 144 - 0.5, 144 - 32.5], atol=1e-4)
    points = np.arange(12).reshape(6, 2) + 64 - (0.5, 32.5)
    assert np.allclose(first.points, points, atol=1e-4)
    assert first.roll == pytest.approx(np.pi / 4)


def test_a_box_without_area_ends_the_averaging():
    raw, logits = np.zeros((2, 16), np.float32), np.array([2.0, 1.0], np.float32)
    (only,) = decoded(raw, logits, np.full((2, 2), 0.5, np.float32), 128, (128, 128))
    assert only.score == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_the_image_lies_in_the_middle_of_a_black_square():
    image = np.full((60, 120, 3), 200, np.uint8)
    square = letterboxed(image, 64)
    assert square.shape == (64, 64, 3)
    assert (square[20:44] == 200).all()
    assert not square[:14].any()
    assert not square[50:].any()
