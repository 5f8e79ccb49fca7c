"""The files of a face against its photo, as a stranger reads them: by trimesh, Pillow and the JSON alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.proximity import closest_point_naive

from deca_model.use.reconstruction_files import Outputs, save_reconstruction
from manifests.images.crop import Square
from tests.deca_model.use.conftest import load_small_model, turned_head

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
    assert alike.mean() > 0.88  # the others are teeth, which the photo's lips hide
    x, y = mesh.vertices[clear].T[:2]
    red = np.abs(colours[clear] - COLOURS["red"]).max(axis=1) < 40
    yellow = np.abs(colours[clear] - COLOURS["yellow"]).max(axis=1) < 40
    assert min(red.sum(), yellow.sum()) > 40
    assert x[red].mean() < x[yellow].mean() - 0.02  # metres: a person's right cheek is at -x
    assert y[red].mean() > y[yellow].mean() + 0.02


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
