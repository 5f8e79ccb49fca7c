"""Camera and normals."""

from __future__ import annotations

import torch

from deca_model.render.camera import project, to_pixels
from deca_model.render.normals import face_normals, vertex_normals


def test_projection_by_hand() -> None:
    points = torch.tensor([[[0.01, 0.02, 0.03]]])
    camera = torch.tensor([[8.0, 0.005, -0.01]])
    expected = torch.tensor([[[0.12, -0.08, -0.24]]])
    assert torch.allclose(project(points, camera), expected)


def test_projection_gradients() -> None:
    points = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    camera = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(project, (points, camera))


def test_pixels_and_normalised_are_inverse_and_centres_match() -> None:
    assert torch.equal(to_pixels(torch.tensor([-0.75, -0.5]), (2, 4)), torch.tensor([0.0, 0.0]))
    pixels = torch.rand(5, 68, 2) * 224
    assert torch.allclose(to_pixels((2 * pixels + 1) / 224 - 1, 224), pixels, atol=1e-4)


def test_normals_of_a_box_corner() -> None:
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [5, 5, 5]]]) * 1e-3
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1]])
    expected = torch.tensor([[[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]])
    assert torch.allclose(face_normals(vertices, faces), expected * 1e-6, atol=1e-12)
    corner = vertex_normals(vertices, faces)[0]
    assert torch.allclose(corner[0], torch.full((3,), 3**-0.5), atol=1e-6)
    assert (corner[4] == 0).all()


def test_normals_turn_with_the_mesh_and_ignore_its_size() -> None:
    generator = torch.Generator().manual_seed(0)
    vertices = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2], [2, 3, 4], [4, 5, 0], [1, 3, 5]])
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    turn = turn * torch.det(turn)
    assert torch.allclose(
        vertex_normals(vertices @ turn.T * 7 + 1, faces), vertex_normals(vertices, faces) @ turn.T
    )
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, faces), (vertices.requires_grad_(),))
