"""The shift check: small on a good photo, large where landmarks are wrong."""

from __future__ import annotations

import numpy as np
import pytest

from deca_data.backends import load_backend
from deca_data.backends.protocols import LandmarkResult
from deca_data.sample import Sample
from deca_data.stages.consistency import ConsistencySettings, ConsistencyStage, shift_error, spread
from pipelines.curate.recipe import load_recipe

BOX = [177.0, 82.0, 272.0, 178.0]


@pytest.fixture(scope="module")
def backend():
    return load_backend("landmarker", "mediapipe")


def test_true_landmarks_stay_and_displaced_ones_do_not(backend, astronaut, tmp_path):
    (found,) = backend.landmarks([astronaut], [np.array(BOX)])
    wrong = found.points.copy()
    wrong[8] += (0, 12)
    samples = [Sample(astronaut, {"box": BOX, "landmarks": points}) for points in (found.points, wrong)]
    samples[1].row["landmarks"] = wrong.reshape(-1).tolist()  # flat, as read from a file
    ConsistencyStage(ConsistencySettings(), backend).run(samples, tmp_path)
    errors = [sample.row["landmark_shift_error"] for sample in samples]
    assert 0 < errors[0] < 0.05
    assert 0.1 < errors[1] < 0.2
    assert all(sample.ok for sample in samples)


def test_the_box_is_shifted_by_its_size(tmp_path, astronaut):
    asked = []

    class Recorder:
        name = "recorder"

        def fingerprint(self) -> dict[str, str]:
            return {}

        def landmarks(self, images, boxes) -> list[LandmarkResult | None]:
            asked.extend(boxes)
            return [None] * len(images)

    sample = Sample(astronaut, {"box": [10.0, 20.0, 110.0, 220.0], "landmarks": np.zeros((68, 2))})
    ConsistencyStage(ConsistencySettings(shift=0.1), Recorder()).run([sample], tmp_path)
    assert np.allclose(asked[0], [20, 40, 120, 240])
    assert sample.row["landmark_shift_error"] == 1.0


@pytest.mark.parametrize(
    ("moves", "doubt", "error", "back"),
    [
        ((3, 50), 0.04, 0.03, None),  # below `doubt`: one shift only
        ((12, 2), 0.04, 0.12, 0.02),
        ((12, 30), 0.04, 0.12, 0.3),
        ((None, 30), 0.04, 1.0, 0.3),
        ((None, None), 0.04, 1.0, 1.0),
        ((12, 2), 2.0, 0.12, None),
        ((3, 50), 0.0, 0.03, 0.5),
    ],
)
def test_where_the_landmarks_move_the_other_shift_is_asked(tmp_path, astronaut, moves, doubt, error, back):
    asked: list[np.ndarray] = []

    class Slipping:
        name = "slipping"

        def fingerprint(self) -> dict[str, str]:
            return {}

        def landmarks(self, images, boxes) -> list[LandmarkResult | None]:
            results: list[LandmarkResult | None] = []
            for box in boxes:
                move = moves[0] if box[0] > 100 else moves[1]
                asked.append(box)
                results.append(None if move is None else LandmarkResult(_flat(move), 1.0))
            return results

    sample = Sample(astronaut, {"box": [100.0, 100.0, 200.0, 200.0], "landmarks": _flat(0)})
    ConsistencyStage(ConsistencySettings(doubt=doubt), Slipping()).run([sample], tmp_path)
    assert sample.row["landmark_shift_error"] == pytest.approx(error)
    assert sample.row["landmark_shift_back"] == (None if back is None else pytest.approx(back))
    assert np.allclose(asked, [[105, 105, 205, 205], [95, 95, 195, 195]][: 1 if back is None else 2])


