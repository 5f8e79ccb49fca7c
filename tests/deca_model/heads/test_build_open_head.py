"""The embedded head can be built again, and the result is equal."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from deca_model.heads.open_head import load_open_head, save_open_head


def test_nearest_places_on_triangles() -> None:
    """Against a dense sampling of every triangle."""
    pytest.importorskip("scipy", reason="needs scipy (extra: head)")
    from deca_model.heads.building.landmarks import closest

    rng = np.random.default_rng(0)
    vertices, faces = rng.normal(size=(12, 3)), rng.integers(0, 12, (9, 3))
    usable = np.array([len(set(face)) == 3 for face in faces.tolist()]) & (np.arange(9) != 4)
    points = rng.normal(size=(20, 3))
    found, barycentric = closest(points, vertices, faces, usable)
    assert usable[found].all()
    assert barycentric.min() >= 0
    np.testing.assert_allclose(barycentric.sum(axis=1), 1)
    place = (vertices[faces[found]] * barycentric[..., None]).sum(axis=1)
    distance = np.linalg.norm(place - points, axis=1)
    samples = rng.dirichlet(np.ones(3) * 0.7, 20000)
    dense = np.concatenate([samples @ vertices[face] for face in faces[usable]])
    nearest = np.array([np.linalg.norm(dense - point, axis=1).min() for point in points])
    assert (distance <= nearest + 1e-12).all()
    np.testing.assert_allclose(distance, nearest, atol=0.03)


@pytest.mark.parametrize("key", ["template", "shape_basis", "static_faces", "face_region", "weights"])
def test_comparison_names_what_differs(key: str) -> None:
    pytest.importorskip("scipy", reason="needs scipy (extra: head)")
    from deca_model.heads.building.open_head import differences

    shipped = load_open_head()
    assert differences(shipped, shipped) == []
    changed = np.roll(getattr(shipped, key), 1, axis=0)
    if key == "template":
        changed = shipped.template + np.float32(1e-4)
    expected = {"template": "template differs by up to 0.0001", "static_faces": "static landmarks differ"}
    found = differences(dataclasses.replace(shipped, **{key: changed}), shipped)
    assert len(found) == 1
    assert found[0].startswith(expected.get(key, f"{key} differs"))


@pytest.mark.slow
def test_the_whole_build_gives_the_file_in_the_package(tmp_path: Path) -> None:
    """Takes one to three minutes, so it runs only on request; ``make head`` does the same."""
    if not os.environ.get("DECA_REBUILD_HEAD"):
        pytest.skip("builds the whole head again: set DECA_REBUILD_HEAD=1, or call make head")
    pytest.importorskip("anny", reason="needs anny (extra: head)")
    pytest.importorskip("mediapipe", reason="needs mediapipe (extra: data)")
    from deca_data.backends.mediapipe.landmarks import ibug_landmarks
    from deca_model.heads.building.mesh import load_source
    from deca_model.heads.building.open_head import build, differences

    save_open_head(build(load_source(), ibug_landmarks), tmp_path / "again.npz")
    assert differences(load_open_head(tmp_path / "again.npz"), load_open_head()) == []
