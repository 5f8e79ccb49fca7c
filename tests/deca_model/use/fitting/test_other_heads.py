"""Fits on FLAME in its published format, from landmarks to files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from deca_model.networks.model import Deca
from deca_model.render.camera import project
from deca_model.use.fitting.fit import Fitter, fitting_model
from deca_model.use.reconstruction_files import Outputs, save_reconstruction
from tests.conftest import ALL

SIDE = 200


class Face(NamedTuple):
    image: np.ndarray
    landmarks: np.ndarray
    mesh: np.ndarray | None
    mask: np.ndarray | None


def face_of(model: Deca, turn: float) -> Face:
    """A known head of the model, and noise as its photo."""
    rng = np.random.default_rng(3)
    shape = torch.from_numpy(rng.normal(0, 0.5, (1, 100))).float()
    pose = torch.tensor([[turn, 0.1, 0, 0.05, 0, 0]])
    posed = model.head(shape, torch.zeros(1, 50), pose)
    points = posed.landmarks_2d
    scale = 1.2 / float((points.amax(dim=1) - points.amin(dim=1))[..., :2].max())
    middle = -(points.amax(dim=1) + points.amin(dim=1))[0] / 2
    camera = torch.tensor([[scale, float(middle[0]), float(middle[1])]])
    seen = project(points, camera)[0, :, :2].numpy() * SIDE / 2 + SIDE / 2 - 0.5
    image = rng.integers(60, 200, (SIDE, SIDE, 3)).astype(np.uint8)
    return Face(image, seen.astype(np.float32), None, np.full((SIDE, SIDE), 255, np.uint8))


def check(model: Deca, folder: Path, most: float) -> None:
    """A fit of a known head follows its landmarks to a part of the photo's side; all files are written.

    The jaw line is left out: it jumps with the yaw on a grid that has its landmarks anywhere.
    """
    face = face_of(model, 0.1)
    ((_, found),) = Fitter(model, 128).fit_each([face])
    apart = np.linalg.norm(found.landmarks()[0] - face.landmarks, axis=1)
    assert apart[17:].mean() < most * SIDE
    save_reconstruction(model, found, ["face"], folder, Outputs(("glb", "obj")))
    for ending in (".glb", ".obj", "_detail.obj", "_texture.png", ".npz", ".png"):
        assert (folder / f"face{ending}").stat().st_size > 0


def test_flame_in_the_published_format(tiny_flame_folder: Path, tmp_path: Path) -> None:
    """On a small grid in place of FLAME's topology: its licence forbids a copy here."""
    check(fitting_model("flame", tiny_flame_folder, uv_size=64), tmp_path / "out", 0.01)


@pytest.mark.skipif(not ALL, reason="several seconds: part of make test-all")
def test_flame_on_its_real_topology(flame_folder: Path, tmp_path: Path) -> None:
    check(fitting_model("flame", flame_folder, uv_size=64), tmp_path / "out", 0.01)
