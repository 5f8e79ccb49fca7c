"""VGGFace2: `train/n004332/0317_01.jpg`; face boxes in `bb_landmark/loose_bb_*.csv` are optional.

The root is the dataset's own folder, one of its splits (`train`, `test`), or a folder that holds them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import ArrowException, csv

from deca_data.sources.folder_levels import last_person
from deca_data.sources.source import Columns, Source
from deca_data.sources.walk import files_inside, peek
from manifests.errors import UsageError

_IDENTITY = re.compile(r"n\d{6}")


def _guess(root: Path) -> str | None:
    """Looks for folders named like n004332."""
    for path in peek(root):
        *folders, file = path.split("/")
        if not file and _IDENTITY.fullmatch(folders[-1]):
            where = "/".join(folders[:-1])
            return f"identity folders like {folders[-1]}" + (f" in {where}/" if where else "")
    return None


def _columns(root: Path) -> Columns:
    """The identity is the n-number in the path, else the last folder that is no split or the like.

    The boxes of all `loose_bb_*.csv` files take 40 bytes of memory per photo.
    """
    files = sorted(files_inside(root, "loose_bb_*.csv", "*/loose_bb_*.csv"))
    tables = [(np.empty(0, "S1"), np.empty((0, 4), np.int32)), *map(_read_boxes, files)]
    names, boxes = (np.concatenate(parts) for parts in zip(*tables, strict=True))
    order = np.argsort(names, kind="stable")
    names, boxes = names[order], boxes[order]

    def columns(path: str) -> dict[str, Any]:
        *folders, file = path.split("/")
        numbered = [part for part in folders if _IDENTITY.fullmatch(part)]
        identity = numbered[-1] if numbered else last_person(folders)
        name = np.bytes_(f"{identity}/{file.rsplit('.', 1)[0]}".encode())
        at = int(np.searchsorted(names, name))
        if at == len(names) or names[at] != name:
            return {"identity": identity, "given_box": None}
        x, y, width, height = (float(value) for value in boxes[at])
        return {"identity": identity, "given_box": [x, y, x + width, y + height]}

    return columns


def _read_boxes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        table = csv.read_csv(path, csv.ReadOptions(use_threads=False))
        names = np.asarray(table["NAME_ID"].to_numpy(), dtype=np.bytes_)
        boxes = np.stack([table[column].to_numpy() for column in "XYWH"], axis=1).astype(np.int32)
    except (OSError, ArrowException, KeyError, ValueError) as error:
        raise UsageError(
            f"{path} is not a box file of VGGFace2 (columns NAME_ID, X, Y, W, H expected): {error}; "
            "fix the file or move it away."
        ) from error
    return names, boxes


VGGFACE2 = Source(
    "vggface2",
    "{train,test}/n004332/0317_01.jpg; boxes from bb_landmark/loose_bb_{train,test}.csv (optional)",
    _guess,
    _columns,
)
