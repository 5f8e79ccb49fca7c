"""Walks a dataset folder: sorted, with bounded memory, and never outside its root."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

IMAGE_ENDINGS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"),
        *(".avif", ".heic", ".heif", ".jp2", ".j2k", ".ppm", ".pgm", ".pnm"),
    }
)
VIDEO_ENDINGS = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v"})
ANNOTATION_ENDINGS = frozenset({".csv", ".txt", ".npy"})
"""Endings of files that the layouts read beside photos and videos."""

LEADS_OUT = "a symbolic link that leads out of the dataset folder (--follow-links follows it)"

LINKS = 3
"""Linked folders on one path: more lead in circles that grow with every linked folder."""

_SKIPPED_FOLDERS = frozenset({"__MACOSX", "@eaDir", "lost+found", "deca-workspace"})

OnSkip = Callable[[str, str], None]
"""Called with the relative path and the reason for each entry that a walk leaves out."""


class Found(NamedTuple):
    """One file of a walk: its POSIX path relative to the root, its size, and the time of its last change."""

    path: str
    bytes: int
    mtime_ns: int


def walk(
    root: Path, endings: Collection[str], on_skip: OnSkip | None = None, *, follow_links: bool = False
) -> Iterator[Found]:
    """Files below ``root`` whose ending is in ``endings`` (lower case; the files' own case does not matter).

    The order is that of the relative paths as strings, on every file system. Memory is bounded by the largest
    folder. Hidden and temporary names (a leading dot or ``~``) are ignored. A symbolic link is followed if it
    leads to a place inside the root (or anywhere, with ``follow_links``) and not to a folder that holds the
    link. Reported to ``on_skip`` are other links, unreadable folders, names that are not UTF-8, and what is
    neither a photo nor a video nor an annotation: a file with another ending, a pipe, a socket, a device.
    """
    walked = _Walk(endings, on_skip or (lambda path, reason: None), follow_links)
    yield from _walk_folder(walked, (os.path.realpath(root),), "", 0)


def files_inside(root: Path, *patterns: str) -> list[Path]:
    """Regular files that match the patterns of a glob, sorted for each pattern, and lie in ``root``."""
    found = [path for pattern in patterns for path in sorted(root.glob(pattern))]
    return [path for path in found if is_file_inside(root, path)]


def is_file_inside(root: Path, path: Path) -> bool:
    """Whether a path is a regular file (no pipe, say) and no link leads out of ``root``."""
    return path.is_file() and path.resolve().is_relative_to(root.resolve())


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


class _Walk(NamedTuple):
    """The options of a walk."""

    endings: Collection[str]
    report: OnSkip
    follow_links: bool


def _walk_folder(walked: _Walk, folders: tuple[str, ...], prefix: str, links: int) -> Iterator[Found]:
    """Walks the last of ``folders``, which begin with the root and hold one another by ``links`` links."""
    for name, entry, is_folder in _sorted_entries(folders[-1], prefix, walked.report):
        path, real, linked = prefix + name, entry.path, entry.is_symlink()
        if linked:
            real = os.path.realpath(real)
            if not (walked.follow_links or Path(real).is_relative_to(folders[0])):
                walked.report(path, LEADS_OUT)
                continue
        if is_folder:
            if real in folders:
                walked.report(path, "a symbolic link to a folder that holds it")
            elif links + linked > LINKS:
                walked.report(path, f"a linked folder inside {LINKS} others")
            else:
                yield from _walk_folder(walked, (*folders, real), path + "/", links + linked)
            continue
        try:
            reason = _why_left_out(entry, walked.endings)
            if reason is None:
                stat = entry.stat()
                yield Found(path, stat.st_size, stat.st_mtime_ns)
            elif reason:
                walked.report(path, reason)
        except OSError as error:
            walked.report(path, error.strerror or str(error))


def _why_left_out(entry: os.DirEntry[str], endings: Collection[str]) -> str | None:
    """Why a walk for ``endings`` does not yield an entry; None if it does, "" for annotations."""
    if not entry.is_file():
        entry.stat()  # raises for a link to nothing
        return "not a file but a named pipe, a socket or a device"
    ending = os.path.splitext(entry.name)[1].lower()
    if ending in endings:
        return None
    if ending in ANNOTATION_ENDINGS:
        return ""
    if ending in VIDEO_ENDINGS:
        return f"a video ({ending}), and the layout is of photos; --dataset videos reads it"
    if ending in IMAGE_ENDINGS:
        return f"a photo ({ending}), and the layout is of videos; --dataset folder reads it"
    shown = ending if 1 < len(ending) <= 12 and ending.isprintable() else "no known ending"
    return f"not a photo, video or annotation ({shown})"


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
