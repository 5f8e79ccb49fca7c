"""The same photo more than once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipelines.curate.decisions import Decisions

STAGE = "duplicates"


def drop_exact(decisions: Decisions, better: np.ndarray) -> None:
    """Keeps one copy of photos whose files have the same bytes.

    Of copies under one identity the best is kept (``better``; of equal ones the first). Copies under
    different identities are all dropped, because one name must be wrong and the bytes do not show which. For
    that check, copies that were dropped before count too.

    Args:
        decisions: changed in place; needs the columns content_hash and person.
        better: (N,) float, higher is kept.
    """
    hashes, persons = decisions.frame["content_hash"], decisions.frame["person"].to_numpy()
    rows = np.flatnonzero(hashes.notna().to_numpy())
    ranks = np.where(decisions.ok, better, -np.inf)[rows]
    groups = pd.factorize(hashes.iloc[rows])[0]
    copies: Any = pd.DataFrame({"row": rows, "group": groups, "rank": ranks, "person": persons[rows]})
    copies = copies[copies.duplicated("group", keep=False)]
    copies = copies.sort_values(["group", "rank", "row"], ascending=[True, False, True])
    by_group = copies.groupby("group")
    rows, best = copies["row"].to_numpy(), by_group["row"].transform("first").to_numpy()
    mixed = by_group["person"].transform("nunique").to_numpy() > 1
    worse = rows != best
    decisions.duplicate_of[rows[worse]] = best[worse]
    decisions.drop(rows[worse & ~mixed], STAGE, "exact duplicate")
    decisions.drop(rows[mixed], STAGE, "exact duplicate under another identity")
