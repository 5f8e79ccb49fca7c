"""The dense landmarks: where they are on the open head, and how FLAME's file is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from deca_model.heads import Head, HeadData, load_head
from deca_model.heads.dense import FLAME_DENSE, load_open_dense
from manifests.errors import UsageError

PAIRS = {"mouth": (13, 14), "right eye": (159, 145), "left eye": (386, 374)}
"""Upper and lower points, in the middle of each opening."""


@pytest.fixture(scope="module")
def head() -> Head:
    return load_head("open")


def points(head: Head, jaw: float = 0.0, **modes: float) -> torch.Tensor:  # (468, 3)
    """The dense landmarks of the mean head with the named expression modes, by MediaPipe's numbers."""
    expression = torch.zeros(1, 50)
    for name, value in modes.items():
        expression[0, head.expression_names.index(name)] = value
    return head.dense(head(torch.zeros(1, 1), expression, torch.tensor([[0, 0, 0, jaw, 0, 0.0]])).vertices)[0]


def opening(placed: torch.Tensor, where: str) -> float:
    upper, lower = PAIRS[where]
    return float((placed[upper, 1] - placed[lower, 1]).abs())


def test_the_open_head_has_the_whole_mesh_without_irises(head: Head) -> None:
    assert head.dense_points is not None
    assert head.dense_points.tolist() == list(range(468))
    placed = points(head)
    assert placed[33, 0] < placed[133, 0] < 0 < placed[362, 0] < placed[263, 0]  # eye corners
    assert placed[10, 1] > placed[168, 1] > placed[1, 1] > placed[13, 1] > placed[152, 1]
    flipped = placed * torch.tensor([-1.0, 1.0, 1.0])
    partner = torch.cdist(flipped, placed).min(dim=1)
    assert partner.values.max() < 2e-3  # symmetric within the triangles' own asymmetry


def test_rims_open_and_close(head: Head) -> None:
    """Lips that touch have distance zero; the jaw opens only the mouth, a blink closes only the eyes."""
    rest = points(head)
    assert opening(rest, "mouth") < 1e-3
    wide = points(head, jaw=0.3)
    assert opening(wide, "mouth") > 0.02
    assert opening(wide, "left eye") == pytest.approx(opening(rest, "left eye"), abs=1e-4)
    shut = points(head, eyeBlink=1.0)
    for eye in ("left eye", "right eye"):
        assert opening(shut, eye) < 0.35 * opening(rest, eye)


def test_they_agree_with_the_68_landmarks(head: Head) -> None:
    """Single points of the mesh lie up to 6 mm off; those on the rims of lids and lips do not."""
    from deca_data.backends.mediapipe.landmark_maps import mesh_to_ibug

    dense = np.concatenate([mesh_to_ibug(points(head).numpy()), mesh_to_ibug(points(head).numpy()[:, 1:])], 1)
    of_68 = head(torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 6)).landmarks_3d[0].numpy()
    distance = np.linalg.norm(dense[:, [0, 1, 3]] - of_68, axis=1)[17:]
    assert np.median(distance) < 0.002
    assert distance.max() < 0.006
    same = [*range(36, 48), *range(60, 68)]
    assert np.median(distance[np.array(same) - 17]) < 0.001
    assert distance[np.array(same) - 17].max() < 0.0035


def test_flames_file_is_read(head: Head, tmp_path: Path) -> None:
    from deca_model.heads.dense import load_flame_dense

    assert load_flame_dense(tmp_path, 100) is None
    arrays = {
        "landmark_indices": np.array([276, 282, 283], np.int32),
        "lmk_face_idx": np.array([5, 99, 0], np.int32),
        "lmk_b_coords": np.full((3, 3), 1 / 3),
    }
    np.savez(tmp_path / FLAME_DENSE, **arrays)
    found = load_flame_dense(tmp_path, 100)
    assert found is not None
    assert found.points.tolist() == [276, 282, 283]
    assert found.barycentric.dtype == np.float32
    with pytest.raises(UsageError, match="do not fit the head"):
        load_flame_dense(tmp_path, 99)


def test_missing_and_damaged_points_are_one_sentence(head: Head, tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(UsageError, match=r"broken\.npz cannot be read"):
        load_open_dense(1000, tmp_path / "broken.npz")
    with pytest.raises(UsageError, match=r"absent\.npz: there is no such file"):
        load_open_dense(1000, tmp_path / "absent.npz")
    places = {"points": np.arange(2), "faces": np.arange(2), "barycentric": np.full((2, 3), np.nan)}
    np.savez(tmp_path / "nan.npz", **places)
    with pytest.raises(UsageError, match=r"nan\.npz: its dense landmarks do not fit"):
        load_open_dense(1000, tmp_path / "nan.npz")
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(UsageError, match=r"plain\.npy cannot be read"):
        load_open_dense(1000, tmp_path / "plain.npy")


def test_a_head_without_them_says_what_has_them(toy_head: Callable[..., HeadData]) -> None:
    data = toy_head()
    with pytest.raises(UsageError, match="has no dense landmarks: use the open head"):
        Head(data).dense(torch.zeros(1, len(data.template), 3))
