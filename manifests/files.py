"""Writes files atomically: a file is complete or does not exist."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from manifests.errors import UsageError

TEMPORARY = ".part-"

WRITERS = 8
"""Number of threads of `write_all_atomic`."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success its file is synced and renamed to ``path``.

    The temporary path keeps the ending of ``path``, because image writers choose the format by it.

    Raises:
        OSError: as raised by the write; the temporary file is removed and ``path`` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.urandom(4).hex()}-{path.name}"[-250:])
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Writes ``data`` to ``path``, see `atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_all_atomic(files: Mapping[Path, bytes]) -> None:
    """Writes several files in parallel, because a disk syncs eight files in about the time of one."""
    from concurrent.futures import ThreadPoolExecutor  # not with every start of a command

    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(write_atomic, files, files.values()):
            pass  # raises what went wrong


def inside(folder: Path, relative: str, source: Path) -> Path:
    """Returns the path below ``folder`` that a string of the file ``source`` names.

    Raises:
        UsageError: it is absolute, leads out of the folder, or cannot be a path.
    """
    parts = PurePosixPath(relative)
    if parts.is_absolute() or ".." in parts.parts or "\0" in relative or not parts.parts:
        raise UsageError(f"{source}: the path {relative!r} leads out of {folder}; build it again.")
    return folder / parts


def writable_folder(folder: Path, option: str) -> Path:
    """Makes ``folder`` and its parents, and checks that it can be written; returns it.

    ``option`` is what the user typed, such as "--out results", for errors.

    Raises:
        UsageError: it is a file, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{option}: this is a file; name a folder.")
    try:
        write_atomic(folder / ".writable", b"")
        (folder / ".writable").unlink(missing_ok=True)  # another command may have removed it
    except OSError as error:
        raise UsageError(
            f"{option}: it cannot be written ({error.strerror}); name another folder."
        ) from error
    return folder
