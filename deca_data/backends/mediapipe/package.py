"""MediaPipe's package, without running its ``__init__`` until something in there is asked for.

That ``__init__`` imports all that MediaPipe has: drawing with matplotlib, audio (which runs a compiler to
find a library), demos. It takes most of a second, ten times what the graphs need.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import Any


def package_folder() -> Path:
    """Where MediaPipe is installed.

    Raises:
        ModuleNotFoundError: it is not.
    """
    return Path(_found()[1]).parent


def prepare() -> None:
    """Puts the package in place, so that its inner modules can be imported by their own names.

    `mediapipe.solutions` and the like still work: the ``__init__`` then runs.

    Raises:
        ModuleNotFoundError: MediaPipe is not installed.
    """
    if "mediapipe" in sys.modules:
        return
    spec, _, loader = _found()
    package = module_from_spec(spec)

    def run_init(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module 'mediapipe' has no attribute {name!r}")
        del package.__dict__["__getattr__"]
        loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = run_init
    sys.modules["mediapipe"] = package


def _found() -> tuple[ModuleSpec, str, Loader]:
    """The package as Python finds it: the whole, the path of its ``__init__``, and what would run that."""
    spec = find_spec("mediapipe")
    if spec is None or spec.origin is None or spec.loader is None:
        raise ModuleNotFoundError("No module named 'mediapipe'", name="mediapipe")
    return spec, spec.origin, spec.loader
