"""VoxCeleb1's faces: `unzippedFaces/Aamir_Khan/1.6/5YZtYEIFjBA/0001025.jpg`.

The identity is the person's folder, the clip is the video. Where the persons have numbers (id10001) instead
of names, the layout is that of VoxCeleb2's frames.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from deca_data.sources.source import Source
from deca_data.sources.walk import IMAGE_ENDINGS, peek

_SCALE = "1.6"  # the crop's side over the face's: a folder below each person


def _guess(root: Path) -> str | None:
    """Looks for photos below a person's folder `1.6`."""
    for path in peek(root, depth=6, each=4):
        *folders, file = path.split("/")
        if _SCALE in folders[1:] and file.lower().endswith(tuple(IMAGE_ENDINGS)):
            return f"folders {_SCALE} like {folders[folders.index(_SCALE) - 1]}/{_SCALE}"
    return None


def _columns(path: str) -> dict[str, Any]:
    *folders, file = path.split("/")
    if _SCALE not in folders[1:]:
        return {"identity": None}
    place = folders.index(_SCALE, 1)
    return {
        "identity": folders[place - 1],
        "clip": "/".join(folders[place + 1 :]) or None,
        "frame": frame_number(file),
    }


def frame_number(file: str) -> int | None:
    """The last number in a file's name, if it is one of less than ten digits."""
    numbers = re.findall(r"\d+", file.rsplit(".", 1)[0])
    return int(numbers[-1]) if numbers and len(numbers[-1]) < 10 else None


VOXCELEB1 = Source(
    "voxceleb1",
    "unzippedFaces/Aamir_Khan/1.6/5YZtYEIFjBA/0001025.jpg; id10001/...: see voxceleb2-frames",
    _guess,
    lambda root: _columns,
)
