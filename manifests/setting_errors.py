"""What to say of a setting that is unknown or has a wrong value: the setting, and names like it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

FEW = 3
"""Up to this number of names, all are listed where none is similar."""


def similar(name: str, known: Iterable[str]) -> str:
    """Returns "; similar: a, b" with up to three of the ``known`` names, or nothing."""
    known = list(known)
    inside = [each for each in known if name and (name in each or each in name)]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    found = list(dict.fromkeys([*near, *inside]))[:3]
    return f"; similar: {', '.join(found)}" if found else ""


def explain(error: ValidationError, prefix: str, known: Iterable[str]) -> str:
    """Returns one sentence about the first wrong setting.

    Args:
        error: what the settings' model raised.
        prefix: put before names of settings, such as `masks.`.
        known: the names that there are.
    """
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = list(known)
        near = similar(name, known).replace("similar: ", f"similar: {prefix}").replace(", ", f", {prefix}")
        if not near and len(known) <= FEW:
            near = f"; its settings are {', '.join(known) or 'none'}"
        return f"there is no setting {prefix}{name}{near}."
    return f"{prefix}{name} = {first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}."
