"""Fixtures that every test package uses."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"

ALL = bool(os.environ.get("DECA_TEST_ALL"))
"""`make test-all` sets it: everything is tried, not only a part."""

Count = Callable[..., None]


def _add(line: str, tried: int, rows_lost: int = 0, code_run: int = 0) -> None:
    folder = os.environ.get("DECA_RELIABILITY")
    if folder:
        entry = {"line": line, "tried": tried, "rows_lost": rows_lost, "code_run": code_run}
        with open(Path(folder) / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


@pytest.fixture
def count() -> Count:
    """Adds to a line of RELIABILITY.md: what was tried, and how often; what failed, raises in the test."""
    return _add


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Counts a test with the mark `reliability` in its line of RELIABILITY.md, once it has passed."""
    outcome: Any = yield
    mark = item.get_closest_marker("reliability")
    if mark is not None and call.when == "call" and outcome.get_result().passed:
        _add(mark.args[0], mark.kwargs.get("tried", 1))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real photos and arrays beside the checkout; it is no part of the project."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder ../shared with real photos, which is not part of the project")
    return SHARED


@pytest.fixture(scope="session")
def faces(shared: Path) -> Path:
    """Real face photos in the datasets' own layouts."""
    return shared / "faces"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The beginning of a command line that opens a page in Chromium without a window."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("needs Chromium on PATH to open the page")
    profile = tmp_path_factory.mktemp("profile")
    return [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
