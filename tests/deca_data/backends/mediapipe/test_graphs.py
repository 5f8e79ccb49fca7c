"""What is done for speed around MediaPipe's networks changes no bit of what they find."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from mediapipe.framework.formats.landmark_pb2 import (
    NormalizedLandmark,  # pyright: ignore[reportAttributeAccessIssue]
    NormalizedLandmarkList,  # pyright: ignore[reportAttributeAccessIssue]
)

from deca_data.backends.mediapipe import graphs
from deca_data.backends.mediapipe.graphs import FaceGraphs, points_of


@pytest.fixture(scope="module")
def crop(astronaut) -> np.ndarray:
    return cv2.resize(astronaut[20:240, 115:335], (192, 192), interpolation=cv2.INTER_AREA)


def _asked(landmarks) -> np.ndarray:
    return np.array([(point.x, point.y, point.z) for point in landmarks.landmark], np.float32)


def _random_list(count: int):
    values = np.random.default_rng(0).normal(size=(478, 3)).astype(np.float32)
    values[:2] = [(0, -0.0, np.inf), (1e-40, 1, -1)]
    points = [NormalizedLandmark(x=x, y=y, z=z) for x, y, z in values[:count].tolist()]
    return NormalizedLandmarkList(landmark=points)


def test_points_are_read_as_the_messages_say_them():
    landmarks = _random_list(478)
    found = points_of(landmarks)
    assert found.shape == (478, 3)
    assert found.dtype == np.float32
    assert found.tobytes() == _asked(landmarks).tobytes()


@pytest.mark.parametrize("change", ["one more", "one less", "another in its place", "none at all"])
def test_points_of_other_fields_are_asked(change):
    landmarks = _random_list(0 if change == "none at all" else 5)
    if change == "one more":
        landmarks.landmark[3].visibility = 0.5
    elif change == "one less":
        landmarks.landmark[3].ClearField("y")
    elif change == "another in its place":  # as long as the three fields
        landmarks.landmark[3].ClearField("z")
        landmarks.landmark[3].presence = 0.5
    assert np.array_equal(points_of(landmarks), _asked(landmarks).reshape(-1, 3))


def test_the_crop_needs_no_warping(crop, monkeypatch):
    mesh, plain, presence = FaceGraphs().mesh(crop)
    monkeypatch.setattr(graphs, "take_crop_as_it_is", lambda config: None)
    warped = FaceGraphs().mesh(crop)
    assert presence == warped.presence > 0.9
    assert mesh.tobytes() == warped.mesh.tobytes()
    assert plain.tobytes() == warped.plain.tobytes()


def test_the_plain_points_lack_the_closer_look_at_lips_and_eyes(crop):
    mesh, plain, _ = FaceGraphs().mesh(crop)
    moved = np.linalg.norm((mesh - plain)[:, :2], axis=1)
    assert (moved[[10, 152, 1, 5, 234, 454]] < 1e-3).all()  # forehead, chin, nose, edges
    assert (moved[[0, 13, 17, 61, 291, 33, 133, 263]] > 0.1).all()  # lips, corners of mouth and eyes
    assert 0 < moved.max() < 8  # pixels of 192


def _python(lines: str) -> str:
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_graphs_do_without_the_rest_of_mediapipe():
    out = _python("""
import sys
from deca_data.backends.mediapipe.graphs import FaceGraphs
FaceGraphs().mesh(__import__("numpy").zeros((192, 192, 3), "uint8"))
names = ("mediapipe.python.solutions", "mediapipe.tasks", "matplotlib", "sounddevice")
print([name in sys.modules for name in names])
""")
    assert out.split("\n")[0] == "[False, False, False, False]"


@pytest.mark.parametrize("first", ["import mediapipe", "import deca_data.backends.mediapipe.graphs"])
def test_the_rest_of_mediapipe_can_still_be_had(first):
    out = _python(f"""
{first}
from deca_data.backends.mediapipe.graphs import FaceGraphs
import mediapipe
mesh, _, _ = FaceGraphs().mesh(__import__("numpy").zeros((192, 192, 3), "uint8"))
print(mesh.shape, hasattr(mediapipe, "nonsense"), mediapipe.solutions.face_mesh.FaceMesh.__name__)
""")
    assert out.split("\n")[0] == "(478, 3) False FaceMesh"


def test_options_of_an_unknown_type_are_not_lost_in_silence():
    out = _python("""
from deca_data.backends.mediapipe.graphs import expanded
try:
    expanded('''
input_stream: "image"
node { calculator: "FaceLandmarkFrontCpu" input_stream: "IMAGE:image" output_stream: "LANDMARKS:landmarks" }
''')
except RuntimeError as error:
    print(error)
""")
    assert "has options whose type is not imported here" in out
