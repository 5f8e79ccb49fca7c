"""Dockerfile and Makefile agree with pyproject.toml, and the set-up finds a Python or says how to get one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, with what each is given."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def test_the_image_copies_all_that_an_install_reads(steps: list[tuple[str, str]], project: dict[str, Any]):
    copied = {word for step, rest in steps if step == "COPY" for word in rest.split()[:-1]}
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    modules = {f"{name}.py" for name in project["tool"]["setuptools"]["py-modules"]}
    files = {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"}
    assert copied == packages | modules | files
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_is_slim_has_known_extras_and_no_root(
    steps: list[tuple[str, str]], project: dict[str, Any]
):
    ((_, base),) = [step for step in steps if step[0] == "FROM"]
    version = re.fullmatch(r"python:3\.(\d+)-slim-bookworm", base)
    low, high = re.findall(r"3\.(\d+)", project["project"]["requires-python"])
    assert version is not None
    assert int(low) <= int(version[1]) < int(high)
    extras = next(rest for step, rest in steps if step == "ARG").removeprefix("EXTRAS=").split(",")
    assert set(extras) <= set(project["project"]["optional-dependencies"])
    assert "train" not in extras
    kinds = [step for step, _ in steps]
    user = next(rest for step, rest in steps if step == "USER")
    assert int(user) > 0
    assert kinds.index("USER") > max(at for at, kind in enumerate(kinds) if kind in ("RUN", "COPY"))
    assert "--shm-size=2g" in (ROOT / "Dockerfile").read_text()


def programs(folder: Path, **scripts: str) -> dict[str, str]:
    """An environment whose PATH has only what the Makefile needs, and these shell scripts."""
    folder.mkdir()
    for name in ("bash", "make", "env"):
        place = shutil.which(name)
        if place is None:
            pytest.skip(f"needs {name}")
        (folder / name).symlink_to(place)
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    return {"PATH": str(folder), "HOME": str(folder)}


def ask(names: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    line = ["make", "--silent", "--file", str(ROOT / "Makefile"), "python", *words]
    return subprocess.run(line, cwd=names["HOME"], env=names, capture_output=True, text=True, timeout=60)


def test_make_takes_a_fitting_python(tmp_path: Path):
    names = programs(tmp_path / "bin", python3=f'exec {sys.executable} "$@"')
    assert ask(names).stdout == "python3\n"
    assert ask(names, f"PYTHON={sys.executable}").stdout == f"{sys.executable}\n"


def test_without_a_fitting_python_uv_fetches_one(tmp_path: Path):
    """uv itself downloads, so a script stands for it here; what it is asked is what is tested."""
    said = tmp_path / "said"
    uv = f'echo "$@" >> {said}; [ "$2" = find ] && echo /fetched/python3.11 || true'
    done = ask(programs(tmp_path / "bin", uv=uv, python3="exit 1"))
    assert done.stdout == "/fetched/python3.11\n"
    assert said.read_text() == "python install 3.11\npython find --managed-python 3.11\n"
    assert "no Python 3.10, 3.11 or 3.12 found; uv fetches 3.11" in done.stderr


@pytest.mark.parametrize("uv", [{"uv": "exit 1"}, {}])
def test_where_none_can_be_fetched_one_line_says_what_to_do(tmp_path: Path, uv: dict[str, str]):
    done = ask(programs(tmp_path / "bin", python3="exit 1", **uv))
    assert done.returncode == 2
    assert "'uv python install 3.11', or name one: make PYTHON=/path/to/python3.11" in done.stderr
