"""BUPT-Balancedface: `race_per_7000/African/m.0abc12/000_0.jpg`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deca_data.sources.walk import IMAGE_ENDINGS, OnSkip, as_row, peek, walk

RACES = ("African", "Asian", "Caucasian", "Indian")
_FREEBASE = re.compile(r"[mg]\.[0-9a-z_]+")


class Bupt:
    """Four race folders with 7,000 person folders each, named by Freebase number (m.0abc12) or otherwise."""

    name = "bupt"
    layout = "race_per_7000/{African,Asian,Caucasian,Indian}/m.0abc12/*.jpg; other person names are accepted"
    video = False

    def guess(self, root: Path) -> str | None:
        """Looks for race folders, or for folders named by Freebase numbers."""
        folders = [path.rstrip("/").split("/")[-1] for path in peek(root) if path.endswith("/")]
        races = sorted({race for race in RACES if race in folders or race.lower() in folders})
        if len(races) >= 2 or (races and any(_FREEBASE.fullmatch(folder) for folder in folders)):
            return f"folders {', '.join(races)}"
        numbered = [folder for folder in folders if _FREEBASE.fullmatch(folder)]
        return f"person folders like {min(numbered)}" if numbered else None

    def scan(self, root: Path, on_skip: OnSkip | None = None) -> Iterator[dict[str, Any]]:
        """One row per photo; the identity is race/person, because two races may hold the same folder name."""
        for found in walk(root, IMAGE_ENDINGS, on_skip):
            folders = found.path.split("/")[:-1]
            race = next((place for place, name in enumerate(folders) if name.capitalize() in RACES), None)
            if race is not None:
                person = "/".join([folders[race].capitalize(), *folders[race + 1 : race + 2]])
                person = person if len(folders) > race + 1 else None
            else:
                person = next(
                    (name for name in folders if _FREEBASE.fullmatch(name)), (folders or [None])[-1]
                )
            yield as_row(found, identity=person)
