"""Bounds on single scores."""

from __future__ import annotations

import numpy as np

from manifests.schema import Bound
from pipelines.curate.decisions import Decisions
from pipelines.curate.recipe import RULES, SHIFT_BACK, Recipe


def apply_thresholds(decisions: Decisions, recipe: Recipe) -> None:
    """Drops rows whose score lies outside a bound of the recipe; a row without the score is kept.

    The first broken bound, in the order of `recipe.RULES`, gives the reason.
    """
    for rule in RULES:
        limit = getattr(recipe, rule.setting)
        if limit is None or rule.column not in decisions.frame:
            continue
        values = _column(decisions, rule.column)
        out = values < limit if rule.side == "below" else values > limit
        if rule.column == "landmark_shift_error" and recipe.shift_both_ways:
            out &= ~(_column(decisions, SHIFT_BACK) <= limit)  # NaN spares no row
        bound = Bound(rule.column, float(limit), rule.side)
        decisions.drop(out, rule.stage, f"{rule.column} {rule.side} {limit:g}", bound)
    if recipe.max_abs_yaw is not None and "yaw" in decisions.frame:
        yaw, limit = _column(decisions, "yaw"), recipe.max_abs_yaw
        reason = f"|yaw| above {limit:g}"
        decisions.drop(yaw < -limit, "quality", reason, Bound("yaw", -limit, "below"))
        decisions.drop(yaw > limit, "quality", reason, Bound("yaw", limit, "above"))


def _column(decisions: Decisions, name: str) -> np.ndarray:
    """Returns a column as (N,) float32, NaN for null."""
    return decisions.frame[name].to_numpy(dtype=np.float32, na_value=np.nan)
