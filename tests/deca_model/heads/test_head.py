"""The head's maths: skinning, correctives, dynamic contour, batches, gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from deca_model.heads import Head, HeadData, load_head
from deca_model.heads.head import contour_row
from manifests.errors import UsageError

ToyHead = Callable[..., HeadData]


def codes(batch: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Random shape, expression, pose, neck and eye codes for the toy head."""
    generator = torch.Generator().manual_seed(seed)
    return [0.4 * torch.randn(batch, width, dtype=dtype, generator=generator) for width in (6, 4, 6, 3, 6)]


def plain_skinning(data: HeadData, code: list[torch.Tensor]) -> np.ndarray:
    """The reference for one head: 4 x 4 matrices and loops, as in FLAME's paper."""
    shape, expression, pose, neck, eyes = [part[0].numpy().astype(np.float64) for part in code]
    shaped = data.template + data.shape_basis @ shape + data.expression_basis @ expression
    joints = data.joint_regressor @ shaped
    angles = [pose[:3], neck, pose[3:], eyes[:3], eyes[3:]]
    rotations = []
    for angle in angles:
        x, y, z = angle
        cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
        rotations.append(torch.linalg.matrix_exp(cross).numpy())
    if data.pose_basis is not None:
        feature = np.concatenate([(rotation - np.eye(3)).ravel() for rotation in rotations[1:]])
        shaped = shaped + (feature @ data.pose_basis).reshape(-1, 3)
    world = []
    for joint, parent in enumerate(data.parents):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    posed = np.zeros_like(shaped)
    for vertex in range(len(shaped)):
        for joint in range(5):
            rest = np.eye(4)
            rest[:3, 3] = -joints[joint]
            moved = world[joint] @ rest @ np.append(shaped[vertex], 1)
            posed[vertex] += data.weights[vertex, joint] * moved[:3]
    return posed


@pytest.mark.parametrize("pose_basis", [True, False])
def test_vertices_equal_the_plain_reference(toy_head: ToyHead, pose_basis: bool) -> None:
    data = toy_head(pose_basis=pose_basis)
    code = codes(1, seed=3)
    vertices = Head(data)(*code).vertices[0].numpy()
    np.testing.assert_allclose(vertices, plain_skinning(data, code), atol=2e-6)


def test_zero_codes_give_the_template(toy_head: ToyHead) -> None:
    data = toy_head()
    out = Head(data)(torch.zeros(2, 6), torch.zeros(2, 4), torch.zeros(2, 6))
    np.testing.assert_allclose(out.vertices.numpy(), np.stack([data.template] * 2), atol=1e-6)


def test_a_global_turn_moves_all_points_rigidly_about_the_root(toy_head: ToyHead) -> None:
    data = dataclasses.replace(toy_head(), pose_basis=None)
    head = Head(data)
    pose = torch.tensor([[0.1, 0.2, -0.3, 0.0, 0.0, 0.0]])
    still = head(torch.zeros(1, 6), torch.zeros(1, 4), torch.zeros(1, 6)).vertices
    turned = head(torch.zeros(1, 6), torch.zeros(1, 4), pose).vertices
    root = torch.from_numpy(data.joint_regressor[0] @ data.template)
    torch.testing.assert_close((turned - root).norm(dim=-1), (still - root).norm(dim=-1), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.cdist(turned, turned), torch.cdist(still, still), atol=1e-5, rtol=0)


def test_a_batch_equals_its_singles(toy_head: ToyHead) -> None:
    head = Head(toy_head())
    code = codes(5)
    code[2][:, 1] = torch.tensor([-0.9, -0.2, 0.0, 0.3, 0.8])  # five different rows of the contour
    together = head(*code)
    for i in range(5):
        alone = head(*(part[i : i + 1] for part in code))
        for whole, single in zip(together, alone, strict=True):
            torch.testing.assert_close(whole[i : i + 1], single, atol=1e-6, rtol=0)


