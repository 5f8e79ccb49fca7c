"""Bounds on single scores."""

from __future__ import annotations

import numpy as np

from manifests.schema import Bound
from pipelines.curate.decisions import Decisions
from pipelines.curate.recipe import RULES, SHIFT_BACK, Recipe


def apply_thresholds(decisions: Decisions, recipe: Recipe) -> None:
    """Drops rows whose score lies outside a bound of the recipe; a row without the score is kept.

    A row that breaks several bounds gets the reason of the first, in the order of `recipe.RULES`.
    """
    for rule in RULES:
        limit = getattr(recipe, rule.setting)
        if limit is None or rule.column not in decisions.frame:
            continue
        values = _column(decisions, rule.column)
        out = values < limit if rule.side == "below" else values > limit
        if rule.column == "landmark_shift_error" and recipe.shift_both_ways:
            out &= ~(_column(decisions, SHIFT_BACK) <= limit)  # a null spares nobody
        bound = Bound(rule.column, float(limit), rule.side)
        decisions.drop(out, rule.stage, f"{rule.column} {rule.side} {limit:g}", bound)
    if recipe.max_abs_yaw is not None and "yaw" in decisions.frame:
        yaw, limit = _column(decisions, "yaw"), recipe.max_abs_yaw
        for out, bound in (
            (yaw < -limit, Bound("yaw", -limit, "below")),
            (yaw > limit, Bound("yaw", limit, "above")),
        ):
            decisions.drop(out, "quality", f"|yaw| above {limit:g}", bound)


def _column(decisions: Decisions, name: str) -> np.ndarray:
    """(N,) float32, NaN for null."""
    return decisions.frame[name].to_numpy(dtype=np.float32, na_value=np.nan)
