"""Tables are written between their markers; all else in the document stays as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.runner import ROOT, Job, run_all
from benchmarks.tables import markdown, replace_between, write_table
from manifests.errors import UsageError

DOCUMENT = "# Title\n<!-- a -->\nold a\n<!-- /a -->\nText.\n<!-- b -->\nold b\n<!-- /b -->\nEnd.\n"


def test_a_table_is_markdown() -> None:
    assert markdown(["", "ms"], [["ours", 7], ["plain", "33.3"]]) == (
        "|  | ms |\n| --- | --- |\n| ours | 7 |\n| plain | 33.3 |"
    )


def test_only_the_text_between_the_markers_changes() -> None:
    once = replace_between(DOCUMENT, "b", "| new |\n")
    assert once == DOCUMENT.replace("\nold b\n", "\n\n| new |\n\n")
    assert replace_between(once, "b", "| new |") == once


@pytest.mark.parametrize(
    "wrong",
    [
        "no markers",
        "<!-- a -->",
        "<!-- /a --> <!-- a -->",
        "<!-- a --> <!-- /a --> <!-- a --> <!-- /a -->",
    ],
)
def test_missing_repeated_or_swapped_markers_are_an_error(tmp_path: Path, wrong: str) -> None:
    document = tmp_path / "document.md"
    document.write_text(wrong)
    with pytest.raises(UsageError, match=r"document\.md: expected <!-- a --> once"):
        write_table(document, "a", "| new |")
    assert document.read_text() == wrong


def job(name: str, code: str) -> Job:
    return Job(name, f"python -m {name}", [sys.executable, "-c", code], one_thread=True)


def test_failed_benchmarks_keep_their_tables_and_the_others_are_written(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text(DOCUMENT)
    table = "import os; print('| n |\\n| --- |\\n| ' + os.environ['OMP_NUM_THREADS'] + ' |')"
    jobs = [job("a", f"{table}; raise SystemExit(3)"), job("missing", table), job("b", table)]
    assert run_all(jobs, document) == ["a", "missing"]
    before, after = DOCUMENT.split("old b")
    written = document.read_text()
    assert written.startswith(before + "\n`python -m b`\n\n| n |\n| --- |\n| 1 |\n\n")
    assert written.endswith("at the start.\n" + after)
    assert run_all([job("b", "print('no table')")], document) == ["b"]
    assert document.read_text() == written


def test_a_failed_benchmark_is_named_and_the_exit_code_is_one(tmp_path: Path) -> None:
    copy, labels = tmp_path / "copy.md", tmp_path / "no-labels"
    line = [sys.executable, "-m", "benchmarks", "--trial", copy, "--only", "masks", "--labels", labels]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("failed, their old tables stay: masks\n")
    assert copy.read_bytes() == (ROOT / "BENCHMARKS.md").read_bytes()


def test_the_document_has_the_markers_of_every_benchmark() -> None:
    from benchmarks.__main__ import BENCHMARKS

    text = (ROOT / "BENCHMARKS.md").read_text(encoding="utf-8")
    for name in BENCHMARKS:
        assert replace_between(text, name, "| new |") != text
        assert (ROOT / "benchmarks" / f"{name}.py").is_file()


def test_one_folder_of_sets_gives_every_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.__main__ import _arguments, _job, _missing, _places

    for name in ("cfp", "parsing", "parsing_angles", "landmarks68", "other"):
        (tmp_path / name).mkdir()
    line = ["benchmarks", "--sets", str(tmp_path), "--photos", str(tmp_path / "other")]
    monkeypatch.setattr(sys, "argv", line)
    given = _arguments()
    assert given.photos == tmp_path / "other"  # what is named goes before
    assert _missing("masks", given) == _missing("head_pose", given) == []
    assert _missing("fit_likeness", given) == ["--animals"]
    job = _job("masks", _places(given, ["masks"], tmp_path), trial=False)
    assert job.command[-2:] == [str(tmp_path / "parsing"), str(tmp_path / "parsing_angles")]
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--sets", str(tmp_path / "other")])
    with pytest.raises(SystemExit):
        _arguments()
