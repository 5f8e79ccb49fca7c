"""How a command ends: with one sentence and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from manifests.errors import UsageError, WorkFailed

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""

CallError: Any = typer.BadParameter.__mro__[2]
"""The parser's common exception for wrong calls, which typer does not export by name."""

TRAIN_PACKAGES = {"torch", "torchvision", "numba", "tensorboard"}
"""What the extra `train` installs."""


def run_app(make: Callable[[], typer.Typer]) -> None:
    """Makes an app and runs it: one sentence and exit 2 for a wrong call, 1 for failed work, 130 for Ctrl-C.

    The app is made here, so that an error in a user's stage is one sentence, too.
    """
    try:
        code = make()(standalone_mode=False)
        gc.freeze()  # without it, Python's last search for cycles takes a quarter of a second
        if code == INTERRUPTED:  # the parser turns Ctrl-C into this
            raise KeyboardInterrupt
        sys.exit(code)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except UsageError as error:
        sys.exit(_fail(str(error), 2))
    except WorkFailed as error:
        sys.exit(_fail(str(error), 1))
    except (KeyboardInterrupt, typer.Abort):
        # The results are on the disk; the libraries' own exit code takes time and may print errors.
        code = _fail("stopped; what is finished is kept, and the same command goes on from here", INTERRUPTED)
        sys.stdout.flush()
        os._exit(code)
    except ModuleNotFoundError as error:
        if error.name not in TRAIN_PACKAGES:
            raise
        sys.exit(_fail(f"this needs the package {error.name!r}: `pip install 'deca-data[train]'`.", 2))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except CallError as error:  # an unknown option, a value of the wrong kind
        error.show()
        sys.exit(error.exit_code)


def _fail(text: str, code: int) -> int:
    print(text if code == INTERRUPTED else f"error: {text}", file=sys.stderr, flush=True)
    return code
