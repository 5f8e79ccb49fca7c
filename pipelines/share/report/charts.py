"""The bins of the page's charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from manifests.schema import Bound, Column

BINS = 40
LOGARITHMIC = frozenset({"sharpness"})
"""Scores that spread over several powers of ten."""

PEOPLE = (0, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500)
"""Photos per person: each bin reaches from one of these numbers to just below the next."""

_TAIL = 0.01
"""Share of the values at either end that a histogram counts in its end bins."""

_MARGIN = 0.08
_LEAST = {"0-1": 0.0, "px": 0.0}


class Scale(NamedTuple):
    """Bins of one width from ``low`` to ``high``; on a logarithmic scale both are powers of ten."""

    low: float
    high: float
    bins: int
    log: bool = False

    def cells(self, values: np.ndarray) -> np.ndarray:
        """Returns (N,) the bin of each value; -1 for NaN; values beyond the ends are in the end bins."""
        absent = np.isnan(values)
        placed = np.where(absent, self.low, values)
        if self.log:
            placed = np.log10(np.maximum(placed, 10.0**self.low))
        cells = np.floor((placed - self.low) / (self.high - self.low) * self.bins + 1e-9)
        return np.where(absent, -1, np.clip(cells, 0, self.bins - 1)).astype(np.int64)


POSE = {"yaw": Scale(-90, 90, 36), "pitch": Scale(-60, 60, 24)}
"""The pose map's bins, 5 degrees each."""


def choose_scale(column: Column, values: np.ndarray, bounds: Sequence[Bound]) -> Scale | None:
    """Chooses bins for a score from some of its values; None if there is no value.

    The ends are round numbers; only the outermost values, and no bound, lie beyond them.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    if column.name == "faces":
        high = min(12, int(values.max())) + 0.5
        return Scale(-0.5, high, int(high + 0.5))
    if column.unit == "-1..1":
        return Scale(-1, 1, BINS)
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL])
    margin = _MARGIN * (high - low)  # so that a bound is not at the edge
    low = min([low, *(max(bound.value - margin, _LEAST.get(column.unit, -np.inf)) for bound in bounds)])
    high = max([high, *(bound.value + margin for bound in bounds)])
    if column.name in LOGARITHMIC:
        low, high = np.log10(max(low, 1.0)), np.log10(max(high, 10.0))
    width = _round_width((high - low) / BINS) if high > low else 0.01
    first, last = np.floor(low / width), np.ceil(high / width)
    last = max(last, first + 1)
    low, high = (round(float(place * width), 9) for place in (first, last))
    return Scale(low, high, int(last - first), column.name in LOGARITHMIC)


def people_bins(photos: Sequence[int]) -> list[int]:
    """Counts the persons per bin of ``PEOPLE``."""
    cells = np.searchsorted(PEOPLE, np.asarray(photos, dtype=np.int64), side="right") - 1
    return np.bincount(cells, minlength=len(PEOPLE)).tolist()


def _round_width(width: float) -> float:
    """Rounds up to 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(width))
    return float(next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= width * (1 - 1e-9)))
