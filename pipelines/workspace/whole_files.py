"""Are the files that a part names still whole? Their sizes say so; where one changed, so does its content."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from manifests.images.png_files import SIGNATURE

PNG_END = b"\0\0\0\0IEND\xaeB\x60\x82"
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"


def file_sizes(folder: Path, paths: Iterable[str | None]) -> list[int | None]:
    """Returns the size in bytes of each file, below ``folder``; None where there is no path, or no file."""
    found: list[int | None] = []
    for path in paths:
        try:
            found.append(None if path is None else os.stat(folder / path).st_size)
        except FileNotFoundError:
            found.append(None)
    return found


def folder_sizes(folder: str) -> dict[str, int]:
    """Returns the size of each file in a folder by its name; empty where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: _size(entry) for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def is_whole_file(path: Path, size: int, written: int | None) -> bool:
    """Whether a file is still whole.

    A file of another size than before is looked into: a mask that the user has painted over is whole.

    Args:
        path: the file.
        size: its size now, in bytes.
        written: its size when it was written; None if that is not known.
    """
    if size == written:
        return True
    if not size:
        return False
    if path.suffix == ".npy":
        return _is_whole_array(path, size)
    if path.suffix == ".png":
        return _has_ends(path, SIGNATURE, PNG_END)
    if path.suffix == ".jpg":
        return _has_ends(path, JPEG_START, JPEG_END)
    return size >= (written or 0)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except FileNotFoundError:  # a link to nothing
        return 0


def _is_whole_array(path: Path, size: int) -> bool:
    with open(path, "rb") as file:
        start = file.read(10)
        head = start + file.read(int.from_bytes(start[8:10], "little"))
    return size == _announced(head)


@lru_cache(maxsize=64)
def _announced(head: bytes) -> int | None:
    """Returns the bytes of a `.npy` file with this head; None if it is none."""
    file = io.BytesIO(head)
    try:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    except ValueError:
        return None
    return len(head) + dtype.itemsize * math.prod(shape)


def _has_ends(path: Path, start: bytes, end: bytes) -> bool:
    with open(path, "rb") as file:
        if file.read(len(start)) != start:
            return False
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - len(end)))
        return file.read() == end
