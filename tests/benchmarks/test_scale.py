"""The benchmark's synthetic workspace is one that the commands accept, whatever columns the stages add."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import manifests
from benchmarks.scale import make_workspace

TOOL = Path(sys.executable).parent / "deca-data"


def test_the_commands_find_every_stage_done_and_keep_rows(tmp_path: Path) -> None:
    make_workspace(tmp_path / "deca-workspace", 720, 64, None)
    done = subprocess.run([TOOL, "build-manifest"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.match("nothing to do: detect, .*identity are up to date", done.stderr)
    rows = sum(len(manifests.read(tmp_path / f"{split}.parquet")) for split in ("train", "val"))
    assert rows == 720
    kept = manifests.read(tmp_path / "train.parquet")
    assert (kept["status"] == "ok").sum() >= 50
