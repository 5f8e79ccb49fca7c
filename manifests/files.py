"""Writes files atomically, so that a file is complete or does not exist, and opens only what is a file."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeGuard

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from manifests.errors import UsageError
from manifests.machine_faults import NotWritten, stop_at_machine_fault

TEMPORARY = ".part-"
_OURS = re.compile(r"\.part-[0-9a-f]{8}-.")

NAME_BYTES = 255
"""Maximum length of a file's name on the usual file systems, in bytes, not in characters."""

_WRONG_FOLDER = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
"""Errors of a folder that the user named wrongly; the others are faults of the machine."""

SYNCED_ALONE = 8
"""Up to this number of files, `sync_files` syncs each; beyond it, the whole file system at once."""

LARGEST = 512 * 2**20
"""Bytes of the largest file that is read as a whole: photos, annotations and settings are far smaller."""


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
    return os.fdopen(_opened(path)[0], "rb")


def read_file(path: Path, largest: int = LARGEST) -> bytes:
    """Reads a whole regular file of at most ``largest`` bytes.

    Raises:
        Refused: not a regular file, or larger.
        OSError: missing, or may not be read.
    """
    place, size = _opened(path)
    try:
        if size > largest:
            raise Refused(errno.EFBIG, f"too large: {size} bytes (at most {largest})", str(path))
        data = os.read(place, size + 1)  # not more: that much memory is asked for at once
        while len(data) < size and (more := os.read(place, size - len(data))):  # a signal or a limit cut it
            data += more
        return data
    finally:
        os.close(place)


def require_file(path: Path) -> Path:
    """Returns ``path`` if it is a regular file, for a library that opens it itself.

    Raises:
        Refused: a pipe, a socket, a device or a folder.
        OSError: missing, or may not be looked at.
    """
    _refuse_others(os.stat(path), path)
    return path


def _opened(path: Path) -> tuple[int, int]:
    """Opens a regular file to read it; returns the file descriptor and its size in bytes."""
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        place = os.open(path, flags)
    except OSError:
        require_file(path)  # a socket cannot be opened at all
        raise
    try:
        found = os.fstat(place)
        _refuse_others(found, path)
    except OSError:
        os.close(place)
        raise
    return place, found.st_size


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


def _refuse_special(path: Path) -> None:
    """Refuses to replace what is neither a file nor a folder, and links such as /dev/stdout."""
    try:
        found = os.stat(path)
        link = os.readlink(path) if path.is_symlink() else ""
    except OSError:  # absent, or what writing itself will say
        return
    if link.startswith("/proc/"):
        raise Refused(errno.EINVAL, "not a file but a link to an open file", str(path))
    if not stat.S_ISDIR(found.st_mode):
        _refuse_others(found, path)


