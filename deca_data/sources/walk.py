"""Walks a dataset folder: sorted, with bounded memory, and never outside its root."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff"})
VIDEO_ENDINGS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v"})

_SKIPPED_FOLDERS = frozenset({"__MACOSX", "@eaDir", "lost+found", "deca-workspace"})

OnSkip = Callable[[str, str], None]
"""Called with the relative path and the reason for each entry that a walk cannot or must not follow."""


class Found(NamedTuple):
    """One file of a walk: its POSIX path relative to the root, its size, and the time of its last change."""

    path: str
    bytes: int
    mtime_ns: int


def walk(root: Path, endings: Collection[str], on_skip: OnSkip | None = None) -> Iterator[Found]:
    """Files below ``root`` whose ending is in ``endings`` (lower case; the files' own case does not matter).

    The order is that of the relative paths as strings, on every file system. Memory is bounded by the largest
    folder. Hidden and temporary names (a leading dot or ``~``) are ignored. A symbolic link is followed if it
    leads to a place inside the root and not to a folder that holds the link. Other links are reported to
    ``on_skip``, as are unreadable folders and names that are not UTF-8.
    """
    real_root = os.path.realpath(root)
    yield from _walk_folder((real_root,), "", endings, on_skip or (lambda path, reason: None))


def files_inside(root: Path, *patterns: str) -> list[Path]:
    """Files that match the patterns of a glob, sorted for each pattern; no link leads out of ``root``."""
    inside = root.resolve()
    found = [path for pattern in patterns for path in sorted(root.glob(pattern))]
    return [path for path in found if path.resolve().is_relative_to(inside)]


def peek(root: Path, depth: int = 3, each: int = 8, prefix: str = "") -> Iterator[str]:
    """A few relative paths of folders (ending in a slash) and files below ``root``, for guessing a layout.

    Reads at most ``each`` sub-folders of every folder, ``depth`` levels down, so it is fast also for
    millions of files. ``prefix`` is put before each path.
    """
    folders = files = 0
    try:
        with os.scandir(root) as scan:
            for entry in scan:
                if _is_ignored(entry.name) or entry.is_symlink():
                    continue
                if not entry.is_dir():
                    files += 1
                    if files <= 4 * each:
                        yield prefix + entry.name
                    continue
                folders += 1
                if folders <= each:
                    path = prefix + entry.name + "/"
                    yield path
                    if depth > 1:
                        yield from peek(Path(entry.path), depth - 1, each, path)
                if folders > each and files > 4 * each:
                    return
    except OSError:
        return


def _walk_folder(
    folders: tuple[str, ...], prefix: str, endings: Collection[str], report: OnSkip
) -> Iterator[Found]:
    """Walks the last of ``folders``, which begin with the root and hold one another."""
    for name, entry, is_folder in _sorted_entries(folders[-1], prefix, report):
        path, real = prefix + name, entry.path
        if entry.is_symlink():
            real = os.path.realpath(real)
            if not Path(real).is_relative_to(folders[0]):
                report(path, "a symbolic link that leads out of the dataset folder")
                continue
        if is_folder:
            if real in folders:
                report(path, "a symbolic link to a folder that holds it")
                continue
            yield from _walk_folder((*folders, real), path + "/", endings, report)
        elif os.path.splitext(name)[1].lower() in endings:
            try:
                stat = entry.stat()
            except OSError as error:
                report(path, error.strerror or str(error))
                continue
            yield Found(path, stat.st_size, stat.st_mtime_ns)


def _sorted_entries(folder: str, prefix: str, report: OnSkip) -> list[tuple[str, os.DirEntry[str], bool]]:
    """Entries in the order of their relative paths as strings; a folder's path ends in a slash."""
    entries = []
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                if _is_ignored(entry.name):
                    continue
                text = entry.name.encode("utf-8", "backslashreplace").decode()
                if text != entry.name:
                    report(prefix + text, "a name that is not UTF-8")
                    continue
                entries.append((entry.name, entry, _is_folder(entry)))
    except OSError as error:
        report(prefix or ".", error.strerror or str(error))
    return sorted(entries, key=lambda item: item[0] + "/" if item[2] else item[0])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_ignored(name: str) -> bool:
    return name[0] in ".~" or name in _SKIPPED_FOLDERS
