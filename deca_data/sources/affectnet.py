"""AffectNet: photos and csv files, or, as it is given out now, `images/` and `annotations/*.npy`."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from deca_data.sources.affectnet_tables import is_table, parsed, photo_key, read_label_files, read_table
from deca_data.sources.source import Columns, Source
from deca_data.sources.walk import files_inside, peek
from manifests.errors import UsageError

IMAGES, ANNOTATIONS = "images", "annotations"
_UNLISTED = ("",) * 7
_TABLES = ("*.csv", "*/*.csv", "*/*/*.csv")
_LABEL_FILE = re.compile(rf"(?:.*/)?{ANNOTATIONS}/[^/]+_(?:exp|val|aro|lnd)\.npy")


def _guess(root: Path) -> str | None:
    """Looks for a csv file with AffectNet's columns, or for its `.npy` files beside a folder of images."""
    for path in files_inside(root, *_TABLES):
        if _seems_table(path):
            return f"annotations in {path.relative_to(root)}"
    for path in filter(_LABEL_FILE.fullmatch, peek(root, depth=4)):
        folder = path.rpartition("/")[0]
        if (root / folder).with_name(IMAGES).is_dir():
            return f"annotations in {folder}/*.npy"
    return None


def _seems_table(path: Path) -> bool:
    try:
        return is_table(path)
    except UsageError:  # it cannot be read, and may belong to anything
        return False


def _columns(root: Path) -> Columns:
    """Valence, arousal and one of eleven expressions of each photo that has annotations."""
    table: dict[str, tuple[str, ...]] = {}
    for path in files_inside(root, *_TABLES):
        if is_table(path):
            table.update(read_table(path))
    inside = os.path.realpath(root)

    @lru_cache
    def real_folder(relative: str) -> str:
        return os.path.realpath(os.path.join(inside, relative.lstrip("/")))

    def columns(path: str) -> dict[str, Any]:
        listed = table.get(photo_key(path)) or table.get(photo_key(path.rpartition("/")[2]))
        if listed is not None:
            return parsed(listed)
        folder, _, file = path.rpartition("/")
        above, _, last = folder.rpartition("/")
        if last == IMAGES:
            beside = real_folder(f"{above}/{ANNOTATIONS}")
            stem = os.path.splitext(file)[0]
            return {"given_box": None, **read_label_files(beside, stem, inside)}
        return parsed(_UNLISTED)

    return columns


AFFECTNET = Source(
    "affectnet",
    "Manually_Annotated/Manually_Annotated_Images/12/ab34.jpg; training.csv, validation.csv; "
    "or images/0.jpg; annotations/0_exp.npy, 0_val.npy, 0_aro.npy; or anger/0.jpg; labels.csv (pth, label)",
    _guess,
    _columns,
    annotated=True,
)
