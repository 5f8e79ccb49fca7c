"""The maps between landmark schemes."""

from __future__ import annotations

import numpy as np

from deca_data.backends.mediapipe.landmark_maps import MESH_MIRROR, mesh_to_ibug
from manifests.landmarks import MIRROR


def test_the_mesh_mirror_is_its_own_inverse():
    assert MESH_MIRROR.shape == (478,)
    assert np.array_equal(MESH_MIRROR[MESH_MIRROR], np.arange(478))
    assert MESH_MIRROR[33] == 263
    assert MESH_MIRROR[1] == 1


def test_mirroring_the_mesh_mirrors_the_landmarks():
    mesh = np.random.default_rng(0).normal(size=(478, 3)).astype(np.float32)
    assert np.array_equal(mesh_to_ibug(mesh[MESH_MIRROR]), mesh_to_ibug(mesh)[MIRROR])


def test_landmarks_are_points_of_the_mesh_or_means_of_two():
    mesh = np.arange(478, dtype=np.float32)[:, None].repeat(2, axis=1)
    points = mesh_to_ibug(mesh)
    assert points.shape == (68, 2)
    assert points.dtype == np.float32
    assert points[36, 0] == 33
    assert points[45, 0] == 263
    assert points[3, 0] == (132 + 58) / 2
