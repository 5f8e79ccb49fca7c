"""Where tasks run (cluster): what is said where that place is wrong."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from manifests import temporary_folder
from manifests.errors import UsageError
from pipelines.run import cluster
from pipelines.run.bring_up import Call, run_stages
from pipelines.run.cluster import check_scheduler, executor
from pipelines.run.runner import Options


@pytest.mark.reliability("no scheduler answers")
def test_a_port_where_nobody_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """As the scheduler's dashboard does, which waits for a request of a browser."""
    monkeypatch.setattr(cluster, "ANSWERS", 1.0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(UsageError, match=rf"--scheduler {address}: no Dask scheduler answers there \(no"):
            check_scheduler(address)
        call = Call(tmp_path / "space", [tmp_path], options=Options(scheduler=address), say=print)
        with pytest.raises(UsageError, match="no Dask scheduler answers"):  # before the scan, so also with
            run_stages(call, ["detect"])  # nothing left to do
        assert time.monotonic() - begun < 20


@pytest.mark.parametrize("text", ["a: [1", "- 1", "\x00", "a: b: c"])
@pytest.mark.reliability("damaged files: Dask's settings")
def test_damaged_settings_of_dask_are_one_sentence(tmp_path: Path, text: str):
    import subprocess
    import sys

    (tmp_path / "dask.yaml").write_text(text)
    code = (
        "from manifests.errors import UsageError\n"
        "from pipelines.run.cluster import check_scheduler\n"
        "try:\n    check_scheduler('tcp://127.0.0.1:1')\n"
        "except UsageError as error:\n    print(error)\n"
    )
    names = {"DASK_CONFIG": str(tmp_path), "PYTHONPATH": str(Path(cluster.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=names, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert "Dask" in done.stdout
    assert "cannot be read" in done.stdout
    assert str(tmp_path) in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_temporary_folder_with_a_long_path_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(temporary_folder.tempfile, "tempdir", "/tmp/" + "\u00fc" * 40)  # 85 bytes
    with pytest.raises(UsageError, match=r"TMPDIR=/tmp/.*has 85 bytes"), executor(2, None):
        pass
