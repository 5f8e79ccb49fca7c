"""The identity stage."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from deca_data.backends import load_backend
from deca_data.sample import Sample
from deca_data.stage import NoSettings
from deca_data.stages.identity import EMBEDDING, IdentityStage


def test_the_embedding_becomes_a_column(astronaut, tmp_path):
    pytest.importorskip("dlib")
    box = [177.0, 82.0, 272.0, 178.0]
    (found,) = load_backend("landmarker", "mediapipe").landmarks([astronaut], [np.array(box)])
    samples = [
        Sample(astronaut, {"box": box, "landmarks": found.points}),
        Sample(astronaut, {"box": box, "landmarks": found.points.reshape(-1).tolist()}),
    ]
    stage = IdentityStage(NoSettings(), load_backend("embedder", "dlib"))
    stage.run(samples, tmp_path)
    first, second = (sample.row[EMBEDDING] for sample in samples)
    assert np.allclose(first, second, atol=1e-4)
    column = pa.array([first], type=stage.workspace_columns[0].type)
    assert len(column[0]) == 128
    assert stage.fingerprint()["backend"]["name"] == "dlib"
