"""Compiling a loop with numba, and caching the machine code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path


def compiled(function: Callable[..., None], signature: str) -> Callable[..., None]:
    """Compile a loop for one signature; numba is imported only here.

    The machine code is cached in ``__pycache__`` beside the module if ``keeps`` allows it, which saves 2 s
    per process. If the source file or the processor changes, the loop is compiled again.
    """
    import numba

    return numba.njit(signature, nogil=True, error_model="numpy", cache=keeps(function))(function)


def keeps(function: Callable[..., object]) -> bool:
    """Whether the machine code of a function may be cached: only where Python may write its bytecode.

    Elsewhere numba would write to a folder in the user's home without being asked. A user who sets
    NUMBA_CACHE_DIR asks for a cache.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return True
    folder = Path(function.__code__.co_filename).parent
    cache = folder / "__pycache__"
    return not sys.dont_write_bytecode and os.access(cache if cache.is_dir() else folder, os.W_OK)
