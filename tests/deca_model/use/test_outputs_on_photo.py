"""The files of a face against its photo, as a stranger reads them: by trimesh, Pillow and the JSON alone."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import replace
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.proximity import closest_point_naive

from deca_model.use.reconstruction_files import Outputs, save_reconstruction
from manifests.images.crop import Square
from tests.deca_model.use.conftest import drawn, load_small_model, turned_head
from tests.pipelines.share.webdriver import Browser

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 60, 200), "yellow": (210, 200, 60)}
"""Of the photo's quarters: upper left, upper right, lower left, lower right, as a viewer sees them."""
CROP = np.array([131.5, 140.5, 90.0])
"""Centre x, y and side of the face's square in the photo, pixels."""


@pytest.fixture(scope="module")
def photo() -> np.ndarray:  # (300, 280, 3) uint8
    """The quarters meet in the middle of the crop; the person's right cheek, on the left, is red and blue."""
    made = np.zeros((300, 280, 3), np.uint8)
    x, y = 132, 141
    for (rows, columns), colour in zip(
        [(slice(0, y), slice(0, x)), (slice(0, y), slice(x, None)),
         (slice(y, None), slice(0, x)), (slice(y, None), slice(x, None))], COLOURS.values(), strict=True,
    ):  # fmt: skip
        made[rows, columns] = colour
    return made


