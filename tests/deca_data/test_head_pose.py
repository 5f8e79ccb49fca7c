"""The angles of the head, on the mean face turned by known angles."""

from __future__ import annotations

import numpy as np
import pytest

from deca_data.head_pose import MEAN_FACE, head_fit, head_pose
from manifests.landmarks import MIRROR


def _turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Landmarks of the mean face, nose towards -z, seen from there; y down."""
    y, p, r = np.radians([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    lean = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    points = np.zeros((68, 3))
    points[MEAN_FACE[:, 0].astype(int)] = MEAN_FACE[:, 1:]
    return ((points @ (lean @ nod @ turn).T)[:, :2] * 90 + 200).astype(np.float32)


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (35, 0, 0), (0, 25, 0), (0, 0, -40), (50, -20, 15), (-80, 10, 30), (10, 0, 120)]
)
def test_known_angles_come_back(angles):
    found = head_pose(_turned(*angles))
    assert found is not None
    assert np.allclose(found, angles, atol=0.1)


def test_signs_are_those_of_the_manifest():
    right = _turned(30, 0, 0)
    assert right[30, 0] > right[[36, 45], 0].mean()  # the nose is to the image's right of the eyes
    up = _turned(0, 30, 0)
    assert up[30, 1] < _turned(0, 0, 0)[30, 1]
    clockwise = _turned(0, 0, 30)
    assert clockwise[45, 1] > clockwise[36, 1]  # the eye on the image's right is lower


def test_a_mirrored_face_has_mirrored_angles():
    points = _turned(40, 10, 20)
    points = points[MIRROR] * (-1, 1)
    found = head_pose(points)
    assert found is not None
    assert np.allclose(found, (-40, 10, -20), atol=0.1)


def test_points_on_a_line_have_no_pose():
    assert head_pose(np.linspace((0, 0), (10, 10), 68)) is None
    assert head_pose(np.ones((68, 2))) is None


def test_any_point_of_the_mean_face_finds_its_place():
    points = _turned(50, -20, 15)
    found = head_fit(points)
    assert found is not None
    assert found.scale == pytest.approx(90, rel=1e-3)
    for index, x, y, z in MEAN_FACE:
        assert np.allclose(found.place((x, y, z)), points[int(index)], atol=0.2)
