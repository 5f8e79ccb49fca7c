"""The detect stage: which face is chosen, and what is written."""

from __future__ import annotations

import numpy as np
import pytest

from deca_data.backends import load_backend
from deca_data.backends.protocols import Detection
from deca_data.sample import Sample
from deca_data.stages.detect import DetectSettings, DetectStage, choose_central, choose_given, without_parts


def _face(x: float, y: float, side: float, score: float = 0.9) -> Detection:
    return Detection(np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2]), score)


@pytest.fixture(scope="module")
def backend():
    return load_backend("detector", "mediapipe")


def test_the_largest_central_face_is_chosen():
    middle, corner = _face(100, 100, 50), _face(10, 10, 60)
    assert choose_central([corner, middle], 200, 200) is middle
    huge = _face(30, 30, 120)
    assert choose_central([middle, huge], 200, 200) is huge
    assert choose_central([], 200, 200) is None


def test_an_ear_is_no_face_and_a_second_person_is_one():
    head, ear, mouth = _face(100, 100, 100), _face(175, 110, 30), _face(100, 130, 40)
    beside, far = _face(210, 100, 70), _face(300, 100, 20)
    assert without_parts([head, ear, mouth]) == [head]
    assert without_parts([ear, head, beside, far]) == [head, beside, far]
    assert without_parts([]) == []


def test_the_given_box_decides_between_faces():
    left, right = _face(50, 100, 80), _face(150, 100, 40)
    assert choose_given([left, right], [130, 80, 170, 120]) is right
    none = choose_given([left], [130, 80, 170, 120])
    assert list(none.box) == [130, 80, 170, 120]
    assert np.isnan(none.score)


def test_columns(backend, astronaut, coffee, tmp_path):
    samples = [Sample(astronaut, {}), Sample(coffee, {}), Sample(coffee, {"given_box": [100, 100, 200, 200]})]
    stage = DetectStage(DetectSettings(), backend)
    stage.run(samples, tmp_path)
    face, none, given = (sample.row for sample in samples)
    assert set(stage.writes) <= {*face, "content_hash"}  # set by decoding
    assert (face["width"], face["height"], face["faces"]) == (512, 512, 1)
    assert 0.8 < face["box_score"] <= 1
    assert 170 < face["box"][0] < 210
    assert (none["status"], none["stage"], none["reason"]) == ("dropped", "detect", "no face found")
    assert (none["faces"], none["width"], none["height"]) == (0, 600, 400)
    assert given["box"] == [100, 100, 200, 200]
    assert given["box_score"] is None
    assert samples[2].ok


def test_settings_pass_over_faces(backend, astronaut, tmp_path):
    for settings in (DetectSettings(min_size=200), DetectSettings(min_score=0.99)):
        sample = Sample(astronaut, {})
        DetectStage(settings, backend).run([sample], tmp_path)
        assert not sample.ok
        assert sample.row["faces"] == 0


def test_the_fingerprint_follows_the_settings(backend):
    one, other = (DetectStage(DetectSettings(min_size=size), backend).fingerprint() for size in (16, 32))
    assert one != other
    assert one["backend"] == other["backend"]
