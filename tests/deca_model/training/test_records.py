"""The records of a run: pictures in TensorBoard, and the figures of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deca_model.training.headline import MEANINGS
from deca_model.training.records import RunLog, figures_of


def test_tensorboard_shows_the_pictures(tmp_path: Path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    picture = np.zeros((8, 16, 3), np.uint8)
    picture[:, :8] = (200, 30, 10)
    log = RunLog(tmp_path)
    log.picture("faces", 7, picture)
    log.close()
    found = events.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    (shown,) = found.Images("faces")
    assert shown.step == 7
    decoded = cv2.imdecode(np.frombuffer(shown.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[..., ::-1], picture)


def test_tensorboard_says_what_the_figures_mean(tmp_path: Path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = RunLog(tmp_path)
    log.explain(MEANINGS)
    log.close()
    found = events.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    (shown,) = found.Tensors("figures/text_summary")
    (text,) = shown.tensor_proto.string_val
    for name in ("landmark_error_median", "shape_consistency", "detail_gain"):
        assert f"| validation/{name} | {MEANINGS[name]} |" in text.decode()


def test_the_figures_of_a_checkpoint_are_those_of_its_step(tmp_path: Path):
    log = RunLog(tmp_path)
    log.write("train", 3, {"total": 1.0})
    log.write("validation", 3, {"faces": 2, "landmark_error_median": 4.0})
    log.write("validation", 5, {"faces": 2, "landmark_error_median": 9.0})
    log.close()
    found = figures_of(tmp_path / "checkpoints/step-00000003.pt")
    assert found == {"faces": 2, "landmark_error_median": 4.0}
    assert figures_of(tmp_path / "checkpoints/step-00000004.pt") is None
