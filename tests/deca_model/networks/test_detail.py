"""Detail decoder, displaced surface, on the embedded head."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from deca_model.files.obj import read_obj, write_obj
from deca_model.heads import Head, load_head
from deca_model.networks.detail import LARGEST, DetailDecoder, DetailSurface
from deca_model.networks.encoder import framing_camera
from deca_model.render.camera import project
from deca_model.render.uv import UvLayout


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head("open")


@pytest.fixture(scope="module")
def layout(head: Head) -> UvLayout:
    return UvLayout(head, 128)


@pytest.fixture(scope="module")
def surface(layout: UvLayout) -> DetailSurface:
    return DetailSurface(layout)


def _flat(batch: int = 1) -> Tensor:
    return torch.zeros(batch, 1, 128, 128)


def test_decoder_has_the_official_layers() -> None:
    shapes = {key: tuple(value.shape) for key, value in DetailDecoder().state_dict().items()}
    assert shapes["l1.0.weight"] == (8192, 181)
    convolutions = {key: shape for key, shape in shapes.items() if len(shape) == 4}
    assert list(convolutions.values()) == [
        (128, 128, 3, 3), (64, 128, 3, 3), (64, 64, 3, 3), (32, 64, 3, 3), (16, 32, 3, 3), (1, 16, 3, 3)
    ]  # fmt: skip
    assert [key.split(".")[1] for key in convolutions] == ["2", "6", "10", "14", "18", "21"]
    assert shapes["conv_blocks.0.weight"] == (128,)
    assert shapes["conv_blocks.19.running_mean"] == (16,)


def test_smaller_maps_come_from_the_same_layers() -> None:
    official = DetailDecoder().state_dict()
    for wanted, size in ((256, 256), (400, 256), (128, 128), (100, 128), (64, 64), (8, 8)):
        decoder = DetailDecoder(wanted).eval()
        assert decoder.size == size
        decoder.load_state_dict(official)  # all names and shapes are the same
        codes = [torch.zeros(1, count) for count in (128, 50, 3)]
        assert decoder(*codes).shape == (1, 1, size, size)


def test_decoder_gives_small_maps_and_gradients_to_every_input() -> None:
    torch.manual_seed(0)
    decoder = DetailDecoder()
    codes = [torch.randn(2, size, requires_grad=True) for size in (128, 50, 3)]
    maps = decoder(*codes)
    assert maps.shape == (2, 1, 256, 256)
    assert maps.abs().max() < 0.05 * LARGEST  # the start is the smooth head
    maps.square().sum().backward()
    for code in codes:
        assert code.grad is not None
        assert code.grad.abs().sum() > 0
    last = decoder.conv_blocks[-2]
    with torch.no_grad():
        last.weight.mul_(1e6)  # type: ignore[operator,union-attr]
    assert LARGEST * 0.99 < decoder(*codes).abs().max() <= LARGEST


def test_without_displacement_the_normals_are_the_heads(
    head: Head, layout: UvLayout, surface: DetailSurface
) -> None:
    fine = surface.normals(_flat(), head.template[None])
    _, coarse = surface.points(_flat(), head.template[None])
    assert torch.allclose(fine.norm(dim=1), torch.ones(1, 128, 128), atol=1e-4)
    cosine = (fine * coarse).sum(dim=1)[0]
    assert (cosine > 0.99999).all()


def test_the_curved_surface_touches_the_vertices_and_stays_near_the_triangles(
    head: Head, layout: UvLayout, surface: DetailSurface
) -> None:
    curved, _ = surface.points(_flat(), head.template[None])
    away = (curved - layout.from_vertices(head.template[None])).norm(dim=1)[0]
    assert away[layout.face_region].max() < 0.002
    assert away[layout.face_region].mean() > 1e-6
    largest = layout.barycentric.amax(dim=2)
    corner, middle = away[layout.face_region & (largest > 0.9)], away[layout.face_region & (largest < 0.5)]
    assert len(corner) > 50
    assert corner.mean() < 0.4 * middle.mean()


def test_points_move_along_the_normals_and_only_in_the_face(
    head: Head, layout: UvLayout, surface: DetailSurface
) -> None:
    still, coarse = surface.points(_flat(), head.template[None])
    moved, _ = surface.points(_flat() + 0.002, head.template[None])
    step = moved - still
    inside = layout.face_region.expand(1, 3, -1, -1)
    assert torch.allclose(step[inside], (0.002 * coarse)[inside], atol=1e-6)
    assert (step[~inside] == 0).all()


def test_a_bump_tilts_the_normals_away_from_its_top(
    head: Head, layout: UvLayout, surface: DetailSurface
) -> None:
    """A ridge across the forehead: above it normals turn up, below it down."""
    position = layout.from_vertices(head.template[None])
    middle = head.template[head.faces[head.full_faces[27]]].mean(dim=0)[1] + 0.03
    ridge = 0.002 * torch.exp(-(((position[:, 1:2] - middle) / 0.006) ** 2))
    change = surface.normals(ridge, head.template[None]) - surface.normals(_flat(), head.template[None])
    face = layout.face_region[None] & (position[:, 0].abs() < 0.02) & (position[:, 2] > 0)
    above = face & ((position[:, 1] - middle - 0.005).abs() < 0.003)
    below = face & ((position[:, 1] - middle + 0.005).abs() < 0.003)
    assert above.sum() > 5
    assert below.sum() > 5
    assert change[:, 1][above].mean() > 0.1
    assert change[:, 1][below].mean() < -0.1


def test_no_displacement_turns_a_normal_over(head: Head, surface: DetailSurface) -> None:
    """With noise of a centimetre, also at the rims of lips and lids."""
    noise = (torch.rand(1, 1, 128, 128, generator=torch.Generator().manual_seed(0)) - 0.5) * 2 * LARGEST
    noise.requires_grad_()
    fine = surface.normals(noise, head.template[None])
    _, coarse = surface.points(_flat(), head.template[None])
    cosine = (fine * coarse).sum(dim=1)
    assert cosine.min() > 0.86
    assert cosine.min() < 0.95
    fine[:, 1].sum().backward()
    assert noise.grad is not None
    assert noise.grad.isfinite().all()


def test_normals_have_gradients(head: Head, surface: DetailSurface) -> None:
    generator = torch.Generator().manual_seed(0)
    displacement = (torch.randn(1, 1, 128, 128, generator=generator) * 1e-4).requires_grad_()
    surface.normals(displacement, head.template[None])[:, 2].sum().backward()
    assert displacement.grad is not None
    assert displacement.grad.isfinite().all()
    assert displacement.grad.abs().sum() > 0


def test_visible_is_the_side_that_faces_the_viewer(
    head: Head, layout: UvLayout, surface: DetailSurface
) -> None:
    pose = torch.tensor([[0, 0, 0, 0, 0, 0], [0, 0.9, 0, 0, 0, 0.0]])
    output = head(torch.zeros(2, 100), torch.zeros(2, 50), pose)
    camera = framing_camera(output.landmarks_3d[0]).expand(2, 3)
    seen = surface.visible(output.vertices, project(output.vertices, camera), torch.ones(2, 1, 64, 64))
    x = layout.from_vertices(head.template[None])[0, 0]
    front, turned = seen[:, 0] > 0.5
    assert front[layout.face_region].float().mean() > 0.8
    assert not front[~layout.face_region].any()
    # the head turns to the image's right, so its left half is hidden
    assert (turned & (x > 0.02)).sum() < 0.6 * (turned & (x < -0.02)).sum()
    hidden = surface.visible(output.vertices, project(output.vertices, camera), torch.zeros(2, 1, 64, 64))
    assert (hidden == 0).all()


def test_obj_with_texture_coordinates(head: Head, tmp_path: Path) -> None:
    arrays = [part.numpy() for part in (head.template, head.faces, head.uv, head.uv_faces)]
    write_obj(tmp_path / "head.obj", arrays[0], arrays[1], uv=arrays[2], uv_faces=arrays[3])
    mesh = read_obj(tmp_path / "head.obj")
    assert np.array_equal(mesh.uv_faces, arrays[3])
    assert np.allclose(mesh.uv, arrays[2], atol=1e-5)
