"""Markdown tables, and their places in a document.

The place of a table is between two lines, `<!-- NAME -->` and `<!-- /NAME -->`. What is between them is
replaced each time; all else in the document is written by hand and stays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from manifests.errors import UsageError
from manifests.files import write_atomic


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def replace_between(text: str, name: str, content: str) -> str:
    """``text`` with ``content`` between the markers of ``name``.

    Raises:
        ValueError: the two markers are not there, are there more than once, or are in the wrong order.
    """
    markers = [f"<!-- {name} -->", f"<!-- /{name} -->"]
    before, *rest = re.split(f"({'|'.join(map(re.escape, markers))})", text)
    if rest[0::2] != markers:
        raise ValueError(f"expected {markers[0]} once, and after it {markers[1]} once")
    return f"{before}{markers[0]}\n\n{content.strip()}\n\n{markers[1]}{rest[-1]}"


def write_table(document: Path, name: str, content: str) -> None:
    """Writes ``content`` between the markers of ``name`` in the file ``document``.

    Raises:
        UsageError: as ``replace_between``; the file is unchanged.
    """
    try:
        changed = replace_between(document.read_text(encoding="utf-8"), name, content)
    except ValueError as error:
        raise UsageError(f"{document}: {error}; add the markers where the table belongs.") from None
    write_atomic(document, changed.encode())
