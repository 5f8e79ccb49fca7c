"""How a command ends: with one sentence and an exit code."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import typer

from commands.early import INTERRUPTED, is_early
from commands.surroundings import check_surroundings, missing_library
from manifests.errors import UsageError, WorkFailed
from manifests.machine_faults import machine_fault
from pipelines.terminal.lines import print_line

CallError: Any = typer.BadParameter.__mro__[2]
"""The parser's common exception for wrong calls, which typer does not export by name."""

SHOW_CURSOR = b"\x1b[?25h"
"""What a terminal needs after a progress bar that was not ended."""

STOPPED = "stopped; what is finished is kept, and the same command goes on from here"
STOPPED_ANEW = "stopped; no file is left half-written, and the same command begins anew"

ANEW = {
    "report",
    "export",
    "fit",
    "reconstruct",
    "transfer",
    "animate",
    "evaluate",
    "export-official",
    "assets",
}
"""Commands that do all their work again when they are given again."""


def end_at_ctrl_c() -> None:
    """Lets Ctrl-C end this process at once, for commands whose results are safe on the disk at all times.

    By default it raises an exception in the middle of whatever runs, and models that are taken down half-made
    end the process with an abort.
    """
    if is_early() or signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        error = os.dup(2)  # libraries are kept quiet by putting another file in place of 2
        signal.signal(signal.SIGINT, lambda number, frame: _stop(error))


def run_app(make: Callable[[], typer.Typer]) -> None:
    """Makes an app and runs it: one sentence and exit 2 for a wrong call, 1 for failed work, 130 for Ctrl-C.

    The app is made here, so that an error in a user's stage is one sentence, too. With `--json`, the sentence
    is an object on standard output, with the exit code: {"error": "...", "code": 2}.
    """
    try:
        check_surroundings()
        app = make()
        if is_early():  # from here on Ctrl-C is an exception, so that what was begun is taken back
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = app(standalone_mode=False)
        gc.freeze()  # without it, Python's last search for cycles takes a quarter of a second
        if code == INTERRUPTED:  # the parser turns Ctrl-C into this
            raise KeyboardInterrupt
        sys.exit(code)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _stop()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except CallError as error:  # an unknown option, a value of the wrong kind
        if not _as_json():
            error.show()
            sys.exit(error.exit_code)
        sys.exit(_fail(error.format_message(), error.exit_code))
    except Exception as error:
        said, code = _said(error)
        if said is None:
            raise  # a fault of the program: its traceback is wanted
        sys.exit(_fail(said, code))


def _said(error: Exception) -> tuple[str | None, int]:
    """The sentence for an error and the exit code; no sentence if the program itself is at fault."""
    if isinstance(error, UsageError):
        return str(error), 2
    if isinstance(error, WorkFailed):
        return str(error), 1
    if isinstance(error, ImportError):
        return missing_library(error), 2
    return machine_fault(error) or _of_a_file(error), 1


def _of_a_file(error: BaseException) -> str | None:
    """What is wrong with the file that a system's error names."""
    if not isinstance(error, OSError) or error.errno is None or error.filename is None:
        return None
    return f"{os.fsdecode(error.filename)}: {error.strerror}."


def _as_json() -> bool:
    return "--json" in sys.argv[1:]


def _fail(text: str, code: int) -> int:
    if _as_json():
        print(json.dumps({"error": text, "code": code}), flush=True)
    else:
        print_line(text if code == INTERRUPTED else f"error: {text}", sys.stderr)
    return code


def _stop(error: int = 2) -> None:
    """Ends after Ctrl-C: the results are on the disk, and the libraries' own end takes time and prints."""
    with contextlib.suppress(RuntimeError):  # where it came in the middle of another print
        sys.stdout.flush()
    said = STOPPED_ANEW if ANEW & set(sys.argv[1:2]) else STOPPED
    as_json = json.dumps({"error": said, "code": INTERRUPTED})
    if os.isatty(error):
        os.write(error, b"\n")  # after what a bar, or the terminal for Ctrl-C itself, wrote
    os.write(1 if _as_json() else error, f"{as_json if _as_json() else said}\n".encode())
    if os.isatty(error):
        os.write(error, SHOW_CURSOR)
    os._exit(INTERRUPTED)
