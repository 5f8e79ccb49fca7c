"""A photo on which a stage hangs costs its own row, however many workers there are."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from pipelines.demo.portraits import make_photos
from tests.e2e.conftest import environment, small_shards

STAGE = '''
import time

from pydantic import BaseModel


class Settings(BaseModel, frozen=True, extra="forbid"):
    pass


class Hangs:
    """Hangs on one photo."""

    name = "hangs"
    version = 1
    reads = ("box",)
    writes = ()
    batch = 1
    Settings = Settings
    in_run = True

    def __init__(self, settings):
        self.settings = settings

    def fingerprint(self):
        return {}

    def run(self, samples, workspace):
        for sample in samples:
            if sample.row["image"].endswith("n000001/0003_01.jpg"):
                time.sleep(10_000)
'''


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.reliability("a photo hangs: its row alone is lost, and said")
def test_a_photo_that_takes_too_long_costs_its_row(tmp_path: Path, workers: int):
    if workers == 1:
        pytest.importorskip("pipelines.run.child", reason="needs a process of its own for a single worker")
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/hangs.py").write_text(STAGE)
    make_photos(tmp_path / "raw")
    for path in (tmp_path / "raw").rglob("n000002/*.jpg"):
        path.unlink()
    small_shards(tmp_path, tmp_path / "raw")
    line = f"deca-data run raw --name vggface2 --workers {workers} --image-timeout 4 --json"
    begun = time.monotonic()
    done = subprocess.run(
        line.split(),
        cwd=tmp_path,
        env={**environment(), "DECA_STAGES": str(tmp_path / "stages")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert found["reasons"].pop("decode: it takes longer than 4 s (--image-timeout)") == 1
    assert "a worker process died on this image" not in str(found["reasons"])
    assert found["statuses"]["ok"] >= 15
    assert time.monotonic() - begun < 90
