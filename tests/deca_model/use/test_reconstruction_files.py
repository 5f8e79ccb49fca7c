"""Every file of a reconstruction, opened by libraries that did not write it, or against the photo."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.proximity import closest_point_naive

from deca_model.render.normals import vertex_normals
from deca_model.use.detail_maps import DEPTH_STEP, DISPLACEMENT_STEP
from deca_model.use.face_pictures import CELL, other_views
from deca_model.use.mesh_files import check_formats
from deca_model.use.reconstruction_files import Outputs, read_codes, save_reconstruction
from manifests.errors import UsageError


@pytest.fixture(scope="module")
def relief(found):
    """The faces with a known displacement: a wave of half a millimetre across the map."""
    model, _, result = found
    wave = 0.0005 * torch.sin(torch.arange(64) * 0.8)
    return model, replace(result, displacement=wave.expand(2, 1, 64, 64).contiguous())


@pytest.fixture(scope="module")
def out(relief, tmp_path_factory):
    """A folder with all files of two faces; the name of the second has a folder and a dot."""
    folder = tmp_path_factory.mktemp("out")
    outputs = Outputs(("glb", "obj", "ply"), depth=True)
    model, result = relief
    written = save_reconstruction(model, result, ["one", "sub/two.b"], folder, outputs)
    assert sorted(written) == sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".mtl")
    return folder


def opened(path: Path) -> Any:
    """The only mesh of a file, as trimesh reads it."""
    found = trimesh.load(path, process=False)
    if not isinstance(found, trimesh.Scene):
        return found
    (mesh,) = found.geometry.values()
    return mesh


@pytest.mark.parametrize("name", ["one", "one_detail", "sub/two.b", "sub/two.b_detail"])
@pytest.mark.parametrize("ending", ["glb", "obj", "ply"])
def test_trimesh_opens_each_mesh_right_side_out_upright_in_metres(relief, out, name, ending):
    _, result = relief
    n = int(name.startswith("sub"))
    loaded = opened(out / f"{name}.{ending}")
    truth = result.posed.head.vertices[n].numpy()
    np.testing.assert_allclose(loaded.bounds, [truth.min(0), truth.max(0)], atol=2e-3)
    assert loaded.is_winding_consistent
    whole = loaded.copy()
    whole.merge_vertices(merge_tex=True, merge_norm=True)
    whole.fill_holes()  # the neck
    assert whole.volume > 0.003  # cubic metres; positive is right side out
    # the face: the texel under the nose has the colour that the texture has there
    texture = np.asarray(Image.open(out / f"{'one' if n == 0 else 'sub/two.b'}_texture.png"))
    if ending == "ply":
        colours = np.asarray(loaded.visual.vertex_colors)[:, :3].astype(int)
        assert np.abs(colours.std(axis=0)).min() > 5
    else:
        material = loaded.visual.material
        image = material.baseColorTexture if ending == "glb" else material.image
        assert np.array_equal(np.asarray(image.convert("RGB")), texture)
        uv = np.asarray(loaded.visual.uv)
        assert uv.min() >= 0
        assert uv.max() <= 1


def test_the_meshes_of_a_face_lie_on_its_landmarks_in_the_photo(relief, out):
    """By the codes file alone: the head's landmarks in 3-D fall onto those in the photo."""
    _, result = relief
    for n, name in enumerate(["one", "sub/two.b"]):
        told = np.load(out / f"{name}.npz", allow_pickle=False)
        mesh = opened(out / f"{name}.glb")
        scale, tx, ty = told["camera"]
        x, y, side = told["crop"]
        inner = told["landmarks_3d"][17:]  # the jaw line in the photo is that of the silhouette
        at = (inner[:, :2] + [tx, ty]) * [scale, -scale] * side / 2 + [x, y]
        np.testing.assert_allclose(at, told["landmarks"][17:], atol=0.05)
        _, distance, _ = closest_point_naive(mesh, told["landmarks_3d"][[30, 48, 54]])
        assert distance.max() < 1e-4
        assert str(told["head"]) == "open"
        assert all(
            torch.equal(a[0], b[n])
            for a, b in zip(read_codes(out / f"{name}.npz"), result.posed.codes, strict=True)
        )


def test_the_json_says_the_same_as_the_npz(out):
    told, arrays = json.loads((out / "one.json").read_text()), np.load(out / "one.npz")
    assert set(arrays.files) <= set(told)
    for name in arrays.files:
        if name != "head":
            np.testing.assert_allclose(told[name], arrays[name], atol=1e-5)
    assert "metres" in told["units"]["vertices"]


