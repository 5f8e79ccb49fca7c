"""A disk that fills up in the middle of a run, and a run that goes on when there is space again."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from pipelines.demo.portraits import make_photos
from tests.e2e.conftest import environment
from tests.e2e.test_data_commands import whole


def call(folder: Path, line: str, most: int | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command; each file that it writes may have ``most`` bytes, as if the disk were full then."""
    names = {**environment(), "OMP_NUM_THREADS": "1"}

    def limit() -> None:
        if most is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    words = line.split()
    return subprocess.run(
        words, cwd=folder, env=names, preexec_fn=limit, capture_output=True, text=True, timeout=120
    )


RUN, BUILD = "deca-data run raw --workers 1", "deca-data build-manifest --recipe keep-all --workers 1"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos and the manifest of a run on a disk with space."""
    folder = tmp_path_factory.mktemp("expected")
    make_photos(folder / "raw")
    for line in (RUN, BUILD):
        done = call(folder, line)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("most", [300, 2_000, 6_000])
@pytest.mark.reliability("the disk is full, then the same command")
def test_a_full_disk_stops_the_run_and_the_same_call_goes_on(expected: Path, tmp_path: Path, most: int):
    """300 bytes stop the scan, 2,000 a mask, and 6,000 a part of the results."""
    (tmp_path / "raw").symlink_to(expected / "raw")
    full = call(tmp_path, RUN, most)
    assert full.returncode == 1, full.stderr
    last = full.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "File too large; free some space there" in last
    assert ".part-" not in full.stderr
    assert "Traceback" not in full.stderr
    space = tmp_path / "deca-workspace"
    assert not [path for path in space.rglob("*") if path.name.startswith(".part-")]
    assert not list(space.glob("parts/raw/masks/*/*.parquet"))
    for line in (RUN, BUILD):
        done = call(tmp_path, line)
        assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(whole(tmp_path), whole(expected))