def test_only_those_in_doubt_are_asked_again(tmp_path, astronaut):
    asked: list[list[float]] = []

    class Moving:
        name = "moving"

        def fingerprint(self) -> dict[str, str]:
            return {}

        def landmarks(self, images, boxes) -> list[LandmarkResult | None]:
            asked.append([float(box[2] - box[0]) for box in boxes])
            return [LandmarkResult(_flat(6), 1.0) for _ in boxes]

    boxes = [[100.0, 100.0, 100.0 + side, 100.0 + side] for side in (300, 100, 400, 50)]
    samples = [Sample(astronaut, {"box": box, "landmarks": _flat(0)}) for box in boxes]
    ConsistencyStage(ConsistencySettings(), Moving()).run(samples, tmp_path)
    assert asked[:2] == [[300, 100, 400, 50], [100, 50]]
    assert [sample.row["landmark_shift_back"] for sample in samples] == [
        None,
        pytest.approx(0.06),
        None,
        pytest.approx(0.12),
    ]


def _flat(move: float) -> np.ndarray:
    """Landmarks without a head pose, so that only the shift error is computed."""
    return np.full((68, 2), 150.0, np.float32) + np.array([move, 0], np.float32)


def test_the_error_is_the_largest_move_over_the_mean_side():
    points = np.zeros((68, 2), np.float32)
    again = points.copy()
    again[3] = (3, 4)
    box = np.array([0, 0, 80, 120])
    assert shift_error(points, LandmarkResult(again, 1.0), box) == pytest.approx(0.05)
    again[3] = (300, 400)
    assert shift_error(points, LandmarkResult(again, 1.0), box) == 1.0


def test_the_spread_is_the_mean_distance_of_what_two_boxes_show():
    points = np.zeros((68, 2), np.float32)
    left = LandmarkResult(points - np.array([3, 4], np.float32), 1.0)
    right = LandmarkResult(points + np.array([6, 8], np.float32), 1.0)
    box = np.array([0, 0, 80, 120])
    assert spread(points, left, right, box) == pytest.approx(0.15)
    assert spread(points + 50, left, right, box) == pytest.approx(0.15)
    assert spread(points, None, right, box) == pytest.approx(0.2)
    assert spread(points, left, None, box) == pytest.approx(0.1)
    assert spread(points, None, None, box) is None


@pytest.mark.parametrize("slip", [-38, 38])
def test_landmarks_that_nothing_supports_follow_the_box(backend, astronaut, tmp_path, slip):
    (found,) = backend.landmarks([astronaut], [np.array(BOX)])
    torn = astronaut.copy()  # the lower half of the face is moved by 0.4 of its width
    torn[133:] = np.roll(torn[133:], slip, axis=1)
    (lost,) = backend.landmarks([torn], [np.array(BOX)])
    samples = [
        Sample(astronaut, {"box": BOX, "landmarks": found.points}),
        Sample(torn, {"box": BOX, "landmarks": lost.points}),
    ]
    ConsistencyStage(ConsistencySettings(), backend).run(samples, tmp_path)
    good, bad = (sample.row["landmark_spread"] for sample in samples)
    assert 0 < good < 0.04
    assert bad > load_recipe("deca-paper").max_landmark_spread
    assert samples[1].row["landmark_shift_error"] < 0.1  # so the spread is needed


def test_turned_heads_have_no_spread_and_others_of_their_batch_keep_theirs(backend, astronaut, tmp_path):
    (found,) = backend.landmarks([astronaut], [np.array(BOX)])
    turned = found.points.copy()
    turned[:, 0] = turned[:, 0].mean() + (turned[:, 0] - turned[:, 0].mean()) * 0.3
    turned[27:36, 0] += 25  # a narrow face with its nose far to one side
    rows = [{"box": BOX, "landmarks": points} for points in (turned, found.points)]
    samples = [Sample(astronaut, row) for row in rows]
    ConsistencyStage(ConsistencySettings(), backend).run(samples, tmp_path)
    assert samples[0].row["landmark_spread"] is None
    assert 0 < samples[1].row["landmark_spread"] < 0.04
