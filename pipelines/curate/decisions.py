"""The table of decisions: one entry per row of the manifest, changed by one step after the other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from manifests.schema import Bound

OK, DROPPED, FAILED = "ok", "dropped", "failed"


@dataclass
class Decisions:
    """What is decided about each row.

    Attributes:
        frame: the rows' scores and names, in the manifest's order, one row each; never changed.
        status: (N,) object, ok, dropped or failed.
        stage: (N,) object, who ended the row.
        reason: (N,) object, why.
        bound: (N,) int16, number in ``bounds`` of the bound that dropped the row, -1 where none did.
        bounds: the bounds that were applied, also those that dropped no row.
        duplicate_of: (N,) int64, number of the better copy, -1 where there is none.
        split: (N,) object, train or val.
    """

    frame: pd.DataFrame
    status: np.ndarray
    stage: np.ndarray
    reason: np.ndarray
    duplicate_of: np.ndarray
    split: np.ndarray
    bound: np.ndarray
    bounds: list[Bound] = field(default_factory=list)

    @classmethod
    def begin(cls, frame: pd.DataFrame) -> Decisions:
        """Starts from what the stages found."""
        size = len(frame)

        def taken(name: str) -> np.ndarray:
            return frame[name].to_numpy(dtype=object, copy=True)

        copies, split = np.full(size, -1), np.full(size, "train", dtype=object)
        bound = np.full(size, -1, dtype=np.int16)
        return cls(frame, taken("status"), taken("stage"), taken("reason"), copies, split, bound)

    @property
    def ok(self) -> np.ndarray:
        """(N,) bool, rows that are still kept."""
        return self.status == OK

    def drop(self, rows: np.ndarray, stage: str, reason: str, bound: Bound | None = None) -> None:
        """Drops those of ``rows`` (a mask or numbers) that are still kept; ``bound`` is what they broke."""
        mask = np.zeros(len(self.status), dtype=bool)
        mask[rows] = True
        mask &= self.ok
        self.status[mask], self.stage[mask], self.reason[mask] = DROPPED, stage, reason
        if bound is not None:
            self.bound[mask] = len(self.bounds)
            self.bounds.append(bound)
