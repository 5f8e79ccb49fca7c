"""Damaged files of every kind that the project opens: read, or refused in one sentence; never a crash."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from deca_model.settings.reading import dump_config, load_config
from deca_model.training.checkpoints import save_checkpoint
from manifests.yaml_files import dump_yaml
from pipelines.curate.recipe import load_recipe
from pipelines.share.pack import pack
from pipelines.share.pack_rows import CropSettings
from tests.conftest import ALL, Count
from tests.deca_model.synthetic import make_manifest
from tests.e2e.conftest import environment

COUNTS = {
    "picture.jpg": 30, "picture.png": 20, "picture.webp": 15, "picture.gif": 10, "picture.tif": 10,
    "video.mp4": 20, "settings.yaml": 25, "recipe.yaml": 20, "manifest.parquet": 40, "model_file.pkl": 40,
    "checkpoint.pt": 40, "pack.arrow": 30, "annotations.csv": 30, "persons.csv": 20, "label.npy": 20,
    "landmark_file.npy": 30,
}  # fmt: skip
"""400 files in all."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an undamaged file of each kind."""
    folder = tmp_path_factory.mktemp("good")
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    for ending in ("jpg", "png", "webp", "gif", "tif"):
        Image.fromarray(noise).save(folder / f"picture.{ending}")
    writer: Any = cv2.VideoWriter(str(folder / "video.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (96, 64))
    for _ in range(10):
        writer.write(noise)
    writer.release()
    numbers = range(30)
    lines = [f"{n}/{n}.jpg,10,20,30,40,1;2,{n % 8},0.{n},-0.{n}" for n in numbers]
    head = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,"
    (folder / "annotations.csv").write_text("\n".join([f"{head}expression,valence,arousal", *lines]))
    (folder / "persons.csv").write_text(
        "\n".join(["path,identity", *(f"{n}.jpg,person {n}" for n in numbers)])
    )
    np.save(folder / "label.npy", np.array("0.25"))
    np.save(folder / "landmark_file.npy", np.array({"places": np.arange(68)}, object), allow_pickle=True)
    (folder / "settings.yaml").write_text(dump_config(load_config("cpu")))
    (folder / "recipe.yaml").write_text(dump_yaml(load_recipe("strict").model_dump(exclude={"name"})))
    path = make_manifest(folder, (2, 2))
    pack([path], folder / "good-pack", crop=CropSettings(), quiet=True)
    shutil.copy(next((folder / "good-pack").glob("*.arrow")), folder / "pack.arrow")
    path.rename(folder / "manifest.parquet")
    rng = np.random.default_rng(0)
    arrays = {"v_template": rng.random((8, 3)), "f": rng.integers(0, 8, (4, 3)), "names": ["a", "b"]}
    (folder / "model_file.pkl").write_bytes(pickle.dumps(arrays, 2))
    weights = {"model": {"layer.weight": torch.rand(8, 8)}, "config": {}, "stage": "coarse"}
    save_checkpoint(folder, 3, weights, keep=1).rename(folder / "checkpoint.pt")
    return folder


@pytest.mark.parametrize("name", COUNTS)
def test_damaged_files_are_read_or_refused(name: str, good: Path, tmp_path: Path, count: Count):
    number = COUNTS[name] if ALL else COUNTS[name] // 5
    kind = name.split(".")[0]
    words = [
        sys.executable,
        "-m",
        "tests.faults.bad_files",
        kind,
        str(good / name),
        str(tmp_path),
        str(number),
    ]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert found.pop("faults") == []
    assert sum(found.values()) == number
    assert set(found) <= {"read", "refused"}
    assert done.stderr == ""  # no library's own lines
    count(f"damaged files: {kind}", number)
