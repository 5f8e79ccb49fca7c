"""Hears what C libraries print on standard error while an image is decoded, and keeps it off the terminal.

What OpenCV and Pillow themselves log of damaged files is switched off: they also raise it.

libjpeg says only there that a JPEG's insides are damaged; it then makes up the missing pixels. Its lines are
written to C's `stderr` stream. That stream, not the file descriptor below it, is exchanged while an image is
decoded, because a progress bar of another thread writes to the descriptor.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import cv2

Result = TypeVar("Result")

_ROOM = 1 << 16
"""Bytes of lines that are kept; libjpeg prints one line an image."""
_UNBUFFERED = 2  # _IONBF of <stdio.h>


def decode_heard(decode: Callable[[], Result]) -> tuple[Result, str]:
    """Returns what ``decode`` returns, and what C libraries printed meanwhile ("" for nothing).

    Several threads decode at once. Where something was printed, it is decoded again with no other thread in
    between, so that each line belongs to its own image. On a system without C's `fmemopen` nothing is heard.
    """
    ear = _ear()
    if ear is None:
        return decode(), ""
    before = ear.begin()
    try:
        result = decode()
    finally:
        after = ear.end()
    if after == before:
        return result, ""
    with ear.alone():
        return decode(), ear.text()


def decode_quietly(decode: Callable[[], Result]) -> Result:
    """Returns what ``decode`` returns; what C libraries print meanwhile is lost."""
    ear = _ear()
    if ear is None:
        return decode()
    ear.begin()
    try:
        return decode()
    finally:
        ear.end()


class _Ear:
    """A stream in memory, and who listens to it."""

    def __init__(self, libc: ctypes.CDLL, stderr: ctypes.c_void_p) -> None:
        self._libc, self._stderr, self._usual = libc, stderr, stderr.value
        self._room = ctypes.create_string_buffer(_ROOM)
        self._stream = ctypes.c_void_p(libc.fmemopen(self._room, _ROOM, b"w"))
        libc.setvbuf(self._stream, None, _UNBUFFERED, 0)
        self._turn = threading.Condition()
        self._inside = 0

    def count(self) -> int:
        """Bytes printed since the last image that was decoded alone."""
        return self._libc.ftell(self._stream)

    def text(self) -> str:
        return self._room.raw[: self.count()].decode("ascii", "replace")

    def begin(self) -> int:
        """An image is decoded beside others from now on; returns the count of bytes."""
        with self._turn:
            if not self._inside:
                self._libc.rewind(self._stream)  # else its room would be used up one day
                self._stderr.value = self._stream.value
            self._inside += 1
            return self.count()

    def end(self) -> int:
        """The image is decoded; returns the count of bytes."""
        with self._turn:
            printed = self.count()
            self._inside -= 1
            if not self._inside:
                self._stderr.value = self._usual
                self._turn.notify_all()
            return printed

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._turn:  # held to the end, so that nobody comes in
            self._turn.wait_for(lambda: not self._inside)
            self._libc.rewind(self._stream)
            self._stderr.value = self._stream.value
            try:
                yield
            finally:
                self._stderr.value = self._usual


def silence_opencv() -> None:
    """Switches off OpenCV's own messages; 4.14, for one, has the function in another module than 4.11."""
    place: Any = cv2 if hasattr(cv2, "setLogLevel") else getattr(cv2.utils, "logging")  # noqa: B009
    place.setLogLevel(0)


@lru_cache(maxsize=1)
def _ear() -> _Ear | None:
    """The process's one ear, as C has one `stderr`; None where the system lacks what it needs."""
    silence_opencv()
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # without any, Python prints errors
    try:
        libc = ctypes.CDLL(None)
        libc.fmemopen.restype = ctypes.c_void_p
        libc.fmemopen.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
        libc.setvbuf.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
        libc.ftell.restype, libc.ftell.argtypes = ctypes.c_long, [ctypes.c_void_p]
        libc.rewind.restype, libc.rewind.argtypes = None, [ctypes.c_void_p]
        name = "stderr" if hasattr(libc, "stderr") else "__stderrp"  # macOS
        return _Ear(libc, ctypes.c_void_p.in_dll(libc, name))
    except (AttributeError, OSError, TypeError, ValueError):
        return None
