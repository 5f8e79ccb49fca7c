"""The same photo more than once."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pipelines.curate.decisions import Decisions

STAGE = "duplicates"


def drop_exact(decisions: Decisions, better: np.ndarray) -> None:
    """Keeps one copy of photos whose files have the same bytes.

    Of copies under one identity the best is kept (``better``; equal ones: the first). Copies under
    different identities are all dropped: one name must be wrong, and the bytes do not tell which. For that,
    copies that are dropped already count too.

    Args:
        decisions: changed in place; needs the columns content_hash and person.
        better: (N,) float, higher is kept.
    """
    rows = np.flatnonzero(decisions.frame["content_hash"].notna().to_numpy())
    codes, _ = pd.factorize(decisions.frame["content_hash"].iloc[rows])
    drop_groups(decisions, rows, codes, np.where(decisions.ok, better, -np.inf), "exact duplicate")


def drop_groups(
    decisions: Decisions, rows: np.ndarray, groups: np.ndarray, better: np.ndarray, kind: str
) -> None:
    """Keeps the best row of each group of copies, or none where a group has several persons.

    Args:
        decisions: changed in place.
        rows: (M,) numbers of the rows.
        groups: (M,) group of each.
        better: (N,) float, higher is kept.
        kind: "exact duplicate" or "near duplicate", for the reason.
    """
    counts = np.bincount(groups) if len(groups) else np.zeros(0, dtype=int)
    several = counts[groups] > 1
    rows, groups = rows[several], groups[several]
    if not len(rows):
        return
    order = np.lexsort((rows, -better[rows], groups))
    rows, groups = rows[order], groups[order]
    first = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    best = np.repeat(rows[first], np.diff(np.r_[first, len(rows)]))
    persons = decisions.frame["person"].to_numpy()[rows]
    mixed_groups = np.unique(groups[persons != decisions.frame["person"].to_numpy()[best]])
    mixed = np.isin(groups, mixed_groups)
    copies = ~mixed & (rows != best)
    decisions.duplicate_of[rows[rows != best]] = best[rows != best]
    decisions.drop(rows[copies], STAGE, kind)
    decisions.drop(rows[mixed], STAGE, f"{kind} under another identity")
