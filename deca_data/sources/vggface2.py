"""VGGFace2: `train/n004332/0317_01.jpg`; face boxes in `bb_landmark/loose_bb_*.csv` are optional."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow import ArrowException, csv

from deca_data.sources.walk import IMAGE_ENDINGS, OnSkip, as_row, peek, walk
from manifests.errors import UsageError

_IDENTITY = re.compile(r"n\d{6}")
_BOX_COLUMNS = ("X", "Y", "W", "H")


class VGGFace2:
    """The dataset's own folder, one of its splits (`train`, `test`), or a folder that holds them."""

    name = "vggface2"
    layout = "{train,test}/n004332/0317_01.jpg; boxes from bb_landmark/loose_bb_{train,test}.csv (optional)"
    video = False

    def guess(self, root: Path) -> str | None:
        """Looks for folders named like n004332."""
        for path in peek(root):
            if not path.endswith("/"):
                continue
            parts = path.rstrip("/").split("/")
            if _IDENTITY.fullmatch(parts[-1]):
                where = "/".join(parts[:-1])
                return f"identity folders like {parts[-1]}" + (f" in {where}/" if where else "")
        return None

    def scan(self, root: Path, on_skip: OnSkip | None = None) -> Iterator[dict[str, Any]]:
        """One row per photo; the identity is the n-number in its path, else the name of its folder."""
        boxes = _Boxes(root)
        for found in walk(root, IMAGE_ENDINGS, on_skip):
            folders = found.path.split("/")[:-1]
            numbered = [part for part in folders if _IDENTITY.fullmatch(part)]
            identity = (numbered or folders or [None])[-1]
            stem = found.path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
            yield as_row(found, identity=identity, given_box=boxes.get(f"{identity}/{stem}"))


class _Boxes:
    """The boxes of all `loose_bb_*.csv` files of a dataset; 40 bytes of memory per photo."""

    def __init__(self, root: Path) -> None:
        tables = [_read_boxes(path) for path in _box_files(root)]
        names = np.concatenate([table[0] for table in tables]) if tables else np.empty(0, "S1")
        boxes = np.concatenate([table[1] for table in tables]) if tables else np.empty((0, 4), np.int32)
        order = np.argsort(names, kind="stable")
        self._names, self._boxes = names[order], boxes[order]

    def get(self, name: str) -> list[float] | None:
        """x0, y0, x1, y1 in pixels of the photo, or None if no file lists it."""
        key = np.bytes_(name.encode())
        at = int(np.searchsorted(self._names, key))
        if at == len(self._names) or self._names[at] != key:
            return None
        x, y, width, height = (float(value) for value in self._boxes[at])
        return [x, y, x + width, y + height]


def _box_files(root: Path) -> list[Path]:
    found = [path for pattern in ("loose_bb_*.csv", "*/loose_bb_*.csv") for path in root.glob(pattern)]
    inside = root.resolve()
    return sorted(path for path in found if path.resolve().is_relative_to(inside))


def _read_boxes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        table = csv.read_csv(path, csv.ReadOptions(use_threads=False))
        names = np.asarray(table["NAME_ID"].to_numpy(), dtype=np.bytes_)
        boxes = np.stack([table[column].to_numpy() for column in _BOX_COLUMNS], axis=1).astype(np.int32)
    except (OSError, ArrowException, KeyError, ValueError) as error:
        raise UsageError(
            f"{path} is not a box file of VGGFace2 (columns NAME_ID, X, Y, W, H expected): {error}; "
            "fix the file or move it away."
        ) from error
    return names, boxes
