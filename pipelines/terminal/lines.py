"""Sentences for people: in a terminal, no word is cut at its edge."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TextIO

from pipelines.terminal.printable import printable


def print_line(text: str, file: TextIO | None = None, *, indent: str = "") -> None:
    """Prints text, wrapped between words if ``file`` (by default standard output) is a terminal.

    Control characters are written out. Further lines begin with ``indent``. A word longer than the terminal
    is wide, such as a path, stays whole.
    """
    text, file = printable(text), sys.stdout if file is None else file
    if file is not None and file.isatty():
        width = shutil.get_terminal_size().columns
        wrapper = textwrap.TextWrapper(
            width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
        text = "\n".join(wrapper.fill(line) for line in text.split("\n"))
    print(text, file=file, flush=True)
