"""The loss on the dense landmarks."""

from __future__ import annotations

import pytest
import torch

from deca_model.losses.dense import BROWS, LIDS, LIPS, OVAL, POINT_WEIGHTS, dense_loss

ALL = torch.arange(468)


def test_the_loss_is_the_weighted_mean_over_points_and_faces_with_a_mesh():
    torch.manual_seed(0)
    predicted, target = torch.rand(3, 468, 3), torch.rand(3, 478, 2)
    found = dense_loss(predicted, target, torch.tensor([True, False, True]), ALL)
    weights = torch.tensor(POINT_WEIGHTS)[:468]
    expected = 0.0
    for face in (0, 2):
        for point in range(468):
            shift = (predicted[face, point, :2] - target[face, point]).abs().mean()
            expected += float(shift * weights[point] / weights.sum()) / 2
    assert float(found.value) == pytest.approx(expected, rel=1e-4)
    assert int(found.counted) == 2


def test_only_the_points_that_the_head_has_are_compared():
    points = torch.tensor([13, 14, 300])
    target = torch.rand(2, 478, 2)
    same = dense_loss(target[:, points], target, torch.tensor([True, True]), points)
    assert float(same.value) == 0
    moved = target.clone()
    moved[:, 200] += 1  # a point that this head lacks
    assert float(dense_loss(target[:, points], moved, torch.tensor([True, True]), points).value) == 0


def test_without_any_mesh_the_loss_and_its_gradient_are_zero():
    predicted = torch.rand(2, 468, 3, requires_grad=True)
    found = dense_loss(predicted, torch.full((2, 478, 2), 9.0), torch.tensor([False, False]), ALL)
    found.value.backward()
    assert float(found.value.detach()) == 0
    assert predicted.grad is not None
    assert float(predicted.grad.abs().sum()) == 0


def test_mouth_and_eyes_count_most_and_are_mediapipes():
    connections = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")
    named = {
        LIPS: connections.FACEMESH_LIPS,
        LIDS: connections.FACEMESH_LEFT_EYE | connections.FACEMESH_RIGHT_EYE,
        BROWS: connections.FACEMESH_LEFT_EYEBROW | connections.FACEMESH_RIGHT_EYEBROW,
        OVAL: connections.FACEMESH_FACE_OVAL,
    }
    for group, lines in named.items():
        assert set(group) == {point for line in lines for point in line}
        assert len(set(group)) == len(group)
    assert min(POINT_WEIGHTS[point] for point in LIPS + LIDS) > max(POINT_WEIGHTS[p] for p in BROWS)
