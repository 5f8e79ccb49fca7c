"""Ctrl-C before a command has begun: this comes before all imports that take time."""

from __future__ import annotations

import os
import signal
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""


def end_quietly_at_ctrl_c() -> None:
    """Lets Ctrl-C end this process without a word: nothing was begun, and imports would end in tracebacks.

    A process for which somebody else has chosen what Ctrl-C does, such as `nohup`, is left as it is.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def is_early() -> bool:
    """Whether this is what Ctrl-C does now."""
    return signal.getsignal(signal.SIGINT) is _end


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(INTERRUPTED)