def test_short_codes_count_as_padded_with_zeros(toy_head: ToyHead) -> None:
    head = Head(toy_head())
    shape, expression, pose, _, _ = codes(2)
    short = head(shape[:, :2], expression[:, :1], pose)
    shape[:, 2:], expression[:, 1:] = 0, 0
    torch.testing.assert_close(short.vertices, head(shape, expression, pose).vertices)
    assert head(shape[:, :0], expression[:, :0], pose).vertices.shape == (2, 24, 3)


def test_gradients_of_every_code_and_output(toy_head: ToyHead) -> None:
    head = Head(toy_head()).double()
    code = [part.requires_grad_() for part in codes(2, dtype=torch.float64)]
    assert gradcheck(lambda *parts: tuple(head(*parts)), code)


def test_gradients_at_zero_pose_are_finite_and_right(toy_head: ToyHead) -> None:
    head = Head(toy_head()).double()
    pose = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    shape, expression = torch.zeros(1, 6, dtype=torch.float64), torch.zeros(1, 4, dtype=torch.float64)
    assert gradcheck(lambda p: head(shape, expression, p).landmarks_3d, (pose,))


@pytest.mark.parametrize(
    ("yaw", "row"),
    [(0, 0), (0.4, 0), (1, 1), (38.6, 39), (90, 39), (-0.6, 40), (-1, 40), (-39, 78), (-80, 78)],
)
def test_contour_rows_follow_flames_order(yaw: float, row: int) -> None:
    assert contour_row(torch.tensor([yaw])).item() == row


def test_the_contour_takes_the_row_of_head_and_neck_together(toy_head: ToyHead) -> None:
    data = toy_head()
    head = Head(data)
    pose, neck = torch.zeros(1, 6), torch.zeros(1, 3)
    pose[0, 1], neck[0, 1] = np.deg2rad(-12), np.deg2rad(-8)
    out = head(torch.zeros(1, 6), torch.zeros(1, 4), pose, neck)
    row = 39 + 20
    corners = out.vertices[0].numpy()[data.faces[data.contour_faces[row]]]
    expected = (corners * data.contour_barycentric[row][..., None]).sum(axis=1)
    np.testing.assert_allclose(out.landmarks_2d[0, :17].numpy(), expected, atol=1e-6)


def test_a_pose_that_is_not_finite_shows_in_the_vertices(toy_head: ToyHead) -> None:
    pose = torch.full((1, 6), float("nan"))
    out = Head(toy_head())(torch.zeros(1, 6), torch.zeros(1, 4), pose)
    assert out.vertices.isnan().all()


def test_a_head_has_no_parameters_and_leaves_nothing_in_checkpoints(toy_head: ToyHead) -> None:
    head = Head(toy_head())
    assert list(head.parameters()) == []
    assert head.state_dict() == {}
    assert all(
        buffer.dtype == torch.float64 for buffer in head.double().buffers() if buffer.is_floating_point()
    )


def test_wrong_widths_are_named(toy_head: ToyHead) -> None:
    head = Head(toy_head())
    with pytest.raises(ValueError, match="shape code has 7 numbers"):
        head(torch.zeros(1, 7), torch.zeros(1, 4), torch.zeros(1, 6))
    with pytest.raises(ValueError, match=r"neck_pose has shape \(1, 2\)"):
        head(torch.zeros(1, 6), torch.zeros(1, 4), torch.zeros(1, 6), torch.zeros(1, 2))


def test_arrays_that_do_not_fit_are_named(toy_head: ToyHead) -> None:
    data = toy_head()
    with pytest.raises(UsageError, match="toy head's weights has shape"):
        dataclasses.replace(data, weights=data.weights[:-1])
    with pytest.raises(UsageError, match=r"toy head's static_faces points outside 0\.\.29"):
        dataclasses.replace(data, static_faces=data.static_faces + 100)


def test_load_head_says_what_is_wrong() -> None:
    with pytest.raises(UsageError, match="no head named 'bfm': choose one of open, flame, ict"):
        load_head("bfm")
    with pytest.raises(UsageError, match="the flame head needs its file"):
        load_head("flame")
