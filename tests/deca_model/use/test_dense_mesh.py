from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from trimesh.grouping import group_rows

from deca_model.files.obj import read_obj, write_obj
from deca_model.heads import load_head
from deca_model.networks.detail import DetailSurface
from deca_model.render.uv import UvLayout
from deca_model.use.dense_mesh import dense_mesh


@pytest.fixture(scope="module")
def layout(head):
    return UvLayout(head, 128)


def solid(vertices, faces) -> trimesh.Trimesh:
    return trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)


def open_edges(mesh: trimesh.Trimesh) -> np.ndarray:
    """(N, 2) the edges that only one triangle has."""
    return mesh.edges_sorted[group_rows(mesh.edges_sorted, require_count=1)]


@pytest.mark.parametrize("teeth", [False, True])
def test_the_only_hole_is_that_of_the_neck(teeth: bool):
    head = load_head("open", teeth=teeth)
    dense = dense_mesh(head, UvLayout(head, 128))
    points = dense.surface(head.template, head.faces)
    mesh, coarse = solid(points, dense.faces), solid(head.template, head.faces)
    divisions = round((len(dense.faces) / len(head.faces)) ** 0.5)
    assert divisions >= 2
    rim = open_edges(mesh)
    assert len(rim) == 42 * divisions  # the open head has 42 open edges, around its neck
    assert mesh.vertices[rim][..., 1].max() < coarse.vertices[open_edges(coarse)][..., 1].max() + 1e-3
    assert mesh.is_winding_consistent
    parts = mesh.split(only_watertight=False)
    closed = [True, True] * (2 if teeth else 1)  # two eyeballs, and the teeth
    assert sorted(part.is_watertight for part in parts) == [False, *closed]  # the skin is open
    for part in parts:  # closing the neck gives a solid whose volume is positive: it is right side out
        part.fill_holes()
        assert part.volume > 0
    assert abs(mesh.area / coarse.area - 1) < 0.02


def test_neighbours_across_a_seam_stay_together(head, layout):
    dense = dense_mesh(head, layout)
    moves = torch.rand(1, 128, 128, generator=torch.Generator().manual_seed(0)) * 0.004
    points = dense.surface(head.template, head.faces, moves)
    edges = points[dense.faces] - points[dense.faces.roll(1, dims=1)]
    assert edges.norm(dim=2).max() < 0.03
    assert len(open_edges(solid(points, dense.faces))) == len(
        open_edges(solid(dense.surface(head.template, head.faces), dense.faces))
    )
    assert len(dense.uv) > len(points)  # there are seams


def test_it_lies_where_the_texels_of_the_face_lie(head, layout):
    dense, surface = dense_mesh(head, layout), DetailSurface(layout)
    moves = torch.full((1, 1, 128, 128), 0.003)
    map_points, _ = surface.points(moves, head.template[None])
    points = dense.surface(head.template, head.faces, (moves * surface.region)[0])
    share = dense.sample(surface.region[0])[:, 0]
    inside = share > 0.999
    assert inside.float().mean() > 0.3
    distance = (dense.sample(map_points[0]) - points)[inside].norm(dim=1)
    assert distance.median() < 0.0003
    assert distance.quantile(0.99) < 0.003
    flat = dense.surface(head.template, head.faces)
    assert (points - flat)[inside].norm(dim=1).mean() == pytest.approx(0.003, abs=1e-4)
    assert torch.equal(
        points[dense.sample(surface.region[0])[:, 0] == 0], flat[dense.sample(surface.region[0])[:, 0] == 0]
    )


def test_each_corner_has_its_place_in_the_texture(head, layout, tmp_path: Path):
    dense = dense_mesh(head, layout)
    assert torch.equal(dense.vertex_of_uv[dense.uv_faces], dense.faces)
    points = dense.surface(head.template, head.faces)
    write_obj(
        tmp_path / "d.obj",
        points.numpy(),
        dense.faces.numpy(),
        uv=dense.uv.numpy(),
        uv_faces=dense.uv_faces.numpy(),
    )
    again = read_obj(tmp_path / "d.obj")
    assert np.allclose(again.vertices, points.numpy(), atol=1e-5)
    assert np.array_equal(again.faces, dense.faces.numpy())
    assert np.array_equal(again.uv_faces, dense.uv_faces.numpy())
