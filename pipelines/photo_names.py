"""Names for the output files of photos and videos: without odd characters, and each only once."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from manifests.files import NAME_BYTES

NAMELESS = "photo"
"""The name of a photo whose own has only dots, such as ..jpg."""

LONGEST = NAME_BYTES - 55
"""Bytes of a name that are kept; the endings of output files come to it, and a number."""

_ADDED = r"_(detail|texture|albedo|displacement|normals|depth|frames)$"
"""What the names of output files add to the name of the photo."""


def free_name(path: PurePosixPath, taken: set[str]) -> str:
    """Returns a name that no other photo and no output file of another photo has."""
    parts = [_plain(part) for part in path.parts]
    plain = "/".join(part for part in parts if part.strip(".")) or NAMELESS
    name, number = plain, 1
    while name_key(name) in taken:
        number += 1
        name = f"{plain}_{number}"
    taken.add(name_key(name))
    return name


def name_key(name: str) -> str:
    """What the names of two photos must differ in, so that none of their output files has one name."""
    return re.sub(_ADDED, "", name.casefold())


def _plain(part: str) -> str:
    """A file's or folder's name without odd characters, and short enough for the endings of output files."""
    plain = re.sub(r"[^\w.-]+", "_", part)
    return plain.encode()[:LONGEST].decode("utf-8", "ignore")
