"""The Triton kernels in Triton's interpreter, on the CPU; test_triton.py runs this file in a new process.

The interpreter must be chosen before Triton is imported (TRITON_INTERPRET=1).
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.rasterizer import heads
from deca_model.render.rasterizers import cpu, tensor, triton_mesh
from tests.deca_model.render.test_rasterize import QUAD, reference, soup, square


@pytest.mark.parametrize(("seed", "size"), [(0, (48, 40)), (1, (33, 64))])
def test_random_faces_equal_the_reference(seed: int, size: tuple[int, int]) -> None:
    vertices, faces = soup(seed=seed)
    assert torch.equal(triton_mesh.select_faces(vertices, faces, *size), reference(vertices, faces, *size))


def test_heads_are_the_same_at_every_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_mesh, "_FACES", 512)  # fewer, larger programs are faster in Python
    vertices, faces = heads(2, torch.device("cpu"))
    pixels = vertices * torch.tensor([32.0, 28.0, 1.0]) + torch.tensor([31.5, 27.5, 0.0])
    expected = cpu.select_faces(pixels, faces, 56, 64)
    assert (expected >= 0).float().mean() > 0.4
    assert torch.equal(triton_mesh.select_faces(pixels, faces, 56, 64), expected)


def test_bad_hidden_and_large_faces() -> None:
    corners = [square(0.5)[0] * 8 + 4, torch.full((1, 3), float("nan")), torch.full((1, 3), float("inf"))]
    far = torch.tensor([[-3e4, -3e4, 9.0], [3e4, -3e4, 9.0], [0.0, 3e4, 9.0]])
    beside = torch.tensor([[-9.0, 2.0, 0.0], [-2.0, 2.0, 0.0], [-2.0, 9.0, 0.0]])
    flat = torch.tensor([[0.0, 0.0, 0.0], [8.0, 0.0, -0.0], [0.0, 8.0, 0.0]])
    vertices = torch.cat([*corners, far, beside, flat, flat * torch.tensor([1.0, 1.0, -1.0])])[None]
    faces = torch.tensor(
        [
            [0, 1, 4],
            [0, 1, 5],
            [0, 1, 1],
            [0, 1, 2],
            [0, 2, 3],
            [6, 7, 8],
            [9, 10, 11],
            [15, 16, 17],
            [12, 13, 14],
        ]
    )
    chosen = triton_mesh.select_faces(vertices, faces, 8, 8)
    assert torch.equal(chosen, cpu.select_faces(vertices, faces, 8, 8))
    assert set(chosen.flatten().tolist()) == {3, 4, 7}
    assert (triton_mesh.select_faces(vertices, faces[:0], 8, 8) == -1).all()
    assert triton_mesh.select_faces(vertices[:0], faces, 8, 8).shape == (0, 8, 8)


def test_a_fine_mesh_has_no_holes() -> None:
    steps = torch.linspace(-2, 18, 21)
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    points = (grid - 8) @ torch.tensor([[0.8, -0.6], [0.6, 0.8]]) * 1.6 + 8
    vertices = torch.cat([points.reshape(1, -1, 2), torch.zeros(1, 21 * 21, 1)], dim=2)
    corner = (torch.arange(20)[:, None] * 21 + torch.arange(20)).reshape(-1)
    halves = ([corner, corner + 1, corner + 22], [corner, corner + 22, corner + 21])
    faces = torch.cat([torch.stack(half, 1) for half in halves])
    assert (triton_mesh.select_faces(vertices, faces, 16, 16) >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_places_and_their_gradient_equal_the_tensor_code(dtype: torch.dtype) -> None:
    vertices, faces = soup(seed=6)
    index = cpu.select_faces(vertices, faces, 40, 48)
    index[0, :4] = -1
    faces = torch.cat([faces, torch.tensor([[3, 3, 3]])])
    index[1, :4] = len(faces) - 1  # without area
    vertices = (vertices / 24 - 1).to(dtype).requires_grad_()
    results = []
    for module in (triton_mesh, tensor):
        barycentric, depth = module.locate(index, vertices, faces)
        pull = torch.randn(barycentric.shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
        loss = (barycentric * pull).sum() + (depth * pull[..., 0]).sum()
        results.append((barycentric, depth, *torch.autograd.grad(loss, vertices)))
    for ours, expected in zip(*results, strict=True):
        scale = float(expected.detach().abs().max())
        assert torch.allclose(ours, expected, rtol=1e-3, atol=1e-5 * scale)


def test_torch_accepts_the_operations() -> None:
    vertices = (square(0.2) * 0.9)[:, torch.tensor([0, 1, 2, 3])]
    index = torch.tensor([[[0, 1], [1, -1]]])
    pixels = vertices * 4 + 3.5
    torch.library.opcheck(triton_mesh.select_faces, (pixels, QUAD, 8, 8))
    torch.library.opcheck(triton_mesh.locate, (index, vertices.requires_grad_(), QUAD))
    given = torch.rand(1, 2, 2, 3), torch.rand(1, 2, 2)
    torch.library.opcheck(triton_mesh.locate_gradient, (index, vertices.detach(), QUAD, *given))
