"""The table of decisions: one entry per row of the manifest, changed step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from manifests.schema import Bound

OK, DROPPED, FAILED = "ok", "dropped", "failed"


@dataclass
class Decisions:
    """The decisions about each row.

    Attributes:
        frame: the rows' scores and names, in the manifest's order; never changed.
        bounds: the applied bounds, also those that dropped no row.
    """

    frame: pd.DataFrame
    status: np.ndarray  # (N,) object: ok, dropped or failed
    stage: np.ndarray  # (N,) object: the stage that ended the row
    reason: np.ndarray  # (N,) object
    duplicate_of: np.ndarray  # (N,) int64: number of the better copy, or -1
    split: np.ndarray  # (N,) object: train or val
    bound: np.ndarray  # (N,) int16: number in bounds of the bound that dropped the row, or -1
    bounds: list[Bound] = field(default_factory=list)

    @classmethod
    def begin(cls, frame: pd.DataFrame) -> Decisions:
        """Starts from the results of the stages."""
        size = len(frame)
        names = ("status", "stage", "reason")
        status, stage, reason = (frame[name].to_numpy(dtype=object, copy=True) for name in names)
        split = np.full(size, "train", dtype=object)
        return cls(frame, status, stage, reason, np.full(size, -1), split, np.full(size, -1, dtype=np.int16))

    @property
    def ok(self) -> np.ndarray:
        """(N,) bool, rows that are still kept."""
        return self.status == OK

    def drop(self, rows: np.ndarray, stage: str, reason: str, bound: Bound | None = None) -> None:
        """Drops those of ``rows`` (a mask or numbers) that are still kept, because of ``bound`` if any."""
        mask = np.zeros(len(self.status), dtype=bool)
        mask[rows] = True
        mask &= self.ok
        self.status[mask], self.stage[mask], self.reason[mask] = DROPPED, stage, reason
        if bound is not None:
            self.bound[mask] = len(self.bounds)
            self.bounds.append(bound)
