"""MediaPipe's networks: where they find faces, and that the result depends only on the image."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from deca_data.backends import load_backend
from deca_data.backends.mediapipe.fit import roi_of_box, roi_of_mesh
from deca_data.boxes import overlap
from manifests.landmarks import MIRROR, interocular


@pytest.fixture(scope="module")
def detector():
    return load_backend("detector", "mediapipe")


@pytest.fixture(scope="module")
def landmarker():
    return load_backend("landmarker", "mediapipe")


def _landmarks(detector, landmarker, image: np.ndarray) -> np.ndarray:
    (faces,) = detector.detect([image])
    (result,) = landmarker.landmarks([image], [faces[0].box])
    assert result is not None
    return result.points


def _error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b, axis=1).mean() / interocular(b))


# Read off by eye at five-fold size: outer eye corners, nose tip, mouth corners (iBUG 36, 45, 30, 48, 54).
_MARKS = (36, 45, 30, 48, 54)
_ASTRONAUT = np.array([[194, 101], [256, 103], [223, 125], [202, 139], [244, 140]])


def test_landmarks_lie_where_one_sees_them(detector, landmarker, astronaut):
    points = _landmarks(detector, landmarker, astronaut)
    assert np.abs(points[list(_MARKS)] - _ASTRONAUT).max() < 5


def test_fingerprint_names_version_and_weights(detector, landmarker):
    assert landmarker.fingerprint()["mediapipe"] == "0.10.21"
    assert len(landmarker.fingerprint()["mesh"]) == 16
    assert detector.fingerprint()["short"] != detector.fingerprint()["full"]


def test_what_was_seen_before_does_not_matter(detector, landmarker, astronaut, hopper, coffee):
    fresh = _landmarks(
        load_backend("detector", "mediapipe"), load_backend("landmarker", "mediapipe"), astronaut
    )
    detector.detect([coffee])
    for image in (hopper, astronaut[:, ::-1], hopper):
        _landmarks(detector, landmarker, np.ascontiguousarray(image))
    assert np.array_equal(_landmarks(detector, landmarker, astronaut), fresh)
    batched = landmarker.landmarks(
        [hopper, astronaut], [detector.detect([i])[0][0].box for i in (hopper, astronaut)]
    )
    assert np.array_equal(batched[1].points, fresh)


def test_a_mirrored_photo_gives_mirrored_landmarks(detector, landmarker, hopper):
    points = _landmarks(detector, landmarker, hopper)
    mirrored = _landmarks(detector, landmarker, np.ascontiguousarray(hopper[:, ::-1]))
    mirrored[:, 0] = hopper.shape[1] - 1 - mirrored[:, 0]
    assert _error(mirrored[MIRROR], points) < 0.05


@pytest.mark.parametrize("factor", [0.3, 3.0])
def test_the_size_of_the_photo_does_not_matter(detector, landmarker, astronaut, factor):
    points = _landmarks(detector, landmarker, astronaut)
    scaled = cv2.resize(astronaut, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    found = (_landmarks(detector, landmarker, scaled) + 0.5) / factor - 0.5
    assert _error(found, points) < 0.06


def test_a_small_face_in_a_large_photo(detector, landmarker, astronaut, coffee):
    large = cv2.resize(coffee, (3000, 2000))
    large[1500:1756, 2500:2756] = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    (faces,) = detector.detect([large])
    assert len(faces) == 1
    (result,) = landmarker.landmarks([large], [faces[0].box])
    eyes = (result.points[[36, 45]] - (2500, 1500)) * 2
    assert np.abs(eyes - _ASTRONAUT[:2]).max() < 8


@pytest.mark.parametrize("degrees", [-50, 35, 50])
def test_a_tilted_head(detector, landmarker, astronaut, degrees):
    turn = cv2.getRotationMatrix2D((230, 130), degrees, 1)
    tilted = cv2.warpAffine(astronaut, turn, (512, 512))
    points = _landmarks(detector, landmarker, astronaut) @ turn[:, :2].T + turn[:, 2]
    assert _error(_landmarks(detector, landmarker, tilted), points) < 0.04


def test_no_face_gives_no_detection(detector, coffee):
    assert detector.detect([coffee]) == [[]]
    assert detector.detect([np.zeros((64, 64, 3), np.uint8)]) == [[]]


def test_no_face_in_the_box_gives_no_landmarks(landmarker, coffee, astronaut):
    assert landmarker.landmarks([coffee], [np.array([150, 100, 300, 250])]) == [None]
    assert landmarker.landmarks([astronaut], [np.array([10, 380, 110, 480])]) == [None]


def test_two_faces_are_two(detector, astronaut, hopper):
    both = np.concatenate([astronaut, cv2.resize(hopper, (437, 512))], axis=1)
    (faces,) = detector.detect([both])
    assert len(faces) == 2


def test_the_mesh_of_a_box(landmarker, detector, astronaut):
    box = detector.detect([astronaut])[0][0].box
    mesh = landmarker.mesh(astronaut, box)
    assert mesh.shape == (478, 3)
    assert mesh.dtype == np.float32
    assert mesh[1, 2] < mesh[234, 2]  # the nose is nearer than the cheek's edge


def test_crops_of_boxes_and_meshes():
    roi = roi_of_box(np.array([10.0, 20.0, 50.0, 40.0]))
    assert (roi.x, roi.y, roi.side, roi.angle) == (30, 30, 60, 0)
    mesh = np.zeros((478, 3), np.float32)
    mesh[:, 0] = np.linspace(0, 100, 478)
    mesh[33, :2], mesh[263, :2] = (0, 0), (100, 0)
    roi = roi_of_mesh(mesh)
    assert np.allclose((roi.x, roi.y, roi.side, roi.angle), (50, 0, 150, 0))
    assert overlap(np.array([0, 0, 2, 2]), np.array([1, 0, 3, 2])) == pytest.approx(1 / 3)
    assert overlap(np.array([0, 0, 1, 1]), np.array([5, 5, 6, 6])) == 0


def test_it_says_nothing_on_stderr():
    code = (
        "import skimage.data; from deca_data.backends import load_backend; a = skimage.data.astronaut();"
        "faces = load_backend('detector', 'mediapipe').detect([a])[0];"
        "print(len(load_backend('landmarker', 'mediapipe').landmarks([a], [faces[0].box])[0].points))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "68"
    assert done.stderr == ""


def test_planning_does_not_import_it():
    code = (
        "import sys; from deca_data.backends import load_backend;"
        "load_backend('detector', 'mediapipe').fingerprint(); print('mediapipe' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.slow
def test_profiles_and_hard_photos(detector, landmarker, faces):
    found = missed = 0
    for path in sorted((faces / "cfp").glob("*/profile/01.jpg"))[::3]:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        (detected,) = detector.detect([image])
        (result,) = landmarker.landmarks([image], [detected[0].box])
        found, missed = found + (result is not None), missed + (result is None)
    assert found + missed == 34
    assert missed == 0
    for name, count in (("two_people.jpg", 2), ("obama_and_biden.jpg", 2), ("grass_no_face.jpg", 0)):
        image = cv2.cvtColor(cv2.imread(str(faces / "hard" / name)), cv2.COLOR_BGR2RGB)
        assert len(detector.detect([image])[0]) == count
