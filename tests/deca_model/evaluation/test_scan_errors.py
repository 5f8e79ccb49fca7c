"""The alignment of a scan with a reconstruction, against values of the benchmark's own code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor
from trimesh.proximity import closest_point_naive

from deca_model.evaluation.now_benchmark import NOW_LANDMARKS, cut_scan
from deca_model.evaluation.scan_errors import align, scan_errors
from deca_model.heads import load_head

SCANNER = np.array([[np.cos(0.4), 0, np.sin(0.4)], [0, 1, 0], [-np.sin(0.4), 0, np.cos(0.4)]])


def to_scanner(points: np.ndarray) -> np.ndarray:
    """From metres to the millimetres of a scan in another pose."""
    return 1000 * points @ SCANNER.T + [30, -20, 500]


def measured(reconstruction: Tensor, scanned: Tensor) -> np.ndarray:
    """The errors between two shapes of the open head; the scan is all vertices of the face."""
    head = load_head("open")
    found = head(reconstruction, torch.zeros(1, 1), torch.zeros(1, 6))
    truth = head(scanned, torch.zeros(1, 1), torch.zeros(1, 6))
    faces = head.faces.numpy()
    front = np.unique(faces[head.face_region.numpy()])
    points, landmarks = (
        output.landmarks_3d[0, list(NOW_LANDMARKS)].double().numpy() for output in (truth, found)
    )
    scan = cut_scan(to_scanner(truth.vertices[0].double().numpy()[front]), to_scanner(points))
    return scan_errors(found.vertices[0].double().numpy(), faces, landmarks, scan, to_scanner(points))


def test_the_alignment_finds_a_known_similarity():
    random = np.random.default_rng(2)
    points = random.normal(size=(9, 3))
    rotation = np.linalg.qr(random.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    found = align(points, 2.5 * points @ rotation.T + [1, 2, 3])
    assert found.scale == pytest.approx(2.5)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-9)
    np.testing.assert_allclose(found.shift, [1, 2, 3], atol=1e-9)
    np.testing.assert_allclose(found.inverse(found(points)), points, atol=1e-12)


def test_scan_errors_do_not_see_pose_and_scale():
    same = measured(torch.full((1, 8), 1.0), torch.full((1, 8), 1.0))
    assert len(same) > 1000
    assert same.max() < 1e-3


def test_distances_are_those_to_the_nearest_of_all_triangles():
    """With trimesh's search through every triangle, and long triangles whose vertices are far away."""
    random = np.random.default_rng(5)
    vertices = random.normal(size=(60, 3)) * 40
    faces = np.array([random.choice(60, 3, replace=False) for _ in range(80)])
    scan, landmarks = random.normal(size=(200, 3)) * 40, random.normal(size=(7, 3)) * 40
    errors = scan_errors(vertices, faces, landmarks, scan, landmarks, rounds=0)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    np.testing.assert_allclose(errors, closest_point_naive(mesh, scan)[1], atol=1e-9)


@pytest.mark.parametrize(
    ("reconstruction", "scanned", "mean", "median", "deviation"),
    [
        (torch.full((1, 8), 2.0), torch.zeros(1, 1), 1.896903, 1.450577, 1.840065),
        (torch.full((1, 8), -1.5), torch.full((1, 8), 1.5), 1.678160, 1.204871, 1.585179),
    ],
)
def test_scan_errors_are_those_of_the_official_alignment(
    reconstruction: Tensor, scanned: Tensor, mean: float, median: float, deviation: float
):
    """The values are of ``compute_errors`` in the NoW evaluation's scan2mesh_computations.py.

    It ran with its own objective (sbody) and optimiser (chumpy); only psbody's tree, which cannot be
    installed, was replaced by an exact nearest point. Ten rounds give a median of 1.386 in the first case.
    """
    errors = measured(reconstruction, scanned)
    assert errors.mean() == pytest.approx(mean, abs=0.001)
    assert np.median(errors) == pytest.approx(median, abs=0.005)
    assert errors.std() == pytest.approx(deviation, abs=0.001)
