"""A small model with random weights, its reconstruction of two photos, and a browser that draws in 3-D."""

from __future__ import annotations

import base64
import io
import math
import shutil
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pytest
import torch
from PIL import Image

from deca_model.heads import Head, load_head
from deca_model.networks.codes import CODE_SIZES, Codes
from deca_model.networks.encoder import framing_camera
from deca_model.networks.model import Deca, Posed
from deca_model.render.camera import project
from deca_model.render.light import ambient_light
from deca_model.settings.reading import load_config
from deca_model.training.checkpoints import save_checkpoint
from deca_model.use.inference import Reconstruction, load_model, reconstruct
from manifests.images.crop import Square
from tests.deca_model.synthetic import ASTRONAUT
from tests.pipelines.share.webdriver import Browser

DRAWING = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars")
"""Chromium's software renderer for 3-D."""
SMALL = ["model.encoder.backbone=small", "model.encoder.mirror=true", "model.input_size=64"]
"""An encoder whose poses stay near the front, also with random weights."""
SETTINGS = ["data.size=64", "model.uv_size=64", "model.render_size=64", *SMALL]


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run folder; the model's random weights are large enough that faces get different codes."""
    folder = tmp_path_factory.mktemp("run")
    config = load_config("cpu", SETTINGS)
    torch.manual_seed(0)
    model = Deca(config.model, config.run, ("detail",))
    with torch.no_grad():
        last = model.coarse.layers[2]
        assert isinstance(last, torch.nn.Linear)
        last.weight.normal_(0, 0.05)
    parts = {"model": model.state_dict(), "config": config.model_dump(mode="json")}
    save_checkpoint(folder / "checkpoints", 1, parts, 1)
    return folder


@pytest.fixture(scope="session")
def photo():
    from skimage.data import astronaut

    return astronaut()


@pytest.fixture(scope="session")
def found(run, photo):
    model, size = load_model(run, torch.device("cpu"))
    smaller = np.ascontiguousarray(photo[:300, :400])
    return model, size, reconstruct(model, size, [photo, smaller], [ASTRONAUT, ASTRONAUT + 3])


@pytest.fixture(scope="session")
def head() -> Head:
    return load_head("open")


@lru_cache(maxsize=2)
def load_small_model(teeth: bool = False) -> Deca:
    """A model without details and with random weights."""
    config = load_config("cpu", SETTINGS)
    return Deca(config.model, config.run, teeth=teeth).eval()


def turned_head(head: Head, degrees: float) -> Reconstruction:
    """The mean head under white light, turned to one side, in a crop of 64 pixels that is all covered."""
    sizes = [CODE_SIZES[name] for name in ("shape", "texture", "expression", "pose")]
    shape, texture, expression, pose = (torch.zeros(1, size) for size in sizes)
    pose[0, 1] = math.radians(degrees)
    posed = head(shape, expression, pose)
    camera = framing_camera(posed.landmarks_3d[0])[None]
    codes = Codes(shape, texture, expression, pose, camera, ambient_light(1))
    projected = project(posed.vertices, camera)
    landmarks = project(posed.landmarks_2d, camera)[..., :2]
    square = Square(np.array([31.5, 31.5]), np.array(64.0))
    crops = torch.full((1, 3, 64, 64), 0.5)
    covered = torch.ones(1, 1, 64, 64)
    return Reconstruction(crops, covered, (square,), Posed(codes, posed, projected, landmarks), None)


@pytest.fixture(scope="module")
def driven(chromium: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, to be clicked in; it draws with its software renderer."""
    if shutil.which("chromedriver") is None:
        pytest.skip("needs chromedriver on PATH to click through the page")
    words = [word for word in chromium[:-1] if word != "--disable-gpu"]
    profile = f"--user-data-dir={tmp_path_factory.mktemp('profile')}"
    made = Browser([*words, *DRAWING, profile], tmp_path_factory.mktemp("saved"))
    yield made
    made.close()


def drawn(driven: Browser) -> np.ndarray:  # (H, W, 3)
    """The picture of the head as it is now."""
    data = driven.run("return document.querySelector('canvas').toDataURL()").partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)
