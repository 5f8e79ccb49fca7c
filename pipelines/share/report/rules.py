"""The recipe's bounds as the page applies them, to count what another bound would change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipelines.curate.recipe import RULES, SHIFT_BACK, Recipe, load_recipe, recipe_names

IDENTITY = (
    ("identity_outliers", "identity_score", False),
    ("identity_outliers_turned", "identity_score", True),
    ("identity_margin", "identity_margin", False),
    ("identity_margin_turned", "identity_margin", True),
)
"""Setting, column, and whether the bound is for turned heads."""


def page_rules(recipe: Mapping[str, Any], columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the bounds on ``columns`` in the order in which a build applies them.

    Each is a dict: `setting`, `column`, `side` (below, above, or beyond for either side of 0), `value` (None
    if off), `turned` (whether it holds for turned heads; None for all), `spared` (a column and the same bound
    that spares a row). ``recipe`` comes from a file: what is no number is taken as off.
    """
    ordered: list[tuple[str, str, str, bool | None]] = [
        *((rule.setting, rule.column, rule.side, None) for rule in RULES),
        ("max_abs_yaw", "yaw", "beyond", None),
        *((setting, column, "below", turned) for setting, column, turned in IDENTITY),
    ]
    both = recipe.get("shift_both_ways") is True and SHIFT_BACK in columns
    return [
        {
            **{"setting": setting, "column": column, "side": side, "turned": turned},
            "value": _number(recipe.get(setting)),
            "meaning": Recipe.model_fields[setting].description or "",
            "spared": SHIFT_BACK if both and setting == "max_landmark_shift_error" else None,
        }
        for setting, column, side, turned in ordered
        if column in columns
    ]


def turned_head(recipe: Mapping[str, Any]) -> float:
    """Returns the yaw, degrees, beyond which the bounds for turned heads hold."""
    given = _number(recipe.get("turned_head"))
    return Recipe.model_fields["turned_head"].default if given is None else given


def call_of(recipe: Mapping[str, Any]) -> str:
    """Returns the options of `build-manifest` that give this recipe."""
    name = recipe.get("name")
    if not isinstance(name, str) or not name:
        return ""
    if name not in recipe_names():
        return f"--recipe {name}.yaml"
    own = load_recipe(name).model_dump()
    changed = {key: value for key, value in recipe.items() if key in own and own[key] != value}
    return " ".join(
        [f"--recipe {name}", *(f"--set {key}={json.dumps(value)}" for key, value in changed.items())]
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
