"""Text of strangers (names of files, of datasets, of columns) as it may be printed on a terminal."""

from __future__ import annotations

import re

_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, which terminals obey, and those that turn the direction of what follows."""


def printable(text: str) -> str:
    """Returns the text with its control characters written out, except for new lines and tabs."""
    return _COMMANDS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
