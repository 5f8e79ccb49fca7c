"""Identity embeddings: dlib with its real weights, ArcFace's real code with random ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deca_data.backends import load_backend
from deca_data.head_pose import MEAN_FACE, head_fit
from manifests.errors import UsageError

BOXES = [np.array([177.0, 82.0, 272.0, 178.0]), np.array([169.0, 145.0, 366.0, 341.0])]


@pytest.fixture(scope="module")
def points(astronaut, hopper) -> list[np.ndarray]:
    found = load_backend("landmarker", "mediapipe").landmarks([astronaut, hopper], BOXES)
    return [result.points for result in found]


@pytest.fixture(scope="module")
def copies(astronaut, hopper, points) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two persons, then the first again: smaller, turned, darker, recompressed."""
    turn = cv2.getRotationMatrix2D((225, 130), 12, 0.8)
    other = cv2.warpAffine(astronaut, turn, (512, 512))
    other = cv2.imdecode(cv2.imencode(".jpg", (other * 0.8).astype(np.uint8))[1], cv2.IMREAD_COLOR)
    moved = points[0] @ turn[:, :2].T + turn[:, 2]
    return [astronaut, hopper, other], [*points, moved.astype(np.float32)]


def test_dlib_tells_persons_apart(copies):
    pytest.importorskip("dlib")
    embedder = load_backend("embedder", "dlib")
    images, points = copies
    vectors = embedder.embed(images, [*BOXES, BOXES[0]], points)
    assert vectors.shape == (3, 128)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[2] > 0.95
    assert vectors[0] @ vectors[1] < 0.9
    alone = embedder.embed(images[1:2], BOXES[1:], points[1:2])
    assert np.allclose(alone, vectors[1:2], atol=1e-4)
    large = cv2.resize(images[0], None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC)
    again = embedder.embed([large], [BOXES[0] * 6], [(points[0] + 0.5) * 6 - 0.5])
    assert float(again[0] @ vectors[0]) > 0.97
    assert embedder.embed([], [], []).shape == (0, 128)
    assert len(embedder.fingerprint()["weights"]) == 16


@pytest.mark.parametrize(("yaw", "crops"), [(0, 1), (25, 1), (50, 2), (-50, 2)])
def test_dlib_crops_turned_heads_twice(yaw, crops):
    pytest.importorskip("dlib")
    from deca_data.backends.dlib_embedder import NOSE, face_crops

    points = _mean_face(yaw, 60.0)
    found = head_fit(points)
    assert found is not None
    photo = np.zeros((400, 400, 3), np.uint8)
    cv2.circle(
        photo, tuple(np.round(found.place(NOSE) * 16).astype(int).tolist()), 64, (255,) * 3, -1, shift=4
    )
    chips = face_crops(photo, points)
    assert [chip.shape for chip in chips] == [(150, 150, 3)] * crops
    if crops == 2:  # the second one is centred on the nose
        rows, columns = np.nonzero(chips[1][..., 0] > 127)
        assert np.abs((columns.mean() - 75, rows.mean() - 75)).max() < 1


def test_dlib_takes_the_mean_of_both_crops(monkeypatch, astronaut, points):
    pytest.importorskip("dlib")
    from deca_data.backends import dlib_embedder

    embedder = load_backend("embedder", "dlib")
    once = embedder.embed([astronaut], BOXES[:1], points[:1])
    turned = cv2.flip(astronaut, 0)
    monkeypatch.setattr(dlib_embedder, "TURNED", -1.0)  # every head counts as turned
    crops = dlib_embedder.face_crops(astronaut, points[0])
    assert len(crops) == 2
    both = embedder.embed([astronaut, turned], [BOXES[0], BOXES[0]], [points[0], points[0]])
    monkeypatch.setattr(dlib_embedder, "face_crops", lambda crop, _: [crop])
    mean = embedder.embed(crops, BOXES, [points[0]] * 2).sum(0)
    assert np.allclose(both[0], mean / np.linalg.norm(mean), atol=1e-4)
    assert float(both[0] @ once[0]) > 0.95 > float(both[0] @ both[1])


def _mean_face(yaw: float, scale: float) -> np.ndarray:
    """Landmarks of the mean face, turned by ``yaw`` degrees."""
    angle = np.radians(yaw)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0]])
    points = np.full((68, 2), 200.0)
    points[MEAN_FACE[:, 0].astype(int)] = MEAN_FACE[:, 1:] @ turn.T * scale + 200
    return points


def test_dlib_s_missing_file_is_one_sentence(tmp_path):
    pytest.importorskip("dlib")
    with pytest.raises(UsageError, match=r"dlib_face_recognition_resnet_model_v1\.dat.*--weights"):
        load_backend("embedder", "dlib", weights=tmp_path)


@pytest.mark.parametrize(("factor", "degrees"), [(1.0, 25), (2.2, 0), (6.5, -70)])
def test_arcface_s_alignment(factor, degrees):
    pytest.importorskip("facexlib")
    from deca_data.backends.facexlib_embedder import TEMPLATE, aligned

    turn = cv2.getRotationMatrix2D((56, 56), degrees, factor) + np.array([[0, 0, 420.3], [0, 0, 399.6]])
    placed = TEMPLATE @ turn[:, :2].T + turn[:, 2]
    points = np.zeros((68, 2), np.float32)
    points[36:42], points[42:48] = placed[0], placed[1]
    points[[30, 48, 54]] = placed[2:]
    photo = np.zeros((1000, 1000, 3), np.uint8)
    for index, (x, y) in enumerate(placed):  # a spot of its own brightness at each point
        at = (round(float(x) * 16), round(float(y) * 16))
        cv2.circle(photo, at, round(4 * factor * 16), (40 * (index + 1),) * 3, -1, shift=4)
    crop = aligned(photo, points)
    assert crop.shape == (112, 112, 3)
    for index, (x, y) in enumerate(TEMPLATE):
        rows, columns = np.nonzero(np.abs(crop[..., 0].astype(int) - 40 * (index + 1)) < 3)
        near = np.hypot(columns - x, rows - y) < 8
        assert np.abs((columns[near].mean() - x, rows[near].mean() - y)).max() < 0.5


def test_arcface_s_wrong_files_are_named(tmp_path):
    pytest.importorskip("facexlib")
    with pytest.raises(UsageError, match=r"recognition_arcface_ir_se50\.pth.*--weights.*--download"):
        load_backend("embedder", "arcface", weights=tmp_path)
    wrong = tmp_path / "recognition_arcface_ir_se50.pth"
    wrong.write_bytes(b"not a network")
    with pytest.raises(UsageError, match="does not hold facexlib's weights of ArcFace"):
        load_backend("embedder", "arcface", weights=wrong)


@pytest.mark.slow
def test_arcface_runs_end_to_end(tmp_path, astronaut, hopper, points):
    torch = pytest.importorskip("torch")
    arch = pytest.importorskip("facexlib.recognition.arcface_arch")
    torch.manual_seed(0)
    file = Path(tmp_path / "recognition_arcface_ir_se50.pth")
    torch.save(arch.Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se").state_dict(), file)
    embedder = load_backend("embedder", "arcface", weights=tmp_path)
    file.unlink()  # 175 MB
    both = embedder.embed([astronaut, hopper], BOXES, points)
    assert both.shape == (2, 512)
    assert both.dtype == np.float32
    assert np.allclose(np.linalg.norm(both, axis=1), 1, atol=1e-4)
    assert np.allclose(embedder.embed([hopper], BOXES[1:], points[1:]), both[1:], atol=1e-3)
    assert embedder.embed([], [], []).shape == (0, 512)
