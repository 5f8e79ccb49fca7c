"""BUPT-Balancedface: `race_per_7000/African/m.0abc12/000_0.jpg`.

Four race folders with 7,000 person folders each, named by Freebase number (m.0abc12) or otherwise.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from deca_data.sources.folder_levels import last_person
from deca_data.sources.source import Source
from deca_data.sources.walk import peek

RACES = ("African", "Asian", "Caucasian", "Indian")
_FREEBASE = re.compile(r"[mg]\.[0-9a-z_]+")


def _guess(root: Path) -> str | None:
    """Looks for race folders, or for folders named by Freebase numbers."""
    folders = [path.rstrip("/").split("/")[-1] for path in peek(root) if path.endswith("/")]
    races = sorted({race for race in RACES if race in folders or race.lower() in folders})
    numbered = [folder for folder in folders if _FREEBASE.fullmatch(folder)]
    if len(races) >= 2 or (races and numbered):
        return f"folders {', '.join(races)}"
    return f"person folders like {min(numbered)}" if numbered else None


def _columns(path: str) -> dict[str, Any]:
    """The identity is race/person, because two races may hold the same folder name."""
    folders = path.split("/")[:-1]
    race = next((place for place, name in enumerate(folders) if name.capitalize() in RACES), None)
    if race is None:
        numbered = [name for name in folders if _FREEBASE.fullmatch(name)]
        return {"identity": numbered[0] if numbered else last_person(folders)}
    person = folders[race + 1 : race + 2]
    return {"identity": f"{folders[race].capitalize()}/{person[0]}" if person else None}


BUPT = Source(
    "bupt",
    "race_per_7000/{African,Asian,Caucasian,Indian}/m.0abc12/*.jpg; other person names are accepted",
    _guess,
    lambda root: _columns,
)
