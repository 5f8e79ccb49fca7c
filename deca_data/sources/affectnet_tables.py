"""AffectNet's annotations: csv files of several shapes, or one `.npy` file per photo and label."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np

from deca_data.sources.source import OUT_OF_RANGE
from deca_data.sources.table_files import NotATable, read_lines
from deca_data.sources.walk import IMAGE_ENDINGS
from manifests.errors import UsageError

NAMES = (
    *("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height"),
    *("expression", "valence", "arousal"),
)
"""The columns that are read."""

OFFICIAL = (*NAMES[:5], "facial_landmarks", *NAMES[5:])
"""The columns of AffectNet's csv files in their order: that of a file without a header."""

SHORT = (NAMES[0], *NAMES[5:])
"""The same without faces, which are then found by detection."""

ABSENT = -2.0
"""AffectNet's valence and arousal of photos that could not be rated."""

_PATH, _WANTED = NAMES[0].lower(), [name.lower() for name in NAMES]

EXPRESSIONS = (
    *("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt"),
    *("none", "uncertain", "no-face"),
)
"""AffectNet's classes by number."""

OTHER_NAMES = {"pth": _PATH, "label": "expression"}
"""Columns of the csv file that goes with a reduced AffectNet of folders by class."""

PLAIN_PATH = "path"
"""What the path's column is called in tables of people's own, beside the three labels."""

LABELS = ("expression", "valence", "arousal")
LARGEST = 4096
"""Bytes of a `.npy` file with one label; NumPy's own take 132 to 200."""


def is_table(path: Path) -> bool:
    """Whether the csv file has AffectNet's columns, named or not.

    Raises:
        UsageError: it cannot be opened or read.
    """
    try:
        first = next(read_lines(path, _fit), [])
    except NotATable:
        return False
    return _is_line(first) or _PATH in _named(first)


def read_table(path: Path) -> dict[str, tuple[str, ...]]:
    """By `photo_key`: the cells of the columns `NAMES` after the first, empty for a column that is not there.

    Raises:
        UsageError: a column of the official files is missing.
    """
    found: dict[str, tuple[str, ...]] = {}
    places: list[int | None] = []
    for cells in read_lines(path, _fit):
        if not places:
            places = _places(path, cells)
            if not _is_line(cells):
                continue
        last = max(place for place in places if place is not None)
        if len(cells) > last:
            name, *values = ("" if place is None else cells[place] for place in places)
            found[photo_key(name)] = tuple(values)
    return found


def _places(path: Path, first: list[str]) -> list[int | None]:
    """Where the columns `NAMES` stand in a line, by the file's first line."""
    order = _order(first)
    if order is not None:
        shift = len(first) - len(order)  # 1 where the line begins with its number
        return [order.index(name) + shift if name in order else None for name in NAMES]
    head = _named(first)
    missing = [name for name in NAMES if name.lower() not in head]
    if missing and set(missing) != set(NAMES) - set(SHORT) and "pth" not in [cell.lower() for cell in first]:
        raise UsageError(
            f"{path} lacks the columns {', '.join(sorted(missing))}; fix the file or move it away."
        )
    return [head.index(name) if name in head else None for name in _WANTED]


def _named(first: list[str]) -> list[str]:
    """The names of a header, in lower case, each as in the official files."""
    head = [cell.lower() for cell in first]
    if PLAIN_PATH in head and set(LABELS) <= set(head):
        return [_PATH if name == PLAIN_PATH else name for name in head]
    return [OTHER_NAMES.get(name, name) for name in head] if set(OTHER_NAMES) <= set(head) else head


def photo_key(path: str) -> str:
    """Folder and name of a photo without its ending, which differs between csv files and disks."""
    folder_and_file = "/".join(path.replace("\\", "/").split("/")[-2:])
    stem, ending = os.path.splitext(folder_and_file)
    return stem if ending.lower() in IMAGE_ENDINGS else folder_and_file


def parsed(values: tuple[str, ...]) -> dict[str, Any]:
    """The columns of a row from a line's cells; what is absent, no number or out of range is None."""
    x, y, width, height = (_number(value) for value in values[:4])
    box = None
    if x is not None and y is not None and width and height and min(width, height) > 0:
        box = [x, y, x + width, y + height]
    return {"given_box": box, **labels(*values[4:])}


def labels(expression: str, valence: str, arousal: str) -> dict[str, Any]:
    """Expression, 0 to 10 (or its name), and valence and arousal, -1 to 1; None for anything else.

    `OUT_OF_RANGE` is the number of labels that are numbers, but none of these.
    """
    name = expression.lower()
    known = str(EXPRESSIONS.index(name)) if name in EXPRESSIONS else expression
    numbers = [_number(text) for text in (known, valence, arousal)]
    right = [
        numbers[0] in range(len(EXPRESSIONS)),
        *(each is not None and -1 <= each <= 1 for each in numbers[1:]),
    ]
    found = [number if fits else None for number, fits in zip(numbers, right, strict=True)]
    absent = [number is None or (number == ABSENT and place > 0) for place, number in enumerate(numbers)]
    wrong = sum(not (fits or gone) for fits, gone in zip(right, absent, strict=True))
    return {
        "expression": None if found[0] is None else int(found[0]),
        "valence": found[1],
        "arousal": found[2],
        OUT_OF_RANGE: wrong,
    }


def read_label_files(folder: str, stem: str, inside: str) -> dict[str, Any]:
    """The labels of the photo ``stem`` from the files `<stem>_exp.npy`, `_val.npy` and `_aro.npy`.

    A file counts if it is a regular file below the real folder ``inside`` and holds one number, or the text
    of one; no pickle is loaded. ``folder`` lies inside.
    """
    return labels(*(_text(f"{folder}/{stem}_{kind}.npy", inside) for kind in ("exp", "val", "aro")))


def _text(path: str, inside: str) -> str:
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            path = os.path.realpath(path)
            status = os.lstat(path)
        real = path if path.startswith(f"{inside}/") else ""
        if not (real and stat.S_ISREG(status.st_mode) and status.st_size <= LARGEST):
            return ""
        array = np.load(real, allow_pickle=False)
    except Exception:  # NumPy raises what its parsers do on a damaged header, tokenize.TokenError among them
        return ""
    if not isinstance(array, np.ndarray) or array.size != 1 or array.dtype.kind not in "iufUS":
        return ""
    value = array.reshape(-1)[0].item()
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _fit(cells: list[str]) -> int:
    """How many of the columns the cells name; 1 for a line without a header."""
    named = len(set(_WANTED) & set(_named(cells)))
    return 2 * named or int(_is_line(cells))


def _is_line(cells: list[str]) -> bool:
    return _order(cells) is not None


def _order(cells: list[str]) -> tuple[str, ...] | None:
    """The columns of a file without a header by its first line, with or without a number before it."""
    for order in (OFFICIAL, SHORT):
        shift = len(cells) - len(order)
        if shift not in (0, 1) or os.path.splitext(cells[shift])[1].lower() not in IMAGE_ENDINGS:
            continue
        if all(_number(cells[shift + order.index(name)]) is not None for name in LABELS):
            return order
    return None


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
