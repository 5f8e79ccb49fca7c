"""The outline of a turned head's mask moves the head: exact derivatives, and a known head is found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deca_model.heads import Head, load_head
from deca_model.render.camera import project
from deca_model.use.fitting.face_codes import FaceCodes
from deca_model.use.fitting.face_surface import FaceSurface
from deca_model.use.fitting.landmark_fit import LandmarkFit
from deca_model.use.fitting.outline import draw, outline_term, signed_distance
from deca_model.use.fitting.outline_fit import OutlineFit, Silhouette
from deca_model.use.fitting.targets import Target, make_target
from manifests.images.crop import Square

SIDE = 192
CROP = Square(np.array([(SIDE - 1) / 2] * 2), np.asarray(float(SIDE)))
COVERED = np.ones((SIDE, SIDE), bool)


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head("open")


@pytest.fixture(scope="module")
def fit(head: Head) -> OutlineFit:
    return OutlineFit(head, LandmarkFit(head))


def known(yaw: float, seed: int = 0) -> FaceCodes:
    shape = np.random.default_rng(seed).normal(0, 1.0, 100)
    return FaceCodes(shape, np.zeros(50), np.array([0, yaw, 0, 0, 0, 0.0]), np.array([7.0, 0, 0.01]))


def skin_of(head: Head, code: FaceCodes) -> np.ndarray:
    """The mask (S, S) that a photo of the head would have."""
    index = draw(head, code, SIDE).face_index[0].numpy()
    return (index >= 0) & head.face_region.numpy()[np.maximum(index, 0)]


def target_of(head: Head, code: FaceCodes, noise: float) -> Target:
    """Landmarks of the head, with a smooth error as that of a network on a profile."""
    codes = (torch.from_numpy(each)[None].float() for each in (code.shape, code.expression, code.pose))
    output = head(*codes)
    camera = torch.from_numpy(code.camera)[None].float()
    half = SIDE / 2
    dense = project(head.dense(output.vertices), camera)[0].numpy()
    points = project(output.landmarks_2d, camera)[0, :, :2].numpy()
    dense[:, 0] += noise * np.sin(7 * dense[:, 1])
    points[:, 0] += noise * np.sin(7 * points[:, 1])
    mesh = np.concatenate([dense, np.zeros((10, 3))]) * half
    mesh[:, :2] += half - 0.5
    return make_target(head, CROP, points * half + half - 0.5, mesh)


def profile_gap(head: Head, one: FaceCodes, two: FaceCodes) -> float:
    """Mean distance in pixels between the profile lines, over the rows of nose, mouth and chin."""
    ends = []
    for code in (one, two):
        rows = (draw(head, code, SIDE).face_index[0].numpy() >= 0)[70:130]
        ends.append(SIDE - rows[:, ::-1].argmax(axis=1))
    return float(np.abs(ends[0] - ends[1]).mean())


def test_derivatives_are_those_of_the_distance(head: Head) -> None:
    """Against central differences along three random directions."""
    code = known(0.8)
    distance = signed_distance(skin_of(head, known(0.85, 1)))
    assert distance is not None
    term = outline_term(head, FaceSurface(head), code, distance, COVERED, 0.6)
    assert term is not None
    _, rows = term.residuals(code, True)
    assert rows is not None
    for seed in range(3):
        sizes = np.repeat([1.0, 0.3, 0.05, 0.05, 0.005], [100, 50, 6, 1, 2])
        along = np.random.default_rng(seed).normal(size=159) * sizes * 1e-2
        ends = [term.residuals(_moved(code, sign * along), False)[0] for sign in (1, -1)]
        change = (ends[0] - ends[1]) / 2
        assert np.corrcoef(change, rows @ along)[0, 1] > 0.99
        assert np.linalg.norm(change) == pytest.approx(np.linalg.norm(rows @ along), rel=0.05)


def test_the_profile_line_follows_the_mask(head: Head, fit: OutlineFit) -> None:
    truth = known(0.7)
    target = target_of(head, truth, 0.03)
    (first,) = LandmarkFit(head).fit([target])
    photo = Silhouette(skin_of(head, truth), COVERED)
    (found,) = fit.refine([target], [photo], [first], free_shape=True)
    assert profile_gap(head, found, truth) < 0.75 * profile_gap(head, first, truth)
    (still,) = fit.refine([target], [photo], [first], free_shape=False)
    assert np.array_equal(still.shape, first.shape)
    assert profile_gap(head, still, truth) <= profile_gap(head, first, truth)


def test_a_head_from_the_front_and_a_photo_without_skin_stay(head: Head, fit: OutlineFit) -> None:
    for yaw, skin in ((0.2, True), (0.9, False)):
        truth = known(yaw)
        mask = skin_of(head, truth) & skin
        photo = Silhouette(mask, COVERED)
        code = replace(truth, shape=np.zeros(100))
        assert fit.refine([target_of(head, truth, 0)], [photo], [code], free_shape=True) == [code]


def test_the_distance_is_positive_inside_and_has_no_holes() -> None:
    skin = np.zeros((40, 40), bool)
    skin[10:30, 10:30] = True
    skin[18:22, 18:22] = False
    skin[2, 2] = True
    distance = signed_distance(skin)
    assert distance is not None
    assert distance[20, 20] == pytest.approx(10, abs=1)
    assert distance[20, 35] == pytest.approx(-6, abs=1)
    assert distance[2, 2] < 0
    assert signed_distance(np.zeros((40, 40), bool)) is None


def _moved(code: FaceCodes, step: np.ndarray) -> FaceCodes:
    shape, expression, pose, camera = np.split(step, [100, 150, 156])
    return FaceCodes(
        code.shape + shape,
        code.expression + expression,
        code.pose + pose,
        np.array([code.camera[0] * np.exp(camera[0]), *(code.camera[1:] + camera[1:])]),
    )
