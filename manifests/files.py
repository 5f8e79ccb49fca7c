"""Writes files atomically: a file is complete or does not exist."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

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
    temporary = _beside(path)
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: bytes) -> None:
    """Writes ``data`` to ``path`` as ``atomic_path`` does, with fewer system calls.

    Raises:
        OSError: as in ``atomic_path``.
    """
    temporary = _beside(path)
    try:
        with _new_file(temporary) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_all_atomic(files: Mapping[Path, bytes]) -> None:
    """Writes several files in parallel, each as `write_atomic` does.

    A disk syncs eight files in about the time of one, so a batch of sidecars waits once, not eight times.
    """
    pool = _writers(os.getpid())
    for done in [pool.submit(write_atomic, path, data) for path, data in files.items()]:
        done.result()


@lru_cache(maxsize=1)
def _writers(process: int) -> ThreadPoolExecutor:
    """The writer threads of this process, kept for later calls; a forked process makes its own."""
    return ThreadPoolExecutor(WRITERS, thread_name_prefix=f"writer-{process}")


def _beside(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}"[-250:])


def _new_file(path: Path) -> BinaryIO:
    """Opens a file for writing; its folder exists in most cases and is else made."""
    try:
        return open(path, "wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open(path, "wb")
