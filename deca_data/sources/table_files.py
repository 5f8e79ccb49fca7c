"""Tables of text as people have them: any of the usual separators and encodings."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from manifests.errors import UsageError

SEPARATORS = (",", ";", "\t", "|")

LONGEST = 1 << 20
"""Characters of a first line that are looked at."""


class NotATable(UsageError):
    """The file holds something else."""


def read_lines(path: Path, quality: Callable[[list[str]], int]) -> Iterator[list[str]]:
    """Yields the cells of each line that has any, without outer blanks.

    Args:
        path: the file, in UTF-8 or UTF-16, with or without a byte order mark.
        quality: how well the cells of the first line fit; the separator that fits best is used, the first of
            `SEPARATORS` among equal ones.

    Raises:
        NotATable: it is no regular file, or no text in lines and cells.
        UsageError: it cannot be opened or read.
    """
    if not path.is_file():  # a pipe would be waited for
        raise NotATable(f"{path} is not a regular file; give the table as a file.")
    try:
        with open(path, encoding=_encoding(path), errors="replace", newline="") as file:
            first = file.readline(LONGEST)
            file.seek(0)
            separator = max(SEPARATORS, key=lambda each: quality(_cells(first, each)))
            for cells in csv.reader(file, delimiter=separator):
                if any(cells):
                    yield [cell.strip() for cell in cells]
    except csv.Error as error:
        raise NotATable(f"{path} is no table of text ({error}); fix the file or move it away.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); make it readable.") from error


def _encoding(path: Path) -> str:
    """UTF-16 by its byte order mark, or by the zero byte of each Latin letter; else UTF-8."""
    with open(path, "rb") as file:
        start = file.read(4)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if len(start) == 4 and not start[1] and not start[3]:
        return "utf-16-le"
    if len(start) == 4 and not start[0] and not start[2]:
        return "utf-16-be"
    return "utf-8-sig"


def _cells(line: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []
