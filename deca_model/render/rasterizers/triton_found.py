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
    """Whether Triton is installed with what it needs to start a kernel: a C compiler, and Python's headers.

    torch brings Triton on Linux. Where this is false, the tensor code is used.
    """
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    # Triton looks there too, also on Debian, whose own scheme is another one.
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
    headers = Path(sysconfig.get_paths(scheme=scheme)["include"])
    found = importlib.util.find_spec("triton") is not None
    return found and bool(compiler) and (headers / "Python.h").is_file()
