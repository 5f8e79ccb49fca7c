"""`make gpu` and `make bench-gpu`, dry-run on the CPU; without a GPU and without DRY they say so."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_checks
from benchmarks.runner import ROOT
from manifests.errors import UsageError
from tests.conftest import ALL

REPORT = """<testsuites><testsuite>
<testcase name="test_a_stage[coarse]" time="2.04"><properties><property name="figure" value="within 1 %"/>
</properties></testcase>
<testcase name="test_two_devices" time="0.0"><skipped message="needs two CUDA devices"/></testcase>
{more}</testsuite></testsuites>"""
FAILED = '<testcase name="test_memory" time="1"><failure message="AssertionError: 1 | 2"/></testcase>'


def make(target: str, document: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The command of the Makefile's target, writing into ``document``."""
    shown = subprocess.run(
        ["make", "--no-print-directory", "-n", target, *more, f"PYTHON={sys.executable}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    words = shlex.split(shown.stdout)
    assert words[1:3] == ["-m", {"gpu": "benchmarks.gpu_checks", "bench-gpu": "benchmarks.gpu_speed"}[target]]
    command = [sys.executable, *words[1:], "--document", str(document)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3000)


def between(document: Path, name: str) -> str:
    return document.read_text().split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]


@pytest.fixture
def document(tmp_path: Path) -> Path:
    shutil.copyfile(ROOT / "BENCHMARKS.md", tmp_path / "tables.md")
    return tmp_path / "tables.md"


def test_a_dry_run_of_the_checks_writes_its_table(document: Path) -> None:
    done = make("gpu", document, "DRY=1", *([] if ALL else ["ONLY=sees_what or arcface"]))
    assert done.returncode == 0, done.stdout + done.stderr
    table = between(document, "gpu_checks")
    assert "`make gpu DRY=1`" in table
    assert "| it sees what the cpu sees | passed | " in table
    assert "commit" in table
    assert " failed " not in table
    if ALL:
        assert table.count("| passed |") >= 17, table


@pytest.mark.skipif(not ALL, reason="a minute; `make test-all` runs it")
def test_a_dry_run_of_the_benchmarks_writes_their_tables(document: Path) -> None:
    done = make("bench-gpu", document, "DRY=1")
    assert done.returncode == 0, done.stdout + done.stderr
    training = [line.split(" | ")[0] for line in between(document, "gpu_training").splitlines()]
    assert [line for line in training if line.startswith(("| pretrain", "| coarse", "| detail"))] == [
        "| pretrain", "| coarse", "| detail"
    ]  # fmt: skip
    assert "| built-in |" in between(document, "gpu_rasterizer")
    assert "| arcface | 2 |" in between(document, "gpu_stages")


def test_the_table_names_what_was_skipped_and_what_failed(tmp_path: Path) -> None:
    (tmp_path / "results.xml").write_text(REPORT.format(more=""))
    failed, table = gpu_checks.summary(tmp_path / "results.xml")
    assert not failed
    assert "| a stage (coarse) | passed | 2.0 | within 1 % |" in table
    assert "| two devices | skipped | 0.0 | needs two CUDA devices |" in table
    (tmp_path / "results.xml").write_text(REPORT.format(more=FAILED))
    failed, table = gpu_checks.summary(tmp_path / "results.xml")
    assert failed
    assert "| memory | failed | 1.0 | AssertionError: 1 / 2 |" in table


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a CUDA device")
def test_without_a_gpu_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_checks", "--document", str(tmp_path / "none.md")])
    assert gpu_checks.main() == 2
    assert (
        "torch sees no CUDA device here; on a machine without one, `make gpu DRY=1`"
        in capsys.readouterr().err
    )


def test_missing_packages_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu_checks.NEEDED, "nosuchmodule.part", "no-such-package")
    with pytest.raises(UsageError, match=r"has no no-such-package; .* -m pip install no-such-package"):
        gpu_checks.check_packages()