@pytest.fixture(scope="module")
def out(photo: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of a head that is turned by 12 degrees, with teeth, of the photo."""
    model = load_small_model(teeth=True)
    found = turned_head(model.head, 12.0)
    side = int(CROP[2])
    left, top = (CROP[:2] - (side - 1) / 2).round().astype(int)
    cut = Image.fromarray(photo[top : top + side, left : left + side]).resize(
        (512, 512), Image.Resampling.BOX
    )
    sharp = torch.from_numpy(np.asarray(cut).copy()).permute(2, 0, 1)[None].float() / 255
    square = Square(CROP[:2], np.array(CROP[2]))
    found = replace(found, sharp=sharp, squares=(square,), displacement=torch.zeros(1, 1, 64, 64))
    folder = tmp_path_factory.mktemp("out")
    save_reconstruction(model, found, ["anna"], folder, Outputs(("glb", "obj", "ply"), depth=True))
    return folder


def opened(path: Path) -> tuple[Any, np.ndarray]:
    """A mesh, and the colour at each of its vertices (V, 3), by the texture or by the vertex itself."""
    found: Any = trimesh.load(path, process=False)
    if isinstance(found, trimesh.Scene):
        (found,) = found.geometry.values()
    colours = found.visual.to_color() if path.suffix != ".ply" else found.visual
    return found, np.asarray(colours.vertex_colors)[:, :3].astype(int)


def on_photo(out: Path, points: np.ndarray) -> np.ndarray:  # (N, 3) -> (N, 2)
    """Points of the head in pixels of the photo, by the sentence in the JSON's units."""
    told = json.loads((out / "anna.json").read_text())
    scale, tx, ty = told["camera"]
    x, y, side = told["crop"]
    assert told["units"]["vertices"].startswith("metres")
    return np.stack(
        [x + side / 2 * scale * (points[:, 0] + tx), y - side / 2 * scale * (points[:, 1] + ty)], axis=1
    )


@pytest.mark.parametrize("name", ["anna.glb", "anna.obj", "anna.ply", "anna_detail.glb", "anna_detail.ply"])
def test_each_quarter_of_the_photo_lies_where_the_mesh_has_its_colour(out, photo, name):
    """Aligned, upright, and neither mirrored nor inside out: the person's left is to +x, up is +y."""
    mesh, colours = opened(out / name)
    at = on_photo(out, mesh.vertices)
    front = (mesh.vertex_normals[:, 2] > 0.7) & (mesh.vertices[:, 2] > 0.07)
    clear = front & (np.abs(at - (CROP[:2] + 0.5)) > 3).all(axis=1)
    pixels = at[clear].round().astype(int)
    expected = photo[pixels[:, 1], pixels[:, 0]].astype(int)
    assert clear.sum() > 400
    alike = np.abs(colours[clear] - expected).max(axis=1) < 40
    mouth = np.abs(mesh.vertices[clear] - [0.02, -0.05, 0.09]).max(axis=1) < 0.04
    assert alike[~mouth].mean() > 0.93  # not the backs of the lids
    assert alike[mouth].mean() > 0.5  # lips and chin; they hide the teeth
    x, y = mesh.vertices[clear].T[:2]
    red = np.abs(colours[clear] - COLOURS["red"]).max(axis=1) < 40
    yellow = np.abs(colours[clear] - COLOURS["yellow"]).max(axis=1) < 40
    assert min(red.sum(), yellow.sum()) > 40
    assert x[red].mean() < x[yellow].mean() - 0.02  # metres: a person's right cheek is at -x
    assert y[red].mean() > y[yellow].mean() + 0.02


PAGE = """<!doctype html><meta charset=utf-8><script>$SCRIPT</script><script>
const bytes = Uint8Array.from(atob("$DATA"), letter => letter.charCodeAt(0)).buffer;
new THREE.GLTFLoader().parse(bytes, "", found => {
  const renderer = new THREE.WebGLRenderer({preserveDrawingBuffer: true});
  renderer.outputEncoding = THREE.sRGBEncoding;
  renderer.setSize(300, 300);
  document.body.append(renderer.domElement);
  const scene = new THREE.Scene(), camera = new THREE.OrthographicCamera(-0.15, 0.15, 0.15, -0.15, 0, 2);
  scene.background = new THREE.Color(1, 1, 1);
  scene.add(found.scene, new THREE.AmbientLight(0xffffff, 1));
  camera.position.set(0, 0, 1);
  renderer.render(scene, camera);
  document.documentElement.dataset.ready = "";
});</script>"""
"""Shows a GLB from the front, a millimetre a pixel, with the loader of three.js."""


@pytest.mark.parametrize("name", ["anna.glb", "anna_detail.glb"])
def test_a_browser_shows_the_glb_as_the_photo(out: Path, driven: Browser, tmp_path: Path, name: str):
    """By another reader than the library that wrote the file; inside out, the face would not be seen."""
    packed = (resources.files("trimesh") / "resources/templates/viewer.zip").read_bytes()
    whole = zipfile.ZipFile(io.BytesIO(packed)).read("viewer.html.template").decode()
    script = whole[whole.index("<script>") + 8 : whole.index("var camera,controls,scene,renderer")]
    data = base64.b64encode((out / name).read_bytes()).decode()
    (tmp_path / "glb.html").write_text(Template(PAGE).substitute(SCRIPT=script, DATA=data))
    driven.open((tmp_path / "glb.html").as_uri(), 400, 400)
    shown = drawn(driven)
    _, tx, ty = json.loads((out / "anna.json").read_text())["camera"]
    ends = [(-0.02, 0.015), (0.02, 0.015), (-0.02, -0.015), (0.02, -0.015)]
    for (x, y), colour in zip(ends, COLOURS.values(), strict=True):
        column, row = round(150 + 1000 * (x - tx)), round(150 - 1000 * (y - ty))
        assert np.abs(shown[row, column] - colour).max() < 40


def test_another_reader_opens_the_ply_with_its_colours(out: Path):
    reader = pytest.importorskip("pytorch3d.io", reason="needs PyTorch3D, another reader of PLY").IO()
    mesh, colours = opened(out / "anna.ply")
    found = reader.load_mesh(out / "anna.ply")
    np.testing.assert_allclose(found.verts_packed().numpy(), mesh.vertices, atol=1e-6)
    assert np.array_equal(found.faces_packed().numpy(), mesh.faces)
    read = found.textures.verts_features_packed().numpy() * 255
    np.testing.assert_allclose(read[:, :3], colours, atol=1)


def test_the_depth_map_lies_on_the_mesh(out):
    """Pixels of the depth map, taken back into head space, are points of the GLB's surface."""
    told = json.loads((out / "anna.json").read_text())
    numbers = np.asarray(Image.open(out / "anna_depth.png")).astype(float)
    rows, columns = np.nonzero(numbers)
    chosen = np.random.default_rng(0).choice(len(rows), 60, replace=False)
    rows, columns = rows[chosen], columns[chosen]
    scale, tx, ty = told["camera"]
    size = len(numbers)
    points = np.stack(
        [
            ((2 * columns + 1) / size - 1) / scale - tx,
            -((2 * rows + 1) / size - 1) / scale - ty,
            (numbers[rows, columns] - 32768) * 1e-5,
        ],
        axis=1,
    )
    mesh, _ = opened(out / "anna.glb")
    _, distance, _ = closest_point_naive(mesh, points)
    assert np.quantile(distance, 0.95) < 2e-4  # metres


def test_the_gaze_is_in_the_codes_with_its_unit(out):
    told = json.loads((out / "anna.json").read_text())
    assert told["eyes"] == [0.0] * 6
    assert told["units"]["eyes"].startswith("radians")
    with np.load(out / "anna.npz") as codes:
        assert codes["eyes"].shape == (6,)
