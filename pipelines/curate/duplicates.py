"""The same photo more than once."""

from __future__ import annotations

from typing import Any

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
    persons = decisions.frame["person"].to_numpy()[rows]
    copies: Any = pd.DataFrame({"row": rows, "group": groups, "better": better[rows], "person": persons})
    copies = copies[copies.duplicated("group", keep=False)]
    copies = copies.sort_values(["group", "better", "row"], ascending=[True, False, True])
    by_group = copies.groupby("group")
    rows, best = copies["row"].to_numpy(), by_group["row"].transform("first").to_numpy()
    mixed = by_group["person"].transform("nunique").to_numpy() > 1
    worse = rows != best
    decisions.duplicate_of[rows[worse]] = best[worse]
    decisions.drop(rows[worse & ~mixed], STAGE, kind)
    decisions.drop(rows[mixed], STAGE, f"{kind} under another identity")
