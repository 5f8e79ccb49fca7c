"""Ctrl-C reaches every process of a terminal; only the main one answers it."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

from distributed import WorkerPlugin


class IgnoreInterrupt(WorkerPlugin):
    """Makes worker processes leave SIGINT to the main process, which stops them in good order."""

    idempotent = True
    name = "deca-ignore-interrupt"

    def setup(self, worker: Any) -> None:
        """Runs once in each worker."""
        with contextlib.suppress(ValueError):  # not the main thread: then no signal arrives here either
            signal.signal(signal.SIGINT, signal.SIG_IGN)
