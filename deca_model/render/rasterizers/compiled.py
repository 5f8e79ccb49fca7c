"""Compiling a loop with numba, and keeping what was compiled where Python keeps its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path


def compiled(function: Callable[..., None], signature: str) -> Callable[..., None]:
    """Compiles a loop for one signature; numba is imported only here.

    The machine code is kept in ``__pycache__`` beside the module, as Python keeps its bytecode, under the
    same conditions (see ``keeps``); it saves 2 s a process. A changed source file or another processor makes
    it anew.
    """
    import numba

    return numba.njit(signature, nogil=True, error_model="numpy", cache=keeps(function))(function)


def keeps(function: Callable[..., object]) -> bool:
    """Whether machine code of a function may be kept: where Python may write its bytecode.

    Else numba would fall back to a folder in the user's home, which nobody asked it to write to. Who sets
    NUMBA_CACHE_DIR has asked.
    """
    if os.environ.get("NUMBA_CACHE_DIR"):
        return True
    folder = Path(function.__code__.co_filename).parent
    cache = folder / "__pycache__"
    return not sys.dont_write_bytecode and os.access(cache if cache.is_dir() else folder, os.W_OK)
