"""Each of the five layouts, from raw folder to manifest, by the real commands in one workspace."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage import data

import manifests
from manifests.landmarks import interocular
from tests.e2e.conftest import environment, put

CLOCKWISE = 6
"""EXIF: the picture as it is stored is to be turned clockwise by 90 degrees."""

LARGE = (4000, 3000)
"""Width and height of a camera's photo."""


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def camera_photo(path: Path) -> None:
    """The astronaut as a camera that was held sideways stores her: 3000 pixels high, and a turn in EXIF."""
    width, height = LARGE
    upright = np.zeros((height, width, 3), np.uint8)
    upright[:, :height] = cv2.resize(data.astronaut(), (height, height), interpolation=cv2.INTER_CUBIC)
    exif = Image.Exif()
    exif[0x0112] = CLOCKWISE
    Image.fromarray(np.rot90(upright)).save(path, quality=92, exif=exif)


def make_raw(raw: Path) -> None:
    """Four folders of the same face, each in the layout of its dataset."""
    face = jpeg(data.astronaut())
    put(raw / "vgg/train/n000001/0001_01.jpg", face)
    put(raw / "vgg/bb_landmark/loose_bb_train.csv", b'NAME_ID,X,Y,W,H\n"n000001/0001_01",165,60,115,130\n')
    put(raw / "balanced/race_per_7000/African/m.0abc12/000_0.jpg", face)
    put(raw / "balanced/race_per_7000/Asian/m.0abc12/001_0.JPG", face)
    affect = raw / "affect/Manually_Annotated/Manually_Annotated_Images/12"
    put(affect / "ab34.jpg", face)
    put(affect / "cd56.jpg", face)
    columns = "face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    lines = [
        f"subDirectory_filePath,{columns}",
        "12/ab34.jpg,165,60,115,130,0;0,1,0.75,-0.25",
        "12/cd56.jpg,165,60,115,130,0;0,10,-2,-2",
    ]
    put(raw / "affect/training.csv", "\n".join(lines).encode())
    put(raw / "mine/Anna Ö/snap 1.jpg", face)
    camera_photo(raw / "mine/Anna Ö/camera.jpg")


def manifest(folder: Path, roots: str) -> pd.DataFrame:
    """All rows after `run` and `build-manifest`, by sample."""
    for line in (f"run {roots} --workers 1", "build-manifest --recipe keep-all --workers 1"):
        command = ["deca-data", *line.split()]
        done = subprocess.run(
            command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=500
        )
        assert done.returncode == 0, done.stderr
    frames = [manifests.read(folder / f"{side}.parquet") for side in ("train", "val")]
    return pd.concat(frames).set_index("sample_id").sort_index()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("sources")
    make_raw(folder / "raw")
    return manifest(folder, "raw/vgg raw/balanced raw/affect raw/mine")


def points(row: Any) -> np.ndarray:
    return np.stack(row["landmarks"]).reshape(68, 2)


def test_every_photo_of_every_layout_is_a_landed_row(found: pd.DataFrame):
    assert found["dataset"].value_counts().to_dict() == {"affectnet": 2, "bupt": 2, "mine": 2, "vggface2": 1}
    assert (found["status"] == "ok").all(), found["reason"].dropna().tolist()
    small = found[found["width"] == 512]
    reference = points(small.loc["vggface2/train/n000001/0001_01.jpg"])
    for _, row in small.iterrows():  # whether a dataset gives a box or not, the face is the same
        apart = np.linalg.norm(points(row) - reference, axis=1).mean() / interocular(reference)
        assert apart < 0.05


def test_identities_are_those_of_the_layout(found: pd.DataFrame):
    of = found.groupby("dataset")["identity"].apply(lambda names: sorted(names.dropna()))
    assert of["vggface2"] == ["n000001"]
    assert of["bupt"] == ["African/m.0abc12", "Asian/m.0abc12"]
    assert of["mine"] == ["Anna Ö", "Anna Ö"]
    assert of["affectnet"] == []


def test_affectnet_s_annotations_reach_the_manifest(found: pd.DataFrame):
    rows: list[Any] = [row for _, row in found[found["dataset"] == "affectnet"].iterrows()]
    rated, unrated = rows
    assert (rated["expression"], rated["valence"], rated["arousal"]) == (1, 0.75, -0.25)
    assert unrated["expression"] == 10
    assert pd.isna(unrated["valence"])
    assert pd.isna(unrated["arousal"])


def test_landmarks_of_a_large_turned_photo_are_in_its_own_upright_pixels(found: pd.DataFrame):
    large: Any = found.loc["mine/Anna Ö/camera.jpg"]
    small: Any = found.loc["mine/Anna Ö/snap 1.jpg"]
    assert (large["width"], large["height"]) == LARGE
    factor = LARGE[1] / 512
    expected = (points(small) + 0.5) * factor - 0.5
    apart = np.linalg.norm(points(large) - expected, axis=1)
    assert apart.mean() / interocular(expected) < 0.03


def test_voxceleb2_s_real_videos(faces: Path, tmp_path: Path):
    rows = manifest(tmp_path, f"{faces / 'voxceleb2'} --frames-per-clip 3")
    assert len(list(faces.glob("voxceleb2/**/*.mp4"))) == 4
    assert set(rows["dataset"]) == {"voxceleb2"}
    assert not rows.duplicated(["clip", "frame"]).any()
    first: Any = rows.groupby("clip")["frame"].min()
    assert (first == 0).all()
    sizes: Any = rows.groupby(["identity", "clip"]).size()
    assert sizes.tolist() == [3, 3, 3, 3]
    assert len(rows) == 12
    assert rows["landmarks"].notna().sum() >= 11  # one frame shows a face that is turned away
    assert (rows["landmarks"].notna() == (rows["status"] == "ok")).all()
    for _, row in rows.iterrows():
        image = cv2.imread(str(tmp_path / "deca-workspace/frames/voxceleb2" / row["image"]))
        assert image.shape[:2] == (row["height"], row["width"])
