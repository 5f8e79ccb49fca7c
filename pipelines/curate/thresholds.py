"""Bounds on single scores."""

from __future__ import annotations

import numpy as np

from pipelines.curate.decisions import Decisions
from pipelines.curate.recipe import RULES, SHIFT_BACK, Recipe


def apply_thresholds(decisions: Decisions, recipe: Recipe) -> None:
    """Drops rows whose score lies outside a bound of the recipe; a row without the score is kept.

    A row that breaks several bounds gets the reason of the first, in the order of `recipe.RULES`.
    """
    for rule in RULES:
        bound = getattr(recipe, rule.setting)
        if bound is None or rule.column not in decisions.frame:
            continue
        values = _column(decisions, rule.column)
        out = values < bound if rule.low else values > bound
        if rule.column == "landmark_shift_error" and recipe.shift_both_ways:
            out &= ~(_column(decisions, SHIFT_BACK) <= bound)  # a null spares nobody
        side = "below" if rule.low else "above"
        decisions.drop(out, rule.stage, f"{rule.column} {side} {bound:g}")
    if recipe.max_abs_yaw is not None and "yaw" in decisions.frame:
        yaw = _column(decisions, "yaw")
        decisions.drop(np.abs(yaw) > recipe.max_abs_yaw, "quality", f"|yaw| above {recipe.max_abs_yaw:g}")


def _column(decisions: Decisions, name: str) -> np.ndarray:
    """(N,) float32, NaN for null."""
    return decisions.frame[name].to_numpy(dtype=np.float32, na_value=np.nan)
