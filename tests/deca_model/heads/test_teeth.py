"""The teeth of the open head: closed solids behind closed lips, seen when the jaw opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from deca_model.heads import Head, load_head
from deca_model.render.rasterize import rasterize


@pytest.fixture(scope="module")
def plain() -> Head:
    return load_head("open")


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head("open", teeth=True)


def seen_teeth(head: Head, shape: torch.Tensor, jaw: float) -> tuple[int, int]:
    """Pixels of the upper and of the lower teeth, of half a millimetre, in a picture of the mouth."""
    pose = torch.tensor([[0, 0, 0, jaw, 0, 0.0]])
    points = head(shape, torch.zeros(1, 1), pose).vertices + torch.tensor([0, 0.06, 0])
    points = points * torch.tensor([15.6, -15.6, -15.6])
    seen = rasterize(points, head.faces, 256).face_index[0]
    first = len(head.faces) - head.tooth_faces
    middle = first + head.tooth_faces // 2
    return int(((seen >= first) & (seen < middle)).sum()), int((seen >= middle).sum())


def test_the_heads_own_numbers_and_landmarks_stay(plain: Head, head: Head):
    count, triangles = len(plain.template), len(plain.faces)
    assert torch.equal(head.template[:count], plain.template)
    assert torch.equal(head.faces[:triangles], plain.faces)
    assert len(head.faces) == triangles + head.tooth_faces
    assert plain.tooth_faces == 0
    assert not head.face_region[triangles:].any()
    made = torch.Generator().manual_seed(0)
    codes = [torch.randn(2, size, generator=made) * scale for size, scale in ((100, 1), (50, 1), (6, 0.2))]
    one, other = plain(*codes), head(*codes)
    for before, after in zip(one, other, strict=True):
        torch.testing.assert_close(after[:, : before.shape[1]], before, atol=1e-6, rtol=0)
    assert torch.equal(head.dense(other.vertices), head.dense(other.vertices[:, :count]))


def test_each_arch_is_a_closed_solid_right_side_out_and_symmetric(head: Head):
    faces = head.faces[-head.tooth_faces :].numpy()
    upper, lower = trimesh.Trimesh(head.template.numpy(), faces).split(only_watertight=False)
    for arch in (upper, lower):
        assert arch.is_watertight
        assert arch.is_winding_consistent
        assert 2e-6 < arch.volume < 1e-5  # cubic metres
        np.testing.assert_allclose(arch.bounds[0, 0], -arch.bounds[1, 0], atol=1e-5)
    assert upper.bounds[1, 1] > lower.bounds[1, 1]
    assert upper.bounds[1, 2] > lower.bounds[1, 2]  # the upper teeth stand before the lower ones
    uv = head.uv[head.uv_faces[-head.tooth_faces :]]
    area = torch.linalg.det(uv[:, 1:] - uv[:, :1])
    assert ((area > 0).sum() == 0) or ((area < 0).sum() == 0)  # no texel is used twice
    assert (area != 0).sum() > 0.9 * len(area)


def test_lips_hide_them_and_an_open_jaw_shows_them(head: Head):
    made = torch.Generator().manual_seed(1)
    people = [torch.zeros(1, 100), *(torch.randn(1, 100, generator=made) * 0.8 for _ in range(5))]
    for shape in people:
        shut, opened = sum(seen_teeth(head, shape, 0.0)), seen_teeth(head, shape, 0.2)
        assert shut < 100  # 25 square millimetres, at the slit between the lips
        assert sum(opened) > shut + 70
    assert min(seen_teeth(head, people[0], 0.4)) > 50


def test_the_lower_teeth_follow_the_jaw(head: Head):
    zero, half = torch.zeros(1, 1), head.tooth_faces // 2
    opened = head(zero, zero, torch.tensor([[0, 0, 0, 0.4, 0, 0.0]])).vertices[0]
    upper, lower = (part.unique() for part in head.faces[-head.tooth_faces :].split(half))
    assert torch.allclose(opened[upper], head.template[upper], atol=1e-6)
    down = (head.template - opened)[lower, 1]
    assert down.min() > 0.01


def test_other_heads_get_no_teeth(tiny_flame_folder: Path):
    assert load_head("flame", tiny_flame_folder, teeth=True).tooth_faces == 0
