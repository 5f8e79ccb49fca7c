"""AffectNet: photos below `Manually_Annotated_Images/`, annotations in csv files."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deca_data.sources.walk import IMAGE_ENDINGS, OnSkip, as_row, walk
from manifests.errors import UsageError

_COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "expression",
    "valence",
    "arousal",
)
_ABSENT = -2.0  # AffectNet writes -2 for the valence and arousal of photos that could not be rated
_FOLDERS = ("", "*/", "*/*/")


class AffectNet:
    """Photos of unknown persons with valence, arousal and one of eleven expressions."""

    name = "affectnet"
    layout = "Manually_Annotated/Manually_Annotated_Images/12/ab34.jpg; training.csv, validation.csv"
    video = False

    def guess(self, root: Path) -> str | None:
        """Looks for a csv file with AffectNet's columns."""
        for path in _tables(root):
            with open(path, encoding="utf-8", errors="replace") as file:
                if file.readline().startswith(_COLUMNS[0]):
                    return f"annotations in {path.relative_to(root)}"
        return None

    def scan(self, root: Path, on_skip: OnSkip | None = None) -> Iterator[dict[str, Any]]:
        """One row per photo; a photo that no csv file lists has no annotation."""
        table = _annotations(root)
        for found in walk(root, IMAGE_ENDINGS, on_skip):
            yield as_row(found, **_columns(table.get(_key(found.path))))


def _tables(root: Path) -> list[Path]:
    inside = root.resolve()
    found = [path for folder in _FOLDERS for path in sorted(root.glob(f"{folder}*.csv"))]
    return [path for path in found if path.resolve().is_relative_to(inside)]


def _annotations(root: Path) -> dict[str, tuple[str, ...]]:
    """By folder/file of the photo: the columns of `_COLUMNS` after the first, as text."""
    found: dict[str, tuple[str, ...]] = {}
    for path in _tables(root):
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


def _columns(values: tuple[str, ...] | None) -> dict[str, Any]:
    if values is None:
        return {"given_box": None, "expression": None, "valence": None, "arousal": None}
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
