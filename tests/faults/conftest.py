"""How much is tried, and where it is written down what came of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

ALL = bool(os.environ.get("DECA_TEST_ALL"))
"""`make test-all` sets it: everything is tried, not only a part."""

Count = Callable[..., None]


@pytest.fixture
def count() -> Count:
    """Adds to a line of RELIABILITY.md: what was tried, and how often; what failed, raises in the test."""
    folder = os.environ.get("DECA_RELIABILITY")

    def add(line: str, tried: int, rows_lost: int = 0, code_run: int = 0) -> None:
        if folder:
            entry = {"line": line, "tried": tried, "rows_lost": rows_lost, "code_run": code_run}
            with open(Path(folder) / f"{os.getpid()}.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

    return add
