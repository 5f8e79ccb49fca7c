"""Fitting codes to landmarks: exact derivatives, and known heads are found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deca_model.heads import Head, load_head
from deca_model.render.camera import project
from deca_model.use.fitting.face_codes import FaceCodes
from deca_model.use.fitting.landmark_fit import LandmarkFit, action_rows
from deca_model.use.fitting.landmark_head import landmark_head
from deca_model.use.fitting.landmark_system import LandmarkSystem
from deca_model.use.fitting.targets import Target, make_target
from manifests.images.crop import Square

CROP = Square(np.array([127.5, 127.5]), np.asarray(256.0))
CAMERA = torch.tensor([[7.0, 0.004, 0.01]])


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head("open")


@pytest.fixture(scope="module")
def fit(head: Head) -> LandmarkFit:
    return LandmarkFit(head)


def random_codes(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    sizes = ((100, 1.0), (50, 0.2), (6, 0.15))
    shape, expression, pose = (torch.from_numpy(rng.normal(0, s, (1, n))).float() for n, s in sizes)
    return shape, expression, pose


def mesh_of(head: Head, shape: torch.Tensor, expression: torch.Tensor, pose: torch.Tensor) -> Target:
    """The target that MediaPipe would give for a known head."""
    output = head(shape, expression, pose)
    dense = project(head.dense(output.vertices), CAMERA)[0].numpy()
    mesh = np.concatenate([dense, np.zeros((10, 3))]).astype(np.float32)
    mesh = np.concatenate([(mesh[:, :2] * 128) + 127.5, mesh[:, 2:] * 128], axis=1)
    points = project(output.landmarks_2d, CAMERA)[0, :, :2].numpy() * 128 + 127.5
    return make_target(head, CROP, points, mesh)


def test_the_small_head_has_the_same_landmarks(head: Head) -> None:
    small = landmark_head(head)
    codes = random_codes(0)
    whole, cut = head(*codes), small(*codes)
    assert cut.vertices.shape[1] < whole.vertices.shape[1] / 3
    torch.testing.assert_close(cut.landmarks_2d, whole.landmarks_2d, rtol=0, atol=1e-6)
    torch.testing.assert_close(cut.landmarks_3d, whole.landmarks_3d, rtol=0, atol=1e-6)
    torch.testing.assert_close(small.dense(cut.vertices), head.dense(whole.vertices), rtol=0, atol=1e-6)


def test_derivatives_are_those_of_the_head(head: Head) -> None:
    """Against torch's forward-mode derivatives along three random directions."""
    system = LandmarkSystem(head)
    point = torch.cat([code[0].double() for code in random_codes(1)])

    def places(flat: torch.Tensor) -> torch.Tensor:
        return system.places(flat[:100], flat[100:150], flat[150:])

    found = system.points(point[:100], point[100:150], point[150:])
    torch.testing.assert_close(found.places, places(point), rtol=0, atol=1e-12)
    for seed in range(3):
        along = torch.from_numpy(np.random.default_rng(seed).normal(size=156))
        exact = torch.func.jvp(places, (point,), (along,))[1]
        torch.testing.assert_close(found.derivatives @ along, exact, rtol=1e-6, atol=1e-9)


def openings(target: Target, places: np.ndarray) -> np.ndarray:
    return places[target.pairs[:, 1], 1] - places[target.pairs[:, 0], 1]


@pytest.mark.parametrize("seed", [2, 3])
def test_a_known_head_is_found_again(head: Head, fit: LandmarkFit, seed: int) -> None:
    """Landmarks to 1 % of the eyes' distance, the pose to 3 degrees; an open mouth and a wink stay."""
    shape, expression, pose = random_codes(seed)
    expression = torch.zeros_like(expression)
    names = head.expression_names
    expression[0, names.index("eyeBlink")], expression[0, names.index("eyeBlink:left-right")] = 0.5, 1.0
    pose[0, 3:] = torch.tensor([0.25, 0, 0])
    target = mesh_of(head, shape, expression, pose)
    (found,) = fit.fit([target])
    places = fit.system.places(*(torch.from_numpy(c) for c in (found.shape, found.expression, found.pose)))
    seen = project(places[None], torch.from_numpy(found.camera)[None])[0].numpy()
    error = np.linalg.norm(seen[-68:, :2] - target.landmarks, axis=1).mean()
    eyes = np.linalg.norm(target.landmarks[36] - target.landmarks[45])
    assert error < 0.01 * eyes
    assert np.abs(openings(target, seen) - openings(target, target.places)).max() < 0.02 * eyes
    assert np.abs(found.pose[:3] - pose[0, :3].numpy()).max() < np.radians(3)
    left, right = action_rows(names) @ found.expression, action_rows(names) @ expression[0].numpy()
    assert np.abs(left - right).max() < 0.6  # every facial action


def test_photos_of_one_person_share_the_shape(head: Head, fit: LandmarkFit) -> None:
    shape = random_codes(4)[0]
    targets = [mesh_of(head, shape, torch.zeros(1, 50), random_codes(seed)[2]) for seed in (5, 6, 7)]
    together = fit.fit(targets)
    assert all(np.array_equal(each.shape, together[0].shape) for each in together)
    (alone,) = fit.fit(targets[:1])

    def distance(code: np.ndarray) -> float:
        """Of the neutral faces, root mean square over their size: the camera does not tell a head's size."""
        found, true = (
            fit.system.head.neutral(torch.from_numpy(each)[None].double(), torch.zeros(1, 1).double())[0]
            for each in (code, shape[0].numpy())
        )
        found, true = (part - part.mean(dim=0) for part in (found, true))
        scale = (found * true).sum() / (found * found).sum()
        return float((found * scale - true).norm() / true.norm())

    assert distance(together[0].shape) < 0.85 * distance(alone.shape)
    assert distance(together[0].shape) < 0.35 * distance(np.zeros(100))
    known = fit.fit(targets[:1], shape=shape[0].double().numpy())
    assert np.array_equal(known[0].shape, shape[0].double().numpy())


def test_a_head_without_dense_points_is_fitted_to_the_68(head: Head, fit: LandmarkFit) -> None:
    """As for a landmark backend without a mesh."""
    target = mesh_of(head, *random_codes(8))
    plain = make_target(head, CROP, target.landmarks * 128 + 127.5, None)
    (found,) = fit.fit([plain])
    seen = project_codes(fit, found)
    eyes = np.linalg.norm(target.landmarks[36] - target.landmarks[45])
    assert np.linalg.norm(seen[-68:, :2] - target.landmarks, axis=1).mean() < 0.015 * eyes


def project_codes(fit: LandmarkFit, found: FaceCodes) -> np.ndarray:
    places = fit.system.places(*(torch.from_numpy(c) for c in (found.shape, found.expression, found.pose)))
    return project(places[None], torch.from_numpy(found.camera)[None])[0].numpy()
