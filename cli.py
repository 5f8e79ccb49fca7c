"""The two commands: `deca-data` makes manifests, `deca` trains from them.

The commands of `deca-data` stand in `pipelines/cli_data.py`; those of `deca` stand here, because some of
them join detection and model. Each parses, calls and prints, and imports what it calls inside itself, so
that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import typer

from manifests.errors import UsageError, WorkFailed
from pipelines.cli_data import app as deca_data

CallError: Any = typer.BadParameter.__mro__[2]
"""The parser's common exception for wrong calls, which typer does not export by name."""

deca = typer.Typer(
    name="deca",
    help="Trains DECA from a manifest, and uses the model.\n\n"
    "Begin with: deca train --manifest train.parquet",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
)


def _run(app: typer.Typer) -> None:
    """Runs an app: one sentence and exit 2 for a wrong call, 1 for failed work, 130 for Ctrl-C."""
    try:
        sys.exit(app(standalone_mode=False))
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except UsageError as error:
        sys.exit(_fail(str(error), 2))
    except WorkFailed as error:
        sys.exit(_fail(str(error), 1))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(_fail("stopped; what is finished is kept, and the same command goes on from here", 130))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except CallError as error:  # an unknown option, a value of the wrong kind
        error.show()
        sys.exit(error.exit_code)


def _fail(text: str, code: int) -> int:
    print(text if code == 130 else f"error: {text}", file=sys.stderr)
    return code


def deca_data_main() -> None:
    """Entry point of `deca-data`."""
    _run(deca_data)


def deca_main() -> None:
    """Entry point of `deca`."""
    _run(deca)
