"""Whether Triton's kernels can run here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from functools import cache
from pathlib import Path


@cache
def triton_works() -> bool:
    """Whether Triton is installed with what it needs: a C compiler, Python's headers, a folder for its cache.

    torch brings Triton on Linux. Triton keeps compiled kernels in ``~/.triton``, or where TRITON_HOME or
    TRITON_CACHE_DIR say, and does not work without. Where this is false, the tensor code is used.
    """
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    # Triton looks there too, also on Debian, whose own scheme is another one.
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
    headers = Path(sysconfig.get_paths(scheme=scheme)["include"])
    found = importlib.util.find_spec("triton") is not None
    return found and bool(compiler) and (headers / "Python.h").is_file() and _can_write(_cache())


def _cache() -> Path:
    home = Path(os.environ.get("TRITON_HOME") or os.path.expanduser("~"))
    return Path(os.environ.get("TRITON_CACHE_DIR") or home / ".triton" / "cache").absolute()


def _can_write(folder: Path) -> bool:
    """Whether the folder can be written to, or made."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK)
