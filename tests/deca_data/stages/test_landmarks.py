"""The landmark stage: columns, files, and what is not accepted."""

from __future__ import annotations

import os

import numpy as np
import pytest

from deca_data.backends import load_backend
from deca_data.backends.protocols import LandmarkResult
from deca_data.sample import Sample
from deca_data.stages.landmarks import LandmarkSettings, LandmarkStage
from manifests.errors import UsageError

BOX = [177.0, 82.0, 272.0, 178.0]


@pytest.fixture(scope="module")
def backend():
    return load_backend("landmarker", "mediapipe")


def _sample(image: np.ndarray, name: str = "n000001/0001_01.jpg", **row) -> Sample:
    return Sample(image, {"dataset": "vggface2", "image": name, "box": BOX, **row})


class _Fixed:
    """A landmarker that returns fixed results."""

    name = "fixed"

    def __init__(self, result: LandmarkResult | None) -> None:
        self.result = result

    def fingerprint(self) -> dict[str, str]:
        return {}

    def landmarks(self, images, boxes):
        return [self.result] * len(images)


def test_columns_and_file(backend, astronaut, tmp_path):
    sample = _sample(astronaut)
    stage = LandmarkStage(LandmarkSettings(), backend)
    stage.run([sample], tmp_path)
    assert sample.ok
    assert set(stage.writes) <= set(sample.row)
    assert sample.row["landmark_path"] == "landmarks/vggface2/n000001/0001_01.npy"
    saved = np.load(tmp_path / sample.row["landmark_path"], allow_pickle=False)
    assert saved.shape == (68, 2)
    assert saved.dtype == np.float32
    assert np.array_equal(saved.reshape(-1), np.asarray(sample.row["landmarks"], np.float32).reshape(-1))
    assert sample.row["landmark_confidence"] > 0.9
    assert sample.scratch["mesh"].shape == (478, 3)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["0001_01.npy"]  # no temporary file is left


def test_beside_the_image(backend, astronaut, tmp_path):
    sample = _sample(astronaut, "a b/ü.png")
    sample.path = tmp_path / "photos" / "a b" / "ü.png"
    LandmarkStage(LandmarkSettings(beside_images=True), backend).run([sample], tmp_path / "work")
    beside = np.load(tmp_path / "photos" / "a b" / "ü.png.npy", allow_pickle=False)
    assert np.array_equal(
        beside, np.load(tmp_path / "work" / sample.row["landmark_path"], allow_pickle=False)
    )


def test_a_photo_whose_box_holds_no_face_is_dropped(backend, coffee, tmp_path):
    sample = _sample(coffee, box=[150, 100, 300, 250])
    LandmarkStage(LandmarkSettings(), backend).run([sample], tmp_path)
    assert (sample.row["status"], sample.row["stage"]) == ("dropped", "landmarks")
    assert "no landmarks" in sample.row["reason"]
    assert "landmarks" not in sample.row
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("points", "confidence", "reason"),
    [
        (np.full((68, 2), np.nan), 1.0, "not numbers"),
        (np.linspace((180, 90), (260, 170), 68), 0.1, "low landmark confidence"),
        (np.linspace((20, 90), (100, 170), 68), 1.0, "do not lie on the face"),
        (np.linspace((220, 125), (230, 135), 68), 1.0, "do not lie on the face"),
        (np.linspace((0, 0), (511, 511), 68), 1.0, "do not lie on the face"),
    ],
)
def test_landmarks_that_cannot_be_right_are_dropped(astronaut, tmp_path, points, confidence, reason):
    sample = _sample(astronaut)
    result = LandmarkResult(points.astype(np.float32), confidence)
    LandmarkStage(LandmarkSettings(min_confidence=0.2), _Fixed(result)).run([sample], tmp_path)
    assert reason in sample.row["reason"]


def test_the_fingerprint_follows_settings_and_backend(backend):
    plain = LandmarkStage(LandmarkSettings(), backend).fingerprint()
    assert plain["backend"]["name"] == "mediapipe"
    assert LandmarkStage(LandmarkSettings(min_confidence=0.5), backend).fingerprint() != plain
    assert LandmarkStage(LandmarkSettings(), _Fixed(None)).fingerprint() != plain