def test_displacement_and_depth_come_back_in_metres(relief, out):
    model, result = relief
    steps = np.asarray(Image.open(out / "one_displacement.png"))
    assert steps.dtype == np.uint16 or steps.dtype == np.int32
    metres = (steps.astype(float) - 32768) * DISPLACEMENT_STEP
    inside = model.surface.region[0, 0].numpy() > 0
    np.testing.assert_allclose(metres[inside], result.displacement[0, 0].numpy()[inside], atol=1e-6)
    assert (metres[~inside] == 0).all()
    depth = np.asarray(Image.open(out / "one_depth.png")).astype(int)
    assert depth.shape == (512, 512)
    assert 0.05 < (depth == 0).mean() < 0.9
    vertices = result.posed.head.vertices[0]
    z = (depth[depth > 0].astype(float) - 32768) * DEPTH_STEP
    assert vertices[:, 2].min() - 1e-4 <= z.min()
    assert z.max() == pytest.approx(float(vertices[:, 2].max()), abs=2e-4)
    # the pixel of each landmark of the nose has its depth
    told = np.load(out / "one.npz")
    x, y, side = told["crop"]
    at = (told["landmarks"][30] - [x, y]) / side * 512 + 255.5
    column, row = np.round(at).astype(int)
    assert (depth[row, column] - 32768.0) * DEPTH_STEP == pytest.approx(told["landmarks_3d"][30, 2], abs=2e-3)


def test_the_normal_map_is_the_slope_of_the_displacement(relief, out):
    """Turned back into head space with the glTF convention, it gives the normals of the displaced surface."""
    picture = np.asarray(Image.open(out / "one_normals.png")).astype(float) / 127.5 - 1
    model, result = relief
    normals = torch.from_numpy(picture).permute(2, 0, 1)
    inner = model.surface.region[0, 0] > 0
    assert normals[2][inner].mean() > 0.9
    wave = result.displacement[0, 0]
    slope = (wave[:, 2:] - wave[:, :-2])[:, :] / 2  # growing u
    both = inner[:, 1:-1] & inner[:, 2:] & inner[:, :-2]
    tilt = normals[0][:, 1:-1]
    # where the surface rises with u, its normal leans back to smaller u
    agreement = np.corrcoef(-slope[both].numpy(), tilt[both].numpy())[0, 1]
    assert agreement > 0.7
    assert abs(normals[1][inner]).mean() < abs(normals[0][inner]).mean()


def test_a_glb_holds_smooth_normals_and_the_normal_map(relief, out):
    model, result = relief
    mesh = opened(out / "one.glb")
    assert mesh.visual.material.normalTexture.size == (64, 64)
    assert mesh.visual.material.metallicFactor == 0
    expected = vertex_normals(result.posed.head.vertices[:1], model.head.faces)[0].numpy()
    vertex = np.zeros(len(model.head.uv), np.int64)
    vertex[model.head.uv_faces.numpy()] = model.head.faces.numpy()
    np.testing.assert_allclose(mesh.vertex_normals, expected[vertex], atol=1e-5)


def test_without_details_there_is_no_detail_file(found, tmp_path):
    model, _, result = found
    one = replace(result, displacement=None)
    save_reconstruction(model, one, ["a", "b"], tmp_path, Outputs(("ply",)))
    names = {path.name for path in tmp_path.iterdir() if path.name.startswith("a")}
    assert names == {"a.ply", "a.png", "a.npz", "a.json", "a_texture.png", "a_albedo.png"}
    assert cv2.imread(str(tmp_path / "a.png")).shape == (CELL, 5 * CELL, 3)


def test_the_picture_shows_photo_landmarks_shape_details_and_two_other_sides(relief, out):
    _, result = relief
    picture = cv2.imread(str(out / "one.png"))[..., ::-1].astype(int)
    assert picture.shape == (CELL, 6 * CELL, 3)
    photo, marked, shape, detailed, left, right = np.split(picture, 6, axis=1)
    small = cv2.resize(
        result.sharp[0].permute(1, 2, 0).numpy() * 255, (CELL, CELL), interpolation=cv2.INTER_AREA
    )
    assert np.abs(photo - small).mean() < 4
    changed = (np.abs(photo - marked) > 20).any(axis=2)
    assert 0.002 < changed.mean() < 0.2
    assert np.abs(shape - detailed).max() > 8
    assert np.abs(left - right[:, ::-1]).mean() > 1
    for side in (left, right):
        assert 0.1 < (side == 255).all(axis=2).mean() < 0.8
    assert (shape.max(axis=2) - shape.min(axis=2) > 15).any()  # brown eyes in a grey head


def test_the_other_views_are_to_both_sides_of_the_photo():
    def views(yaw: float) -> list[float]:
        return other_views(torch.tensor([[0, np.radians(yaw), 0, 0, 0, 0]], dtype=torch.float32))

    assert views(0) == pytest.approx([-28, 28])
    for yaw in (-80, -20, 30, 80):
        assert all(abs(view) <= 80 for view in views(yaw))
        assert abs(views(yaw)[0] - views(yaw)[1]) == pytest.approx(56)


def test_an_unknown_format_is_one_sentence():
    assert check_formats(["GLB", ".ply", "glb"]) == ("glb", "ply")
    with pytest.raises(UsageError, match="no mesh format 'stl'; choose from glb, obj, ply"):
        check_formats(["glb", "stl"])
    with pytest.raises(UsageError, match="no mesh format is named"):
        check_formats([""])
