"""The fitted map from the mesh to the 68 landmarks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fit_landmark_map import error_of, load, mean_mesh, sides, solve
from deca_data.backends.mediapipe.face_frame import arrays, face_frame
from deca_data.backends.mediapipe.landmark_maps import MESH_MIRROR, mesh_to_ibug
from deca_data.backends.mediapipe.landmarks import ibug_landmarks
from manifests.landmarks import MIRROR


@pytest.fixture(scope="module")
def mesh() -> np.ndarray:
    """A face that is not symmetric, turned by 25 degrees, in pixels."""
    shape = arrays()["mean_mesh"] + np.random.default_rng(0).normal(0, 0.01, (478, 3))
    cos, sin = np.cos(np.radians(25)), np.sin(np.radians(25))
    return shape @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]) * 90 + (200, 150, 0)


def test_the_mean_mesh_is_symmetric():
    mean = arrays()["mean_mesh"]
    assert np.allclose(mean[MESH_MIRROR] * (-1, 1, 1), mean, atol=1e-6)
    assert np.linalg.norm(mean[263] - mean[33]) == pytest.approx(1, abs=1e-6)


def test_a_mirrored_mesh_has_mirrored_landmarks(mesh):
    mirrored = mesh[MESH_MIRROR] * (-1, 1, 1)
    assert np.allclose(ibug_landmarks(mirrored)[MIRROR] * (-1, 1), ibug_landmarks(mesh), atol=0.05)


def test_landmarks_turn_move_and_grow_with_the_mesh(mesh):
    turn = np.array([[np.cos(0.7), -np.sin(0.7), 0], [np.sin(0.7), np.cos(0.7), 0], [0, 0, 1]])
    moved = ibug_landmarks(mesh @ turn.T * 2.5 + (30, -40, 7))
    assert np.allclose(moved, ibug_landmarks(mesh) @ turn[:2, :2].T * 2.5 + (30, -40), atol=1e-3)


def test_the_frame_of_a_turned_mesh(mesh):
    frame = face_frame(mesh)
    assert frame.scale == pytest.approx(90, rel=0.01)
    assert abs(frame.yaw) == pytest.approx(25, abs=1)
    rebuilt = (frame.shape + arrays()["mean_mesh"]) @ frame.rotation.T * frame.scale + frame.centre
    assert np.allclose(rebuilt, mesh)


def test_beyond_55_degrees_only_the_offset_counts():
    cos, sin = np.cos(np.radians(70)), np.sin(np.radians(70))
    turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    mesh = arrays()["mean_mesh"] @ turn.T * 50
    expected = mesh_to_ibug(mesh) + 50 * arrays()["offset"] @ turn[:2].T
    assert np.allclose(ibug_landmarks(mesh), expected, atol=1e-3)


def test_it_comes_nearer_to_hand_made_landmarks(faces):
    photos = load(faces / "landmarks68")[::8]
    before = np.mean([error_of(mesh_to_ibug(photo.mesh), photo) for photo in photos])
    after = np.mean([error_of(ibug_landmarks(photo.mesh), photo) for photo in photos])
    assert after < 0.75 * before


def test_the_fit_finds_a_known_offset(faces):
    photos = [photo._replace(truth=mesh_to_ibug(photo.mesh)) for photo in load(faces / "landmarks68")[::8]]
    mean = mean_mesh(photos)
    shift = np.zeros((68, 3))
    shift[:, 1] = 0.03  # down, along the head's own axis
    moved = []
    for photo in photos:
        frame = face_frame(photo.mesh, mean)
        moved.append(photo._replace(truth=photo.truth + frame.scale * shift @ frame.rotation[:2].T))
    _, offset = solve(sides(moved, mean))
    assert np.allclose(offset, shift, atol=2e-3)
