"""The two sets of points that MediaPipe's mesh network gives."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from deca_data.backends.mediapipe import graphs
from deca_data.backends.mediapipe.graphs import FaceGraphs


@pytest.fixture(scope="module")
def crop(astronaut) -> np.ndarray:
    return cv2.resize(astronaut[20:240, 115:335], (192, 192), interpolation=cv2.INTER_AREA)


def test_the_plain_points_lack_the_closer_look_at_lips_and_eyes(crop):
    mesh, plain, _ = FaceGraphs().mesh(crop)
    moved = np.linalg.norm((mesh - plain)[:, :2], axis=1)
    assert (moved[[10, 152, 1, 5, 234, 454]] < 1e-3).all()  # forehead, chin, nose, edges
    assert (moved[[0, 13, 17, 61, 291, 33, 133, 263]] > 0.1).all()  # lips, corners of mouth and eyes
    assert 0 < moved.max() < 8  # pixels of 192


def test_the_crop_needs_no_warping(crop, monkeypatch):
    found = FaceGraphs().mesh(crop)
    monkeypatch.setattr(graphs, "without_warp", lambda config: config)
    warped = FaceGraphs().mesh(crop)
    assert found.presence == warped.presence > 0.9
    assert found.mesh.tobytes() == warped.mesh.tobytes()
    assert found.plain.tobytes() == warped.plain.tobytes()
