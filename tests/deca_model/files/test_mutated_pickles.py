"""Thousands of damaged model files: never a crash, always arrays or one sentence."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deca_model.files.restricted_pickle import as_array, load_restricted
from tests.conftest import ALL, Count
from tests.deca_model.files import mutated_pickles

COUNT = 100_000 if ALL else 2_000


def test_mutated_files_never_end_the_process(tmp_path: Path, flame_writer: Any, count: Count) -> None:
    rng = np.random.default_rng(0)
    small = {"shapedirs": rng.random((8, 3, 2)), "posedirs": rng.random((8, 3, 2))}
    model = flame_writer(tmp_path / "model.pkl", rng.random((8, 3)), rng.integers(0, 8, (4, 3)), **small)
    new, embedding = tmp_path / "new.pkl", tmp_path / "embedding.npy"
    plain = {"v_template": rng.random((3, 3)), "f": np.arange(6).reshape(2, 3), "scale": np.float32(2)}
    new.write_bytes(pickle.dumps(plain, 5))
    tensors = {"dynamic": torch.rand(2, 3), "static": np.arange(4), "full": torch.arange(4).view(2, 2)}
    np.save(embedding, np.array(tensors, dtype=object), allow_pickle=True)
    for path in (model, new, embedding):  # undamaged, they are read
        for key, value in load_restricted(path).items():
            if not key.startswith("bs_"):
                assert as_array(value, key, path).size
    done = subprocess.run(
        [sys.executable, mutated_pickles.__file__, str(COUNT), str(model), str(new), str(embedding)],
        capture_output=True,
        text=True,
        timeout=60 + COUNT / 20,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert sum(found.values()) == COUNT
    assert "not one sentence" not in found
    assert found["refused"] > COUNT / 4
    assert found["read"] > COUNT / 100
    count("damaged model files (pickles)", COUNT)