def _beside(backend, image, folder, name: str = "a.jpg") -> Sample:
    sample = _sample(image, name)
    (folder / "raw").mkdir(exist_ok=True)
    sample.path = folder / "raw" / name
    LandmarkStage(LandmarkSettings(beside_images=True), backend).run([sample], folder / "work")
    return sample


@pytest.mark.parametrize("content", [b"a user's own array", b"", None])
def test_a_file_of_the_users_beside_the_photo_is_refused_and_named(backend, astronaut, tmp_path, content):
    own = tmp_path / "raw/a.npy"
    own.parent.mkdir()
    own.write_bytes(content) if content is not None else own.symlink_to("nowhere")
    with pytest.raises(UsageError, match=rf"{own}: --beside-images would overwrite .*beside_images=false"):
        _beside(backend, astronaut, tmp_path)
    if content is not None:
        assert own.read_bytes() == content
    assert os.path.lexists(own)


def test_its_own_file_beside_the_photo_is_written_again(backend, astronaut, tmp_path):
    _beside(backend, astronaut, tmp_path)
    first = (tmp_path / "raw/a.npy").read_bytes()
    moved = LandmarkResult(np.load(tmp_path / "raw/a.npy") + 1, 1.0)
    _beside(_Fixed(moved), astronaut, tmp_path)  # another backend, say
    assert (tmp_path / "raw/a.npy").read_bytes() == (tmp_path / "work/landmarks/vggface2/a.npy").read_bytes()
    assert (tmp_path / "raw/a.npy").read_bytes() != first
    (tmp_path / "work/landmarks/vggface2/a.npy").write_bytes(first)  # a kill came between the two
    _beside(_Fixed(moved), astronaut, tmp_path)


def test_the_dense_mesh_is_written_where_it_is_asked_for(backend, astronaut, tmp_path):
    plain, dense = _sample(astronaut), _sample(astronaut)
    LandmarkStage(LandmarkSettings(), backend).run([plain], tmp_path / "plain")
    LandmarkStage(LandmarkSettings(dense=True), backend).run([dense], tmp_path / "dense")
    assert plain.row["dense_path"] is None
    assert not (tmp_path / "plain/dense").exists()
    assert dense.row["dense_path"] == "dense/vggface2/n000001/0001_01.npy"
    saved = np.load(tmp_path / "dense" / dense.row["dense_path"], allow_pickle=False)
    assert saved.dtype == np.float32
    assert np.array_equal(saved, dense.scratch["mesh"])
    assert np.array_equal(plain.row["landmarks"], dense.row["landmarks"])


def test_the_dense_mesh_of_a_reduced_photo_is_in_pixels_of_the_photo(tmp_path):
    mesh = np.random.default_rng(0).uniform(0, 200, (478, 3)).astype(np.float32)
    points = np.column_stack([np.linspace(180, 270, 68), np.linspace(85, 175, 68)]).astype(np.float32)
    sample = _sample(np.zeros((300, 300, 3), np.uint8))
    sample.shrunk, sample.photo_size, sample.row["box"] = 2, (600, 600), [354.5, 164.5, 544.5, 356.5]
    stage = LandmarkStage(LandmarkSettings(dense=True), _Fixed(LandmarkResult(points, 0.9, mesh)))
    stage.run([sample], tmp_path)
    saved = np.load(tmp_path / sample.row["dense_path"], allow_pickle=False)
    assert np.allclose(saved[:, :2], (mesh[:, :2] + 0.5) * 2 - 0.5)
    assert np.allclose(saved[:, 2], mesh[:, 2] * 2)


def test_a_backend_without_a_mesh_cannot_write_it(tmp_path):
    points = np.column_stack([np.linspace(180, 270, 68), np.linspace(85, 175, 68)]).astype(np.float32)
    stage = LandmarkStage(LandmarkSettings(dense=True), _Fixed(LandmarkResult(points, 0.9)))
    with pytest.raises(UsageError, match="--dense: the landmark backend 'fixed' has no dense mesh"):
        stage.run([_sample(np.zeros((300, 300, 3), np.uint8))], tmp_path)
    assert not list(tmp_path.iterdir())