@contextmanager
def atomic_path(path: Path, *, synced: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside ``path``; on success its file is synced and renamed to ``path``.

    The temporary path keeps the ending of ``path``, because image writers choose the format by it.

    Args:
        path: the file to write; its folder is made.
        synced: whether the file is on the disk when it gets its name. Without it, a file may be empty after
            the machine lost its power; call `sync_files` before anything relies on it.

    Raises:
        Refused: ``path`` is a device, a pipe or a socket, which a file would replace for all who use it.
        NotWritten: an `OSError` of writing ``path``; the temporary file is removed and ``path`` is untouched.
    """
    _refuse_special(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, held = _new_file(path)
    except OSError as error:
        raise NotWritten(error.errno, error.strerror, str(path)) from error
    try:
        yield temporary
        if synced:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # what went wrong before is what counts
            temporary.unlink(missing_ok=True)
        if _is_of(error, temporary):
            raise NotWritten(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        os.close(held)


def write_atomic(path: Path, data: bytes, *, synced: bool = True) -> None:
    """Writes ``data`` to ``path``, see `atomic_path`."""
    with atomic_path(path, synced=synced) as temporary:
        temporary.write_bytes(data)


def sync_files(paths: Collection[Path]) -> None:
    """Brings files that were written without a sync onto the disk, with their names; lost ones are left out.

    Many files are synced by one call for their whole file system, where the system has it: each sync alone
    takes as long as the disk takes to write.

    Raises:
        NotWritten: the disk reports an error.
    """
    alone = len(paths) <= SYNCED_ALONE
    done: set[int] = set()
    for path in paths:
        try:
            with open(path, "rb") as file:
                drive = os.fstat(file.fileno()).st_dev
                if drive in done:
                    continue
                if not alone and _sync_drive(file.fileno()):
                    done.add(drive)
                    continue
                os.fsync(file.fileno())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise NotWritten(error.errno, error.strerror, str(path)) from error


def remove_left(folder: Path, only: str = "") -> int:
    """Removes the temporary files in ``folder`` (not below it) that a killed command left; returns how many.

    ``only`` is an ending that their names must have. A file that another process is writing is left.
    """
    try:
        with os.scandir(folder) as entries:
            found = [each.path for each in entries if _OURS.match(each.name) and each.name.endswith(only)]
    except OSError:
        return 0
    removed = 0
    for path in found:
        with contextlib.suppress(OSError):
            held = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if _lock(held, alone=True):
                    os.unlink(path)
                    removed += 1
            finally:
                os.close(held)
    return removed


def inside(folder: Path, relative: str, source: Path) -> Path:
    """Returns the path below ``folder`` that a string of the file ``source`` names.

    Raises:
        UsageError: it is absolute, leads out of the folder, or cannot be a path.
    """
    pieces = [piece for piece in relative.split("/") if piece not in ("", ".")]
    if relative.startswith("/") or ".." in pieces or "\0" in relative or not pieces:
        raise UsageError(f"{source}: the path {relative!r} leads out of {folder}; build it again.")
    return folder / relative


def writable_folder(folder: Path, option: str) -> Path:
    """Makes ``folder`` and its parents, and checks that it can be written; returns it.

    Temporary files in it that a killed command left are removed.

    ``option`` is what the user typed, such as "--out results", for errors.

    Raises:
        UsageError: it is a file, or cannot be written.
        MachineFault: the disk is full, read-only or broken.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{option}: this is a file; name a folder.")
    try:
        write_atomic(folder / ".writable", b"", synced=False)
        (folder / ".writable").unlink(missing_ok=True)  # another command may have removed it
        remove_left(folder)
    except OSError as error:
        if error.errno not in _WRONG_FOLDER:
            stop_at_machine_fault(error)
        raise UsageError(
            f"{option}: it cannot be written ({error.strerror}); name another folder."
        ) from error
    return folder


def writable_file(path: Path, option: str) -> Path:
    """Checks that the file ``path`` can be written, before the work for it is done; returns it.

    Raises:
        UsageError: it is a folder, or lies where nothing can be written.
        MachineFault: as `writable_folder`.
    """
    if path.is_dir():
        raise UsageError(f"{option}: this is a folder; name a file.")
    try:
        _refuse_special(path)
    except Refused as error:
        raise UsageError(f"{option}: this is {error.strerror}; name a file.") from error
    if path.parent.exists() and not path.parent.is_dir():
        raise UsageError(f"{option}: {path.parent} is a file; name a file in a folder.")
    writable_folder(path.parent, option)
    return path


def _temporary(path: Path) -> Path:
    """Returns a new temporary name whose end is that of ``path``'s name, of at most `NAME_BYTES` bytes."""
    head = f"{TEMPORARY}{os.urandom(4).hex()}-"
    kept = os.fsencode(path.name)[-(NAME_BYTES - len(head)) :]
    return path.with_name(head + kept.decode("utf-8", "ignore"))


def _is_of(error: BaseException, temporary: Path) -> TypeGuard[OSError]:
    """Whether an error is the system's, and of writing ``temporary``: one of writing names no file."""
    if not isinstance(error, OSError) or type(error).__module__ != "builtins" or error.errno is None:
        return False
    return error.filename in (None, str(temporary))


def _new_file(path: Path) -> tuple[Path, int]:
    """Makes an empty temporary file for ``path`` and holds a lock on it, so that `remove_left` leaves it.

    Where `remove_left` of another process comes between the two, it removes that file, and another name is
    taken: with the same one, it could remove the second file in place of the first.
    """
    while True:
        temporary = _temporary(path)
        file = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if _lock(file, alone=False) and os.fstat(file).st_nlink:
            return temporary, file
        os.close(file)


def _lock(file: int, *, alone: bool) -> bool:
    """Locks an open file; returns False if another process holds it. Not all systems have locks."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _sync_drive(file: int) -> bool:
    """Syncs the file system of an open file; returns False where the system has no call for it."""
    import ctypes  # not with every start of a command

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return False
    if call(file) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True
