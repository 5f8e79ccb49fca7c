"""ICT-FaceKit: an OBJ folder is written from the published numbers and loaded as a head."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from deca_model.heads import Head, load_head
from deca_model.heads.ict import load_ict_head
from deca_model.heads.ict_files import read_ict
from manifests.errors import UsageError

EXPRESSIONS = ("browDown_L", "eyeBlink_L", "eyeLookIn_L", "jawLeft", "jawOpen", "jawRight", "mouthSmile_L")
IDENTITIES = 2
NEUTRAL = torch.zeros(1, 100), torch.zeros(1, 50)


@pytest.fixture(scope="module")
def ict_folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FaceXModel folder with two identities and seven expressions."""
    assets = shared / "assets" / "ict"
    if not assets.is_dir():
        pytest.skip("needs ICT-FaceKit's numbers in ../shared/assets/ict, which is not part of the project")
    folder = tmp_path_factory.mktemp("ict") / "FaceXModel"
    folder.mkdir()
    shutil.copy(assets / "generic_neutral_mesh.obj", folder)
    index = json.loads((assets / "vertex_indices.json").read_text())
    (folder / "vertex_indices.json").write_text(json.dumps(index | {"expressions": list(EXPRESSIONS)}))
    with np.load(assets / "ict_facekit_light.npz") as arrays:
        neutral, names = arrays["neutral"], arrays["expression_names"].tolist()
        identity, expression = arrays["identity"][:IDENTITIES], arrays["expression"]
    for number, offsets in enumerate(identity):
        _write_obj(folder / f"identity{number:03d}.obj", neutral + offsets)
    for name in EXPRESSIONS:
        _write_obj(folder / f"{name}.obj", neutral + expression[names.index(name)])
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def head(ict_folder: Path, cache: Path) -> Head:
    return load_head("ict", ict_folder.parent, cache)


def _write_obj(path: Path, vertices: np.ndarray) -> None:
    np.savetxt(path, vertices, fmt="v %.5f %.5f %.5f")


def _pose(head: Head, **angles: float) -> torch.Tensor:
    pose = torch.zeros(1, 6)
    for name, angle in angles.items():
        pose[0, {"yaw": 1, "jaw_x": 3, "jaw_y": 4}[name]] = angle
    return pose


def test_sizes_units_and_names(head: Head) -> None:
    assert head.name == "ict"
    assert (len(head.shape_basis), len(head.expression_basis)) == (100, 50)
    assert head.shape_basis[:IDENTITIES].abs().amax(dim=1).min() > 1e-3
    assert (head.shape_basis[IDENTITIES:] == 0).all()
    assert head.expression_names == ("browDown_L", "eyeBlink_L", "mouthSmile_L")
    extent = head.template.amax(0) - head.template.amin(0)
    assert 0.2 < extent[0] < 0.3  # metres
    assert head.uv.min() >= 0
    assert head.uv.max() <= 1
    assert head.template.abs().amax() < 0.25  # the origin lies within the head


def test_offsets_are_those_of_the_files(ict_folder: Path, shared: Path) -> None:
    model = read_ict(ict_folder)
    with np.load(shared / "assets" / "ict" / "ict_facekit_light.npz") as arrays:
        number = arrays["expression_names"].tolist().index("jawOpen")
        expected = arrays["expression"][number].astype(np.float32) * 0.01
    found = model.expression[model.expression_names.tolist().index("jawOpen")]
    assert np.allclose(found, expected, atol=2e-7)
    assert model.identity.shape == (IDENTITIES, 26719, 3)


def test_landmarks_lie_where_they_should(head: Head) -> None:
    output = head(*NEUTRAL, _pose(head))
    points = output.landmarks_3d[0]
    assert points[30, 2] == points[:, 2].max()  # the nose tip
    assert points[8, 1] == points[:, 1].min()  # the chin
    assert points[36, 0] < points[39, 0] < 0 < points[42, 0] < points[45, 0]
    assert torch.allclose(points[36:40, 0], -points[[45, 44, 43, 42], 0], atol=1e-3)
    assert torch.allclose(output.landmarks_2d[:, 17:], output.landmarks_3d[:, 17:])
    assert (output.landmarks_2d - output.landmarks_3d)[0, :17, :2].norm(dim=1).max() < 0.015


