"""The documentation: it builds with broken links as errors, and each command in it is one that exists."""

from __future__ import annotations

import ast
import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import cli
from manifests.schema import COLUMNS
from tests.docs.pages import DOCS, PAGES, REPOSITORY, blocks

REFERENCE = DOCS / "reference.py"


@pytest.fixture(scope="module")
def reference():
    """The module that makes the pages of the reference."""
    spec = importlib.util.spec_from_file_location("docs_reference", REFERENCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_builds_with_broken_links_as_errors(tmp_path: Path):
    pytest.importorskip("mkdocs", reason="needs mkdocs, of the extra dev")
    pytest.importorskip("material", reason="needs mkdocs-material, of the extra dev")
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for page in ("index.html", "tutorial.html", "how-to/official-deca.html", "reference/settings.html"):
        text = (tmp_path / "site" / page).read_text()
        assert 'src="http' not in text  # no page loads anything from elsewhere
        assert 'rel="stylesheet" href="http' not in text


def test_the_reference_has_every_column_setting_recipe_and_command(reference):
    columns = reference.columns()
    assert all(f"| `{column.name}` |" in columns for column in COLUMNS)
    settings = reference.settings()
    for name in ("`loss.photometric`", "`detail.patience`", "`detect.min_size`"):
        (row,) = (line for line in settings.splitlines() if line.startswith(f"| {name} |"))
        assert len(row.split(" | ")[-1]) > 10, row  # its meaning
    assert "| `val_fraction` |" in reference.recipes()
    commands = reference.commands()
    for name, app in (("deca-data", cli.deca_data()), ("deca", cli.deca())):
        for below in typer.main.get_command(app).commands:  # pyright: ignore[reportAttributeAccessIssue]
            assert f"## {name} {below}\n" in commands
    assert "## deca evaluate now\n" in commands
    assert "-h, --help" in commands
    python = reference.python()
    assert "## manifests.read\n" in python
    assert "- path: a run folder, a checkpoint" in python


def test_every_row_of_a_reference_table_has_as_many_cells_as_its_header(reference):
    for make in reference.PAGES.values():
        lines = [line for line in make().splitlines() if line.startswith("| ")]
        widths = [line.replace("\\|", "").count("|") for line in lines]
        for number, line in enumerate(lines):
            if line.startswith("| --- |"):
                width = widths[number]
            elif not (number + 1 < len(lines) and lines[number + 1].startswith("| --- |")):
                assert widths[number] == width, line


def command_lines() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for language in ("console", "bash", ""):
            for block in blocks(page, language):
                lines = (line.removeprefix("$ ").strip() for line in block.splitlines())
                found += [(page.name, line) for line in lines if line.split(" ")[0] in ("deca", "deca-data")]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_each_command_of_the_pages_exists_with_its_options(page: str, line: str):
    program, *words = shlex.split(line.partition(" > ")[0], comments=True)
    app = typer.main.get_command(cli.deca_data() if program == "deca-data" else cli.deca())
    assert words, line
    context, command = None, app
    while hasattr(command, "commands"):  # a group: its next word is a command
        context = command.context_class(command, info_name=program, parent=context)
        command, words = command.commands[words[0]], words[1:]  # pyright: ignore[reportAttributeAccessIssue]
    command.make_context("it", words, parent=context)


def test_the_notebook_is_stored_without_results_and_its_cells_parse():
    book = json.loads((DOCS / "from-manifest-to-pictures.ipynb").read_text())
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5
    for cell in cells:
        ast.parse("".join(cell["source"]))
        assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_readme_is_short_and_names_no_host_of_packages():
    text = (REPOSITORY / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert "pypi" not in text.lower()


@pytest.mark.parametrize("package", ["manifests", "deca_data", "deca_model", "pipelines"])
def test_each_package_is_marked_as_typed_and_the_mark_is_packed(package: str):
    assert (REPOSITORY / package / "py.typed").is_file()
    assert '"*" = ["py.typed"]' in (REPOSITORY / "pyproject.toml").read_text()


def test_the_model_s_interface_is_there_and_torch_is_imported_only_when_it_is_used():
    code = (
        "import sys, deca_model; assert 'torch' not in sys.modules; "
        "print([getattr(deca_model, name).__name__ for name in deca_model.__all__]); "
        "print(hasattr(deca_model, 'no_such_name'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    names = ["Reconstruction", "open_model", "reconstruct", "save_reconstruction"]
    assert done.stdout.split("\n")[:2] == [str(names), "False"], done.stderr
