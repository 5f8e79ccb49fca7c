"""The quality scores of photos that were changed in a known way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from deca_data.backends import load_backend
from deca_data.face_scores import eye_openness, measure_pixels, mouth_openness, square_of
from deca_data.sample import Sample
from deca_data.stage import NoSettings
from deca_data.stages.landmarks import POSE
from deca_data.stages.quality import QualityStage

BOX = np.array([177.0, 82.0, 272.0, 178.0])


@pytest.fixture(scope="module")
def landmarks(astronaut) -> np.ndarray:
    (result,) = load_backend("landmarker", "mediapipe").landmarks([astronaut], [BOX])
    return result.points


def _row(image: np.ndarray, landmarks: np.ndarray, tmp_path, **options) -> dict:
    sample = Sample(image, {"landmarks": landmarks}, **options)
    QualityStage(NoSettings()).run([sample], tmp_path)
    assert sample.ok
    return sample.row


def test_columns(astronaut, landmarks, tmp_path):
    row = _row(astronaut, landmarks, tmp_path)
    assert set(QualityStage.writes) <= set(row)
    assert 80 < row["face_size"] < 95
    assert abs(row["yaw"]) < 15
    assert abs(row["roll"]) < 8
    assert 0.5 < row["brightness"] < 0.8
    assert row["clipping"] < 0.02
    assert 0.2 < row["eye_openness"] < 0.4
    assert 0.1 < row["mouth_openness"] < 0.4
    assert len(row["phash"]) == 16


def test_flat_landmarks_as_read_from_a_file_give_the_same(astronaut, landmarks, tmp_path):
    assert (
        _row(astronaut, landmarks, tmp_path)["phash"]
        == _row(astronaut, landmarks.reshape(-1).tolist(), tmp_path)["phash"]
    )


def test_blur_lowers_sharpness_and_nothing_else(astronaut, landmarks):
    sharp = measure_pixels(astronaut, landmarks)
    blurred = measure_pixels(cv2.GaussianBlur(astronaut, (0, 0), 3), landmarks)
    assert blurred.sharpness is not None
    assert sharp.sharpness is not None
    assert blurred.sharpness < sharp.sharpness / 4
    assert blurred.brightness == pytest.approx(sharp.brightness, abs=0.02)


@pytest.mark.parametrize("times", [1.3, 1.9, 2.6, 4, 7.5])
def test_sharpness_does_not_depend_on_the_photo_s_size(astronaut, landmarks, times):
    large = cv2.resize(astronaut, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    moved = (landmarks + 0.5) * np.float32(large.shape[0] / astronaut.shape[0]) - 0.5
    one, many = measure_pixels(astronaut, landmarks), measure_pixels(large, moved)
    assert many.sharpness == pytest.approx(one.sharpness, rel=0.25)
    assert many.brightness == pytest.approx(one.brightness, abs=0.01)
    difference = cv2.absdiff(square_of(astronaut, landmarks, 64)[0], square_of(large, moved, 64)[0])
    assert difference.mean() < 3  # fine texture; a shift by half a pixel gives more than 4


def test_sharpness_does_not_depend_on_where_the_pixels_lie(astronaut, landmarks):
    large = cv2.resize(astronaut, None, fx=1.6, fy=1.6, interpolation=cv2.INTER_CUBIC)
    moved = (landmarks + 0.5) * np.float32(large.shape[0] / astronaut.shape[0]) - 0.5
    places = (moved + np.float32(by) for by in (0, 0.25, 0.5, 0.75))
    found = np.array([measure_pixels(large, place).sharpness for place in places], dtype=float)
    assert found.max() < 1.1 * found.min()


def test_brightness_and_clipping_count_the_face_only(astronaut, landmarks):
    hull = cv2.fillConvexPoly(
        np.zeros((512, 512), np.uint8), cv2.convexHull(np.round(landmarks).astype(np.int32)), (255,)
    )
    around = np.where(hull[..., None] > 0, astronaut, 0).astype(np.uint8)
    assert measure_pixels(around, landmarks).brightness == pytest.approx(
        measure_pixels(astronaut, landmarks).brightness, abs=0.02
    )
    assert measure_pixels(around, landmarks).clipping == pytest.approx(0, abs=0.05)
    assert measure_pixels(np.full_like(astronaut, 255), landmarks) == (0.0, 1.0, 1.0)
    half = np.where(np.arange(512)[None, :, None] < landmarks[:, 0].mean(), 0, 128).astype(np.uint8)
    assert measure_pixels(np.repeat(np.repeat(half, 512, 0), 3, 2), landmarks).clipping == pytest.approx(
        0.5, abs=0.1
    )


def test_a_face_that_reaches_over_the_edge_or_lies_outside(astronaut, landmarks):
    cut = np.ascontiguousarray(astronaut[100:, 200:])
    scores = measure_pixels(cut, landmarks - (200, 100))
    assert scores.brightness == pytest.approx(measure_pixels(astronaut, landmarks).brightness, abs=0.1)
    assert measure_pixels(astronaut, landmarks + 2000) == (None, None, None)


def test_openness():
    points = np.zeros((68, 2), np.float32)
    points[[36, 39, 42, 45]] = [(0, 0), (10, 0), (20, 0), (30, 0)]
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        points[upper], points[lower] = (0, -1.5), (0, 1.5)
    points[[48, 54]] = [(0, 50), (40, 50)]
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        points[upper], points[lower] = (0, 45), (0, 55)
    assert eye_openness(points) == pytest.approx(0.3)
    assert mouth_openness(points) == pytest.approx(0.25)
    assert eye_openness(np.zeros((68, 2))) is None
    assert mouth_openness(np.zeros((68, 2))) is None


def test_the_hash_is_close_for_copies_and_far_for_others(astronaut, hopper, landmarks, tmp_path):
    def bits(row: dict) -> int:
        return int(row["phash"], 16)

    original = _row(astronaut, landmarks, tmp_path)
    small = cv2.resize(astronaut, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    _, packed = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 60])
    copy = _row(cv2.imdecode(packed, cv2.IMREAD_COLOR), (landmarks + 0.5) * 0.7 - 0.5, tmp_path)
    assert (bits(original) ^ bits(copy)).bit_count() <= 4
    (other,) = load_backend("landmarker", "mediapipe").landmarks([hopper], [np.array([169, 145, 366, 341])])
    assert (bits(original) ^ bits(_row(hopper, other.points, tmp_path))).bit_count() > 16
    far = [
        np.frombuffer(row["long_hashes"], np.uint8)
        for row in (original, _row(hopper, other.points, tmp_path))
    ]
    near = np.frombuffer(copy["long_hashes"], np.uint8)
    for part in (slice(0, 32), slice(32, 64)):
        assert np.unpackbits(far[0][part] ^ near[part]).sum() <= 20
        assert np.unpackbits(far[0][part] ^ far[1][part]).sum() > 80
    assert len(original["picture_hash"]) == 8


def test_the_near_eye_counts_on_a_turned_head(landmarks):
    narrow = landmarks.copy()
    narrow[42:48, 0] = narrow[42, 0] + (narrow[42:48, 0] - narrow[42, 0]) * 0.2  # foreshortened
    near = eye_openness(landmarks, 60.0)
    assert near is not None
    assert eye_openness(narrow, 60.0) == pytest.approx(near)
    left, slightly, half, none = (eye_openness(narrow, yaw) or 0.0 for yaw in (-60.0, 10.0, 22.0, 0.0))
    assert left > 2 * near
    assert slightly == none
    assert near < half < none


def test_the_angles_of_the_mesh_come_before_those_of_the_points(astronaut, landmarks, tmp_path):
    sample = Sample(astronaut, {"landmarks": landmarks, POSE: [61.0, -4.0, 2.0]})
    QualityStage(NoSettings()).run([sample], tmp_path)
    assert (sample.row["yaw"], sample.row["pitch"], sample.row["roll"]) == (61.0, -4.0, 2.0)
    assert abs(_row(astronaut, landmarks, tmp_path)["yaw"]) < 15
