"""FLAME in its published format, on its real topology and on a tiny one."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deca_model.files.restricted_pickle import as_array, load_restricted
from deca_model.heads import load_head
from deca_model.heads.flame import load_flame_head
from manifests.errors import UsageError


def test_tiny_file_in_the_real_format(tiny_flame_folder: Path) -> None:
    data = load_flame_head(tiny_flame_folder / "generic_model.pkl")
    assert data.name == "flame"
    assert data.shape_basis.shape == (64, 3, 100)
    assert data.expression_basis.shape == (64, 3, 50)
    assert data.parents.tolist() == [-1, 0, 1, 1, 1]
    assert np.allclose(data.joint_regressor.sum(axis=1), 1)
    assert np.allclose(data.uv, (data.template[:, :2] + 0.08) / 0.16, atol=1e-5)
    output = load_head("flame", tiny_flame_folder)(torch.zeros(2, 100), torch.zeros(2, 50), torch.zeros(2, 6))
    assert torch.allclose(output.vertices, torch.from_numpy(data.template).expand(2, -1, -1), atol=1e-6)


def test_expression_modes_start_at_300(tiny_flame_folder: Path, flame_writer: Any) -> None:
    data = load_flame_head(tiny_flame_folder)
    shapes = np.zeros((64, 3, 400))
    shapes[:, :, 0], shapes[:, :, 300] = 1, 2
    flame_writer(tiny_flame_folder / "generic_model.pkl", data.template, data.faces, shapedirs=shapes)
    data = load_flame_head(tiny_flame_folder)
    assert (data.shape_basis[..., 0] == 1).all()
    assert (data.expression_basis[..., 0] == 2).all()
    assert data.shape_basis.sum() == 64 * 3
    assert data.expression_basis.sum() == 2 * 64 * 3


def test_plain_arrays_as_in_2023(tiny_flame_folder: Path) -> None:
    before = load_flame_head(tiny_flame_folder)
    content = {
        "v_template": before.template,
        "shapedirs": np.zeros((64, 3, 400)),
        "posedirs": np.zeros((64, 3, 36)),
        "J_regressor": before.joint_regressor,
        "kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "weights": before.weights,
        "f": before.faces,
    }
    (tiny_flame_folder / "generic_model.pkl").unlink()
    (tiny_flame_folder / "flame2023.pkl").write_bytes(pickle.dumps(content, 4))
    data = load_flame_head(tiny_flame_folder)
    assert np.array_equal(data.template, before.template)
    assert data.parents.tolist() == [-1, 0, 1, 1, 1]


def test_a_model_as_npz_beside_its_albedo(tiny_flame_folder: Path) -> None:
    before = load_flame_head(tiny_flame_folder)
    path = tiny_flame_folder / "generic_model.pkl"
    content = load_restricted(path)
    arrays = {key: as_array(value, key, path) for key, value in content.items() if not key.startswith("bs_")}
    path.unlink()
    np.savez_compressed(tiny_flame_folder / "flame2023.npz", bs_style=np.array("lbs"), **arrays)
    np.savez(tiny_flame_folder / "FLAME_texture.npz", mean=np.zeros(3))
    for place in (tiny_flame_folder, tiny_flame_folder / "flame2023.npz"):
        after = load_flame_head(place)
        for name, value in vars(before).items():
            assert np.array_equal(getattr(after, name), value), name
    np.savez(tiny_flame_folder / "flame2023.npz", **arrays | {"f": np.array([{}], dtype=object)})
    with pytest.raises(UsageError, match=r"flame2023\.npz is not an intact \.npz of plain arrays"):
        load_flame_head(tiny_flame_folder)
    np.savez(tiny_flame_folder / "other.npz", **arrays)
    with pytest.raises(UsageError, match=r"2 \.npz files"):
        load_flame_head(tiny_flame_folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("f", np.full((98, 3), 64)),
        ("f", np.full((98, 3), -1)),
        ("kintree_table", np.array([[-1, 0, 1, 1, 4], [0, 1, 2, 3, 4]])),
    ],
)
def test_indices_outside_the_model_are_one_sentence(
    tiny_flame_folder: Path, flame_writer: Any, key: str, value: np.ndarray
) -> None:
    data = load_flame_head(tiny_flame_folder)
    flame_writer(tiny_flame_folder / "generic_model.pkl", data.template, data.faces, **{key: value})
    with pytest.raises(UsageError, match=rf"'{key}' in .*generic_model\.pkl has numbers outside 0 to"):
        load_flame_head(tiny_flame_folder)


def test_landmarks_outside_the_model_are_one_sentence(tiny_flame_folder: Path) -> None:
    path = tiny_flame_folder / "landmark_embedding.npy"
    embedding = load_restricted(path)
    embedding["static_lmk_faces_idx"] = np.full(51, 98)
    np.save(path, np.array(embedding, dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match=r"'static_lmk_faces_idx' in .* outside 0 to 97"):
        load_flame_head(tiny_flame_folder)


def test_real_topology_poses_a_head(flame_folder: Path) -> None:
    head = load_head("flame", flame_folder)
    assert (head.template.shape, head.faces.shape, head.uv.shape) == ((5023, 3), (9976, 3), (5118, 2))
    shape = torch.zeros(2, 100)
    shape[1, 0] = 1
    pose = torch.tensor([[0.0, 0, 0, 0, 0, 0], [0, 0, 0, 0.3, 0, 0]])
    output = head(shape, torch.zeros(2, 50), pose)
    assert output.landmarks_2d.shape == (2, 68, 3)
    assert output.vertices.isfinite().all()
    eyes = output.landmarks_3d[0, 36:48].mean(0) - output.landmarks_3d[0, 8]
    assert eyes[1] > 0.05  # the eyes lie above the chin
    assert output.landmarks_3d[0, 36, 0] < output.landmarks_3d[0, 45, 0]  # the subject's right is at -x


def test_face_region_is_the_face(flame_folder: Path) -> None:
    by_mask = load_flame_head(flame_folder)
    centres = by_mask.template[by_mask.faces].mean(axis=1)
    front = centres[by_mask.face_region][:, 2]
    assert 0.2 < by_mask.face_region.mean() < 0.8
    assert np.median(front) > np.median(centres[~by_mask.face_region][:, 2]) + 0.03
    assert by_mask.face_region[by_mask.static_faces].all()
    (flame_folder / "uv_face_eye_mask.png").rename(flame_folder / "away.png")
    try:
        by_landmarks = load_flame_head(flame_folder).face_region
    finally:
        (flame_folder / "away.png").rename(flame_folder / "uv_face_eye_mask.png")
    assert by_landmarks[by_mask.static_faces].mean() > 0.9
    assert (by_landmarks & by_mask.face_region).sum() > 0.6 * by_landmarks.sum()


@pytest.mark.parametrize("key", ["v_template", "shapedirs", "J_regressor", "weights", "f"])
def test_missing_and_misshapen_arrays(tiny_flame_folder: Path, flame_writer: Any, key: str) -> None:
    data = load_flame_head(tiny_flame_folder)
    path = tiny_flame_folder / "generic_model.pkl"
    flame_writer(path, data.template, data.faces, **{key: None})
    with pytest.raises(UsageError, match=f"lacks {key}"):
        load_flame_head(tiny_flame_folder)
    flame_writer(path, data.template, data.faces, **{key: np.zeros((3, 5, 7))})
    with pytest.raises(UsageError, match=r"generic_model\.pkl|other triangles|shape"):
        load_flame_head(tiny_flame_folder)


@pytest.mark.parametrize("name", ["landmark_embedding.npy", "head_template.obj"])
def test_missing_companions_are_named(tiny_flame_folder: Path, name: str) -> None:
    (tiny_flame_folder / name).unlink()
    with pytest.raises(UsageError, match=f"{name} is missing"):
        load_flame_head(tiny_flame_folder)


def test_missing_model_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_flame_head(tmp_path / "nowhere.pkl")
    with pytest.raises(UsageError, match=r"no \.pkl file"):
        load_flame_head(tmp_path)


def test_malicious_model_is_refused(tiny_flame_folder: Path) -> None:
    class Command:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tiny_flame_folder / 'executed'}",)

    (tiny_flame_folder / "generic_model.pkl").write_bytes(pickle.dumps({"v_template": Command()}, 2))
    with pytest.raises(UsageError, match="no model file needs"):
        load_flame_head(tiny_flame_folder)
    assert not (tiny_flame_folder / "executed").exists()
