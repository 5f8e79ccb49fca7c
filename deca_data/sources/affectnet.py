"""AffectNet: photos below `Manually_Annotated_Images/`, annotations in csv files."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from deca_data.sources.source import Columns, Source
from deca_data.sources.walk import files_inside
from manifests.errors import UsageError

_COLUMNS = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("expression", "valence", "arousal"),
)
_ABSENT = -2.0  # AffectNet writes -2 for the valence and arousal of photos that could not be rated
_UNLISTED = ("",) * 7
_TABLES = ("*.csv", "*/*.csv", "*/*/*.csv")


def _guess(root: Path) -> str | None:
    """Looks for a csv file with AffectNet's columns."""
    for path in files_inside(root, *_TABLES):
        with open(path, encoding="utf-8", errors="replace") as file:
            if file.readline().startswith(_COLUMNS[0]):
                return f"annotations in {path.relative_to(root)}"
    return None


def _columns(root: Path) -> Columns:
    """Valence, arousal and one of eleven expressions of each photo that a csv file lists."""
    table = _annotations(root)
    return lambda path: _parsed(table.get(_key(path), _UNLISTED))


def _annotations(root: Path) -> dict[str, tuple[str, ...]]:
    """By folder/file of the photo: the columns of `_COLUMNS` after the first, as text."""
    found: dict[str, tuple[str, ...]] = {}
    for path in files_inside(root, *_TABLES):
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            lines = csv.reader(file)
            head = next(lines, [])
            if not head or head[0] != _COLUMNS[0]:
                continue
            missing = [name for name in _COLUMNS if name not in head]
            if missing:
                raise UsageError(
                    f"{path} lacks the columns {', '.join(sorted(missing))}; fix the file or move it away."
                )
            places = [head.index(name) for name in _COLUMNS]
            for line in lines:
                if len(line) == len(head):
                    name, *values = (line[place] for place in places)
                    found[_key(name)] = tuple(values)
    return found


def _key(path: str) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-2:])


def _parsed(values: tuple[str, ...]) -> dict[str, Any]:
    x, y, width, height, expression, valence, arousal = (_number(value) for value in values)
    box = None
    if x is not None and y is not None and width and height and min(width, height) > 0:
        box = [x, y, x + width, y + height]
    return {
        "given_box": box,
        "expression": None if expression is None else int(expression),
        "valence": None if valence == _ABSENT else valence,
        "arousal": None if arousal == _ABSENT else arousal,
    }


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


AFFECTNET = Source(
    "affectnet",
    "Manually_Annotated/Manually_Annotated_Images/12/ab34.jpg; training.csv, validation.csv",
    _guess,
    _columns,
)
