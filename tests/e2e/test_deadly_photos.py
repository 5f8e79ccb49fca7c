"""A photo that kills the process costs its own row, with any number of workers and few shards."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.test_own_stage import STAGE, call, folder

__all__ = ["folder"]  # a fixture

DEADLY = STAGE.replace(
    "        for sample in samples:\n",
    "        for sample in samples:\n"
    "            if sample.row['image'] in ('anna/2.jpg', 'anna/4.jpg', 'ben/3.jpg'):\n"
    "                os.abort()\n",
)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.reliability("a photo kills its process: its row alone is lost, and said", tried=3)
def test_the_row_alone_is_lost_and_the_rest_goes_on(folder: Path, workers: int):
    assert DEADLY != STAGE
    (folder / "stages/colourfulness.py").write_text(DEADLY)
    os.mkfifo(folder / "mine/anna/pipe.jpg")
    done = call(folder, f"deca-data colourfulness ./mine ./yours --workers {workers} --json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["statuses"] == {"ok": 7, "dropped": 1, "failed": 3}
    assert said["reasons"] == {
        "decode: a worker process died on this image": 3,
        "colourfulness: no colour": 1,
    }
    assert said["datasets"]["mine"]["left_out"] == {
        "not a file but a named pipe, a socket or a device": {"count": 1, "first": "anna/pipe.jpg"}
    }
