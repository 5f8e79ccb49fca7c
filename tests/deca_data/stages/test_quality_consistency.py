"""Scores of a face photo: head_pose, quality and consistency."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from deca_data.backends.protocols import LandmarkResult
from deca_data.head_pose import _RIGID, eye_openness, head_angles, mouth_openness
from deca_data.sample import Sample
from deca_data.stages.consistency import ConsistencySettings, ConsistencyStage, shift_error
from deca_data.stages.quality import QualitySettings, QualityStage, face_hash, face_size, light


def posed(yaw: float, pitch: float, roll: float, scale: float = 1.5) -> np.ndarray:
    """Landmarks of a head turned by the three angles, written out as rotations one after the other."""
    a, b, c = np.radians([yaw, -pitch, -roll])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    points = np.zeros((68, 3))
    for index, point in _RIGID.items():
        points[index] = point
    turned = points @ (about_z @ about_x @ about_y).T * scale
    return np.stack([turned[:, 0] + 300, 200 - turned[:, 1]], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (40, 0, 0), (-70, 0, 0), (0, 25, 0), (0, 0, -30), (30, -20, 15)]
)
def test_angles_of_a_turned_head_are_recovered(angles: tuple[float, float, float]):
    np.testing.assert_allclose(head_angles(posed(*angles)), angles, atol=0.05)


def test_signs_of_the_angles_are_those_of_the_picture():
    nose, brow = 30, slice(17, 27)
    right = posed(30, 0, 0)
    assert right[nose, 0] > right[[36, 45], 0].mean()
    up = posed(0, 25, 0)
    assert up[nose, 1] - up[27, 1] < posed(0, 0, 0)[nose, 1] - posed(0, 0, 0)[27, 1]
    clockwise = posed(0, 0, 20)
    assert clockwise[36, 1] < clockwise[45, 1]
    assert clockwise[brow, 0].sum() != 0


def test_openness_by_hand():
    points = np.zeros((68, 2), np.float32)
    points[36:42] = [[0, 0], [3, -1.5], [7, -1.5], [10, 0], [7, 1.5], [3, 1.5]]
    points[42:48] = points[36:42] * 0.5 + 20
    assert eye_openness(points) == pytest.approx(0.3)
    points[[48, 54]] = [[0, 40], [20, 40]]
    points[[61, 62, 63, 67, 66, 65]] = [[5, 38], [10, 37], [15, 38], [5, 42], [10, 43], [15, 42]]
    assert mouth_openness(points) == pytest.approx((4 + 6 + 4) / 3 / 20)


LANDMARKS = np.stack([np.linspace(180, 270, 68), 70 + 90 * np.abs(np.sin(np.arange(68)))], axis=1).astype(
    np.float32
)


def test_light_follows_what_is_done_to_the_photo():
    photo = data.astronaut()
    plain = light(photo, LANDMARKS)
    blurred = light(cv2.GaussianBlur(photo, (0, 0), 2), LANDMARKS)
    dark = light((photo * 0.4).astype(np.uint8), LANDMARKS)
    burnt = light(np.clip(photo.astype(int) * 3, 0, 255).astype(np.uint8), LANDMARKS)
    assert blurred["sharpness"] < 0.3 * plain["sharpness"]
    assert dark["brightness"] == pytest.approx(0.4 * plain["brightness"], abs=0.01)
    assert burnt["clipping"] > 0.3 > plain["clipping"]


def test_sharpness_hardly_depends_on_the_size_of_the_photo():
    photo = data.astronaut()
    double = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    small, large = light(photo, LANDMARKS), light(double, (LANDMARKS + 0.5) * 2 - 0.5)
    assert large["sharpness"] == pytest.approx(small["sharpness"], rel=0.5)
    assert face_size(LANDMARKS * 2) == pytest.approx(2 * face_size(LANDMARKS))


def test_hash_is_close_for_a_recompressed_photo_and_far_for_another():
    photo = data.astronaut()
    _, packed = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 50])
    again = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    hashes = [face_hash(image, LANDMARKS) for image in (photo, again, photo[::-1].copy())]
    bits = [bin(int(hashes[0], 16) ^ int(each, 16)).count("1") for each in hashes]
    assert len(hashes[0]) == 16
    assert bits[1] <= 4
    assert bits[2] > 12


@pytest.mark.parametrize("offset", [(-250, -60), (330, 300)])
def test_faces_at_the_border_have_scores(offset: tuple[int, int]):
    sample = Sample(data.astronaut(), {"landmarks": LANDMARKS + offset, "content_hash": "x"})
    QualityStage(QualitySettings()).run([sample], Path("."))
    assert all(
        np.isfinite(sample.row[name]) for name in QualityStage.writes if name not in ("content_hash", "phash")
    )


class Moving:
    """A landmarker whose points follow the box by a given share."""

    name = "moving"

    def __init__(self, share: float):
        self.share = share

    def fingerprint(self) -> dict[str, str]:
        return {}

    def landmarks(self, images, boxes):
        base = np.zeros((68, 2), np.float32)
        return [LandmarkResult((base + self.share * box[:2]).astype(np.float32), 1.0) for box in boxes]


def test_shift_error_is_the_move_of_the_landmarks_in_box_sides():
    box = np.array([100.0, 50, 300, 250])
    for share, expected in ((0.0, 0.0), (1.0, 0.05 * 2**0.5)):
        backend = Moving(share)
        first = backend.landmarks([None], [box])[0].points
        sample = Sample(np.zeros((8, 8, 3), np.uint8), {"box": box.tolist(), "landmarks": first})
        ConsistencyStage(ConsistencySettings(), backend).run([sample], Path("."))
        assert sample.row["landmark_shift_error"] == pytest.approx(expected, abs=1e-6)


def test_shift_error_takes_the_worst_landmark():
    first = np.zeros((68, 2))
    second = first.copy()
    second[17] = [30, 40]
    assert shift_error(first, second, 200.0) == pytest.approx(0.25)
