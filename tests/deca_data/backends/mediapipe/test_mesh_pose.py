"""The head's angles by the mesh, on the mean mesh turned by known angles and on photos."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.head_pose import cross_validated, load
from deca_data.backends.mediapipe.face_frame import arrays
from deca_data.backends.mediapipe.landmark_maps import MESH_MIRROR
from deca_data.backends.mediapipe.mesh_pose import TILT, head_angles, mesh_angles


def _turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The level mean mesh, turned by yaw, then pitch, then roll, in pixels."""
    y, p, r = np.radians([yaw, pitch - TILT, roll])
    turn = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    lean = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])

    def nod(angle: float) -> np.ndarray:
        return np.array([[1, 0, 0], [0, np.cos(angle), np.sin(angle)], [0, -np.sin(angle), np.cos(angle)]])

    level = nod(np.radians(TILT))
    return arrays()["mean_mesh"] @ (lean @ nod(p + np.radians(TILT)) @ turn @ level).T * 80 + (300, 200, 0)


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (35, 0, 0), (0, 20, 0), (0, 0, -40), (50, -15, 15), (-60, 5, 30)]
)
def test_known_angles_come_back(angles):
    assert np.allclose(mesh_angles(_turned(*angles)), angles, atol=0.1)


def test_the_curve_is_odd_rises_and_ends():
    yaws = [head_angles(_turned(yaw, 0, 0)).yaw for yaw in (-80, -57, -45, 0, 20, 45, 57, 67, 80)]
    assert yaws == sorted(yaws)
    assert yaws[0] == pytest.approx(-yaws[-1])
    assert yaws[5] == pytest.approx(63, abs=2)
    assert yaws[7] == pytest.approx(yaws[8])
    assert 85 < yaws[8] < 95


def test_a_mirrored_mesh_has_mirrored_angles():
    mesh = _turned(40, 10, 20)
    assert np.allclose(
        head_angles(mesh[MESH_MIRROR] * (-1, 1, 1)), np.array(head_angles(mesh)) * (-1, 1, -1), atol=1e-3
    )


@pytest.mark.slow
def test_photos_of_heads_at_known_angles(faces):
    photos = load(faces / "parsing_angles")
    nominal = np.array([photo.angle for photo in photos])
    found = np.array([head_angles(photo.mesh) for photo in photos])
    for angle, most in ((0, 2), (15, 2), (30, 3), (45, 5), (60, 5), (75, 8), (90, 9)):
        here = np.abs(nominal) == angle
        towards = np.where(nominal[here] < 0, -1, 1)
        assert np.mean(found[here, 0] * towards) == pytest.approx(angle, abs=most)
        assert np.mean(found[here, 2]) == pytest.approx(0, abs=3)
    assert np.mean(found[nominal == 0, 1]) == pytest.approx(0, abs=1)
    others = cross_validated(photos)
    assert np.mean(np.abs(others[:, 0] - nominal)) < 7.5
    openness = np.array([photo.openness for photo in photos])
    assert np.mean(openness[np.abs(nominal) == 90]) < np.mean(openness[nominal == 0]) + 0.02
