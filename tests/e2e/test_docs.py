"""The tutorial, the notebook and the pages about Python, run as a reader runs them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ALL
from tests.docs.pages import DOCS, blocks, calls
from tests.e2e.conftest import environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all commands of the tutorial have run; each printed what the page shows."""
    folder = tmp_path_factory.mktemp("tutorial")
    for block in blocks(DOCS / "tutorial.md", "console"):
        for line, expected in calls(block):
            told = run(folder, ["bash", "-c", line])
            seen = [" ".join(each.split()) for each in told.splitlines()]
            for each in expected:
                assert " ".join(each.split()) in seen, f"$ {line}\n{told}"
    return folder


def run(folder: Path, words: list[str]) -> str:
    names = {**environment(), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "COLUMNS": "160"}
    done = subprocess.run(words, cwd=folder, env=names, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{words}\n{done.stderr}"
    return done.stdout + done.stderr


def test_the_tutorial_runs_and_prints_what_it_shows(tutorial: Path):
    for name in ("report.html", "for-deca/README.txt", "runs/001/loss.png", "reconstructions/0001_01.obj"):
        assert (tutorial / name).stat().st_size > 0
    text = (DOCS / "tutorial.md").read_text()
    assert "`runs/001` has the settings, the losses\n(`metrics.jsonl`, `loss.png`)" in text
    assert (tutorial / "runs/001/metrics.jsonl").is_file()


def test_the_notebook_runs(tutorial: Path):
    path = DOCS / "from-manifest-to-pictures.ipynb"
    if importlib.util.find_spec("nbclient") and importlib.util.find_spec("ipykernel"):
        import nbclient  # pyright: ignore[reportMissingImports]
        import nbformat  # pyright: ignore[reportMissingImports]

        book = nbformat.read(path, as_version=4)
        nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": tutorial}}).execute()
    else:
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        told = run(tutorial, [sys.executable, "-c", "\n".join("".join(cell["source"]) for cell in cells)])
        assert "pixels apart" in told
    assert (tutorial / "from-the-notebook/face_0.png").stat().st_size > 0
    assert (tutorial / "from-the-notebook/face_0.obj").stat().st_size > 0


FIT = pytest.param("fit.md", marks=pytest.mark.skipif(not ALL, reason="five seconds: part of make test-all"))


@pytest.mark.parametrize("page", ["look-and-clean.md", "python.md", FIT])
def test_the_python_of_a_page_runs(tutorial: Path, page: str):
    shutil.copy(tutorial / "vggface2/train/n000001/0001_01.jpg", tutorial / "photo.jpg")
    run(tutorial, [sys.executable, "-c", "\n".join(blocks(DOCS / "how-to" / page, "python"))])
