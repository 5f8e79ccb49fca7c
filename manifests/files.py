"""Writes files atomically, so that a file is complete or does not exist, and opens only what is a file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from manifests.errors import UsageError

TEMPORARY = ".part-"

LARGEST = 512 * 2**20
"""Bytes of the largest file that is read as a whole: photos, annotations and settings are far smaller."""

WRITERS = 8
"""Number of threads of `write_all_atomic`."""


class Refused(OSError):
    """The path is no regular file, or the file is too large: it is not opened; ``strerror`` says why."""


def open_file(path: Path) -> BinaryIO:
    """Opens a regular file to read its bytes.

    A pipe, a socket or a device may carry the name of a photo. Nobody writes into it, so that a reader would
    wait for ever; it is refused without waiting.

    Raises:
        Refused: a pipe, a socket, a device or a folder.
        OSError: missing, or may not be read.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    flags = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        place = os.open(path, os.O_RDONLY | flags)
    except OSError:
        require_file(path)  # a socket cannot be opened at all
        raise
    try:
        _refuse_others(os.fstat(place), path)
    except OSError:
        os.close(place)
        raise
    return os.fdopen(place, "rb")


def read_file(path: Path, largest: int = LARGEST) -> bytes:
    """Reads a whole regular file of at most ``largest`` bytes.

    Raises:
        Refused: not a regular file, or larger.
        OSError: missing, or may not be read.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > largest:
            raise Refused(errno.EFBIG, f"too large: {size} bytes (at most {largest})", str(path))
        return file.read(largest + 1)


def require_file(path: Path) -> Path:
    """Returns ``path`` if it is a regular file, for a library that opens it itself.

    Raises:
        Refused: a pipe, a socket, a device or a folder.
        OSError: missing, or may not be looked at.
    """
    _refuse_others(os.stat(path), path)
    return path


def _refuse_others(found: os.stat_result, path: Path) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    kind = kinds.get(stat.S_IFMT(found.st_mode), "something else")
    raise Refused(errno.EINVAL, f"not a file but {kind}", str(path))


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
