"""A real browser that is clicked through: the parts of the WebDriver protocol that the tests need.

https://www.w3.org/TR/webdriver2/
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key under which the protocol names an element."""

PATIENCE = 10.0
"""Seconds to wait for what a page should do."""


class Browser:
    """Chromium without a window, driven by chromedriver; files that it saves are in ``downloads``."""

    def __init__(self, chromium: list[str], downloads: Path):
        self.downloads = downloads
        driver = shutil.which("chromedriver")
        assert driver is not None
        self._driver = subprocess.Popen(
            [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._driver.stdout is not None
        lines = (line for line in self._driver.stdout if "on port" in line and "started" in line)
        port = next(lines).rsplit("port", 1)[1].strip(" .\n")
        self._address = f"http://127.0.0.1:{port}"
        program, *options = chromium
        wanted = {
            "goog:chromeOptions": {
                "binary": program,
                "args": [*options, "--hide-scrollbars"],
                "prefs": {"download.default_directory": str(downloads)},
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        self._session = ""
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{made['sessionId']}"

    def close(self) -> None:
        """Ends the browser and its driver."""
        self._call("DELETE", "")
        self._driver.terminate()
        self._driver.wait(timeout=10)

    def open(self, address: str, width: int = 1200, height: int = 900) -> None:
        """Opens a page in a window whose inside has this size."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", size)
        self._call("POST", "/url", {"url": "about:blank"})  # a changed fragment alone opens nothing
        self._call("POST", "/url", {"url": address})
        self.wait(lambda: self.run("return document.documentElement.dataset.ready === ''"))

    def devtools(self, name: str, settings: dict[str, Any]) -> Any:
        """Calls one command of the browser's own protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": name, "params": settings})

    def run(self, script: str, *values: Any) -> Any:
        """Runs a function's body in the page and returns what it returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(values)})

    def click(self, selector: str) -> None:
        """Clicks the first element that a user can see."""
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self._call("POST", f"/element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Types into an element."""
        self._call("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def choose(self, selector: str, value: str) -> None:
        """Chooses an entry of a list."""
        entry = self._find(f"{selector} option[value='{value}']")
        self._call("POST", f"/element/{entry}/click", {})

    def text(self, selector: str) -> str:
        """Returns the text of an element as the user sees it."""
        return self._call("GET", f"/element/{self._find(selector)}/text")

    def texts(self, selector: str) -> list[str]:
        """Returns the texts of all elements that fit."""
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)", selector
        )

    def messages(self) -> list[str]:
        """Returns what the browser complained about since the last call, such as a blocked file."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def wait(self, true: Callable[[], Any]) -> None:
        """Waits until ``true`` returns something true."""
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, "the page did not do it"
            time.sleep(0.02)

    def save_picture(self, path: Path, whole: bool = False) -> None:
        """Saves what the window shows, or the whole page, as a PNG file."""
        shot = self.devtools("Page.captureScreenshot", {"captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(shot["data"]))

    def _find(self, selector: str) -> str:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        return found[ELEMENT]

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._address}{self._session}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()[:500]) from error
