"""Rows are written and read without pandas."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

import pyarrow as pa


def keep_pandas_out() -> None:
    """Has pyarrow convert Python values in this process without importing pandas.

    At its first conversion pyarrow imports pandas where that is installed, to know its types when it sees
    them; that takes four tenths of a second, and rows hold none of them. From then on pyarrow does not know
    `pandas.NA` and the like in this process, so this is for processes that work with rows alone.
    """
    if "pandas" in sys.modules:
        return
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([None])  # an import that fails is not tried again
    finally:
        sys.meta_path.remove(hidden)


class _Hidden(MetaPathFinder):
    """Lets nobody find pandas."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None
