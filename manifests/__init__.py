"""The contract between `deca-data` and `deca`: rows, their columns, and the files that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def read(path: Any) -> pd.DataFrame:
    """Reads a manifest as a pandas frame with one typed column per schema column.

    Args:
        path: a manifest written by `deca-data build-manifest`.

    Raises:
        manifests.errors.UsageError: the file is missing or is not a manifest.
    """
    from manifests.reading import open_manifest

    return open_manifest(path, check_roots=False).to_pandas()