def test_contour_follows_the_silhouette(head: Head) -> None:
    turned = head(*NEUTRAL, _pose(head, yaw=0.6))
    far, near = turned.landmarks_2d[0, 12:16], turned.landmarks_3d[0, 12:16]
    assert (far[:, 0] > near[:, 0]).all()  # the hidden jaw line moves outwards to the silhouette


def test_jaw_pose_is_the_models_own_jaw_shape(head: Head, ict_folder: Path) -> None:
    neutral = head(*NEUTRAL, _pose(head)).landmarks_3d[0]
    opened = head(*NEUTRAL, _pose(head, jaw_x=0.3)).landmarks_3d[0]
    assert opened[8, 1] < neutral[8, 1] - 0.02
    assert opened[57, 1] - opened[51, 1] < neutral[57, 1] - neutral[51, 1] - 0.01
    assert (opened[36:48] - neutral[36:48]).norm(dim=1).max() < 0.002
    aside = head(*NEUTRAL, _pose(head, jaw_y=0.08)).landmarks_3d[0]
    assert aside[8, 0] > 0.004  # the chin moves to the subject's left


def test_eyes_turn_about_their_own_centre(head: Head) -> None:
    eye_pose = torch.tensor([[0.0, 0.4, 0, 0, 0, 0]])
    still = head(*NEUTRAL, _pose(head)).vertices[0]
    turned = head(*NEUTRAL, _pose(head), eye_pose=eye_pose).vertices[0]
    moved = (turned - still).norm(dim=1) > 1e-5
    assert moved.any()
    assert (still[moved, 0] > 0).all()  # the subject's left eye only
    assert (turned[moved].mean(0) - still[moved].mean(0)).norm() < 0.001


def test_face_region_and_symmetric_uv(head: Head) -> None:
    centres = head.template[head.faces].mean(dim=1)
    assert 0.2 < head.face_region.float().mean() < 0.7
    assert centres[head.face_region, 2].mean() > centres[~head.face_region, 2].mean()
    corners = head.uv[head.uv_faces[head.face_region]].mean(dim=1)
    left = centres[head.face_region, 0] > 0
    assert float(corners[left, 0].mean() + corners[~left, 0].mean()) == pytest.approx(1, abs=0.02)


def test_cache_is_used_until_a_file_changes(ict_folder: Path, cache: Path, head: Head) -> None:
    files = list(cache.glob("ict-*.npz"))
    assert len(files) == 1
    again = load_ict_head(ict_folder, cache)
    assert np.array_equal(again.template, head.template.numpy())
    assert list(cache.glob("ict-*.npz")) == files
    changed = ict_folder / "identity000.obj"
    before = changed.stat().st_mtime_ns
    os.utime(changed, ns=(before + 10**9, before + 10**9))
    read_ict(ict_folder, cache)
    os.utime(changed, ns=(before, before))
    assert len(list(cache.glob("ict-*.npz"))) == 2


def test_what_is_missing_is_named(ict_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no generic_neutral_mesh\.obj"):
        load_ict_head(tmp_path)
    for path in ict_folder.iterdir():
        os.link(path, tmp_path / path.name)
    (tmp_path / "jawOpen.obj").unlink()
    with pytest.raises(UsageError, match=r"jawOpen\.obj"):
        load_ict_head(tmp_path)
    _write_obj(tmp_path / "jawOpen.obj", np.zeros((5, 3)))
    with pytest.raises(UsageError, match=r"jawOpen\.obj has 5 vertices"):
        load_ict_head(tmp_path)
    (tmp_path / "vertex_indices.json").unlink()
    (tmp_path / "vertex_indices.json").write_text("{}")
    with pytest.raises(UsageError, match="not ICT-FaceKit's index"):
        load_ict_head(tmp_path)
