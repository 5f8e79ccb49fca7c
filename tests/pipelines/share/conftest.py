"""A real browser for the tests of the report."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.pipelines.share.webdriver import Browser


@pytest.fixture(scope="package")
def browser(chromium: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, to be clicked in."""
    if shutil.which("chromedriver") is None:
        pytest.skip("needs chromedriver on PATH to click through the page")
    # A profile of its own: it stays open while other tests start Chromium.
    profile = f"--user-data-dir={tmp_path_factory.mktemp('profile')}"
    made = Browser([*chromium[:-1], profile], tmp_path_factory.mktemp("saved"))
    yield made
    made.close()
