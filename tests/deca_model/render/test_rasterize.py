"""The rasteriser: hand-made cases, the kernels against the plain reference, gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.rasterizer import agreement, heads
from deca_model.render.rasterize import interpolate, rasterize
from deca_model.render.rasterizers import cpu, cpu_locate, pytorch3d_mesh, tensor
from manifests.errors import UsageError

QUAD = torch.tensor([[0, 1, 2], [0, 2, 3]])


def reference(
    vertices: Tensor,  # (B, V, 3) pixels
    faces: Tensor,  # (F, 3)
    height: int,
    width: int,
) -> Tensor:  # (B, H, W) int64
    """The visible face per pixel, -1 where empty: every face is tested at every pixel, one by one."""
    y = torch.arange(height).float()[:, None]
    x = torch.arange(width).float()[None, :]
    result = torch.full((len(vertices), height, width), -1, dtype=torch.int64)
    for image, points in enumerate(vertices):
        nearest = torch.full((height, width), float("inf"))
        for face, corner_index in enumerate(faces.tolist()):
            (ax, ay, az), (bx, by, bz), (cx, cy, cz) = points[corner_index]
            wa = (bx - x) * (cy - y) - (by - y) * (cx - x)
            wb = (cx - x) * (ay - y) - (cy - y) * (ax - x)
            wc = (ax - x) * (by - y) - (ay - y) * (bx - x)
            area = wa + wb + wc
            same_side = ((wa >= 0) & (wb >= 0) & (wc >= 0)) | ((wa <= 0) & (wb <= 0) & (wc <= 0))
            depth = (wa * az + wb * bz + wc * cz) / area
            wins = same_side & (area != 0) & (depth < nearest) & points[corner_index].isfinite().all()
            nearest = torch.where(wins, depth, nearest)
            result[image] = torch.where(wins, face, result[image])
    return result


def square(z: float = 0.0, half: float = 1.0) -> Tensor:
    corners = [[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]]
    return torch.tensor([corners])


def soup(count: int = 60, seed: int = 0, batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(batch, count, 1, 3, generator=generator) * 70 - 10
    corners = centres + torch.randn(batch, count, 3, 3, generator=generator) * 6
    return corners.view(batch, -1, 3), torch.arange(count * 3).view(count, 3)


def test_upper_right_triangle_of_a_square_is_face_zero() -> None:
    fragments = rasterize(square(), QUAD, 4)
    expected = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]])
    assert torch.equal(fragments.face_index[0], expected)


def test_interpolated_position_is_the_pixel_centre() -> None:
    vertices = square()
    fragments = rasterize(vertices, QUAD, (2, 4))
    position = interpolate(fragments, vertices[:, QUAD])
    assert torch.allclose(
        position[0, :, :, 0], torch.tensor([-0.75, -0.25, 0.25, 0.75]).expand(2, 4), atol=1e-6
    )
    assert torch.allclose(position[0, :, :, 1], torch.tensor([[-0.5], [0.5]]).expand(2, 4), atol=1e-6)
    assert torch.allclose(fragments.barycentric.sum(-1), torch.ones(1, 2, 4))


def test_smaller_depth_is_nearer_and_ties_go_to_the_first_face() -> None:
    vertices = torch.cat([square(0.5), square(-0.5), square(-0.5)], dim=1)
    faces = torch.cat([QUAD, QUAD + 4, QUAD + 8])
    fragments = rasterize(vertices, faces, 4)
    assert set(fragments.face_index.flatten().tolist()) == {2, 3}
    assert torch.allclose(fragments.depth, torch.full((1, 4, 4), -0.5))


def test_both_sides_are_seen() -> None:
    assert (rasterize(square(), QUAD.flip(1), 4).face_index >= 0).all()


def test_empty_pixels_are_minus_one_and_zero() -> None:
    fragments = rasterize(square(half=0.5), QUAD, 8)
    empty = fragments.face_index < 0
    assert int(empty.sum()) == 64 - 16
    assert (fragments.barycentric[empty] == 0).all()
    assert (fragments.depth[empty] == 0).all()
    assert (interpolate(fragments, torch.ones(2, 3, 5))[empty] == 0).all()


@pytest.mark.parametrize("kernel", [cpu, tensor])
def test_fast_kernels_equal_the_reference(kernel) -> None:
    vertices, faces = soup()
    expected = reference(vertices, faces, 48, 40)
    assert (expected >= 0).float().mean() > 0.3
    assert torch.equal(kernel.select_faces(vertices, faces, 48, 40), expected)


@pytest.mark.parametrize("select_faces", [cpu.select_faces, tensor.select_faces, reference])
def test_faces_not_finite_or_without_area_are_skipped(select_faces) -> None:
    vertices = torch.cat([square(0.5)[0] * 8 + 4, torch.full((1, 3), float("nan"))])[None]
    vertices = torch.cat([vertices, torch.full((1, 1, 3), float("inf"))], dim=1)
    faces = torch.tensor([[0, 1, 4], [0, 1, 5], [0, 1, 1], [0, 1, 2], [0, 2, 3]])
    chosen = select_faces(vertices, faces, 8, 8)
    assert set(chosen.flatten().tolist()) == {3, 4}


@pytest.mark.parametrize("kernel", [cpu, tensor])
def test_a_fine_mesh_has_no_holes(kernel) -> None:
    """Pixel centres on shared edges and corners belong to some face."""
    steps = torch.linspace(-2, 33, 36)
    grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    for points in (grid, (grid - 16) @ turn * 1.6 + 16, (grid - 16) * 1.37 + 16.1):
        vertices = torch.cat([points.reshape(1, -1, 2), torch.zeros(1, 36 * 36, 1)], dim=2)
        corner = (torch.arange(35)[:, None] * 36 + torch.arange(35)).reshape(-1)
        faces = torch.cat(
            [
                torch.stack([corner, corner + 1, corner + 37], 1),
                torch.stack([corner, corner + 37, corner + 36], 1),
            ]
        )
        assert (kernel.select_faces(vertices, faces, 32, 32) >= 0).all()


def test_tensor_kernel_is_the_same_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, faces = soup(seed=3)
    whole = tensor.select_faces(vertices, faces, 48, 40)
    monkeypatch.setattr(tensor, "CHUNK", 1000)
    assert torch.equal(tensor.select_faces(vertices, faces, 48, 40), whole)


def test_the_tensor_kernel_leaves_only_the_picture_with_too_many_candidates_empty() -> None:
    full = torch.cat([square(float(layer))[0] * 8 + 8 for layer in range(tensor.LAYERS)])  # 2 boxes a square
    small = torch.cat([square(float(layer), 0.4)[0] * 8 + 8 for layer in range(tensor.LAYERS)])
    faces = torch.cat([QUAD + 4 * layer for layer in range(tensor.LAYERS)])
    chosen = tensor.select_faces(torch.stack([full, small]), faces, 16, 16)
    assert (chosen[0] == -1).all()
    assert torch.equal(chosen[1], cpu.select_faces(small[None], faces, 16, 16)[0])
    fewer = tensor.select_faces(full[None], faces[: tensor.LAYERS], 16, 16)
    assert torch.equal(fewer, cpu.select_faces(full[None], faces[: tensor.LAYERS], 16, 16))


def test_threads_and_batch_do_not_change_the_result() -> None:
    vertices, faces = soup(seed=4, batch=3)
    together = cpu.select_faces(vertices, faces, 48, 40)
    for image in range(3):
        alone = cpu.select_faces(vertices[image : image + 1], faces, 48, 40)
        assert torch.equal(together[image : image + 1], alone)


@pytest.mark.parametrize("size", [(40, 40), (32, 48)])
def test_pytorch3d_sees_the_same_faces(size: tuple[int, int]) -> None:
    pytest.importorskip("pytorch3d", reason="needs the extra pytorch3d")
    vertices, faces = soup(count=40, seed=1)
    ours = cpu.select_faces(vertices, faces, *size)
    theirs = pytorch3d_mesh.select_faces(vertices, faces, *size)
    assert (ours == theirs).float().mean() >= 0.999
    assert (ours >= 0).float().mean() > 0.15


def test_gradients_of_barycentrics_depth_and_attributes() -> None:
    generator = torch.Generator().manual_seed(5)
    moved = 0.05 * torch.rand(1, 4, 3, generator=generator, dtype=torch.float64)  # no pixel on an edge
    vertices = (square(0.2).double() * 0.93 + moved).requires_grad_()
    attributes = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    batched = torch.randn(1, 2, 3, 2, generator=generator, dtype=torch.float64, requires_grad=True)

    def render(vertices: Tensor, attributes: Tensor, batched: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fragments = rasterize(vertices, QUAD, 5)
        return interpolate(fragments, attributes), interpolate(fragments, batched), fragments.depth

    assert torch.autograd.gradcheck(render, (vertices, attributes, batched), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_barycentrics_and_gradients_equal_the_tensor_code(dtype: torch.dtype) -> None:
    vertices, faces = soup(seed=6)
    vertices = (vertices / 24 - 1).to(dtype).requires_grad_()
    index = rasterize(vertices, faces, (40, 48)).face_index
    generator = torch.Generator().manual_seed(0)
    results = []
    for module in (cpu_locate, tensor):
        barycentric, depth = module.locate(index, vertices, faces)
        pull = torch.randn(barycentric.shape, generator=generator.manual_seed(1), dtype=dtype)
        loss = (barycentric * pull).sum() + (depth * pull[..., 0]).sum()
        results.append((barycentric, depth, *torch.autograd.grad(loss, vertices)))
    for ours, expected in zip(*results, strict=True):
        scale = float(expected.detach().abs().max())
        assert torch.allclose(ours, expected, rtol=1e-3, atol=1e-5 * scale)


def test_gradient_is_finite_with_degenerate_and_empty_faces() -> None:
    vertices = torch.cat([square(half=0.5), torch.zeros(1, 1, 3)], dim=1).requires_grad_()
    faces = torch.cat([torch.tensor([[4, 4, 4]]), QUAD])
    fragments = rasterize(vertices, faces, 8)
    interpolate(fragments, vertices[:, faces] ** 2).sum().backward()
    assert vertices.grad is not None
    assert vertices.grad.isfinite().all()


def test_unknown_backend_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="'opengl' is unknown"):
        rasterize(square(), QUAD, 4, backend="opengl")


def test_heads_look_the_same_to_pytorch3d() -> None:
    """Agreement of 99.9 % or more on the embedded head at 224 x 224."""
    pytest.importorskip("pytorch3d", reason="needs the extra pytorch3d")
    vertices, faces = heads(1, torch.device("cpu"))
    ours, theirs = (rasterize(vertices, faces, 224, backend) for backend in ("builtin", "pytorch3d"))
    same, inside = agreement(ours, theirs)
    assert same >= 0.999
    assert inside >= 0.999
    agree = (ours.face_index == theirs.face_index)[..., None]
    assert torch.equal(ours.barycentric * agree, theirs.barycentric * agree)
