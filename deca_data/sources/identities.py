"""Who is in a photo, where the user says how its path tells: the option `--identities`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from deca_data.sources.table_files import read_lines
from manifests.errors import UsageError

AS_LAYOUT, NOBODY = "folder", "none"
OPTION = "--identities"
SUB_FOLDERS = "the sub-folder names"
"""Where the identities of a layout come from."""

FORMS = (
    "folder (as the layout has it), a number (the level of the person's folder, from 1), a pattern with one "
    "group (a regular expression, or a glob such as '*/(*)/*.jpg'), a file that ends in .csv "
    "(path,identity), or none"
)


class Identities(NamedTuple):
    """How identities are found.

    Attributes:
        text: the choice as it is stored in a workspace; a csv file's path is absolute.
        said: where the names come from, for people: "the sub-folder names".
        name: from a path relative to the dataset's root, and the layout's identity, to the identity.
    """

    text: str
    said: str
    name: Callable[[str, str | None], str | None]


def read_identities(text: str, root: Path) -> Identities:
    """The choice ``text`` for the dataset in ``root``.

    Raises:
        UsageError: it is none of `FORMS`, or the csv file cannot be used.
    """
    if text == AS_LAYOUT:
        return Identities(text, SUB_FOLDERS, lambda path, layout: layout)
    if text == NOBODY:
        return Identities(text, f"{OPTION} none", lambda path, layout: None)
    if text.lstrip("+-").isdecimal():
        level = int(text)
        if level < 1:
            raise UsageError(
                f"{OPTION} {text}: the level of a folder is 1 or more; 1 lies in the dataset's folder."
            )
        return Identities(text, f"the folder names at level {level}", partial(_at_level, level))
    if text.lower().endswith(".csv"):
        file = Path(text).resolve()
        if not file.is_file():
            raise UsageError(
                f"{OPTION} {text}: there is no such file; give a csv file with lines path,identity."
            )
        return Identities(str(file), file.name, partial(_listed, _read_list(file, root)))
    return Identities(text, f"the pattern {text}", partial(_matched, _pattern(text)))


def _at_level(level: int, path: str, layout: str | None) -> str | None:
    folders = path.split("/")[:-1]
    return folders[level - 1] if level <= len(folders) else None


def _matched(pattern: re.Pattern[str], path: str, layout: str | None) -> str | None:
    match = pattern.search(path)
    return (match[1] or None) if match else None


def _listed(names: dict[str, str], path: str, layout: str | None) -> str | None:
    return names.get(path)


def _pattern(text: str) -> re.Pattern[str]:
    """The pattern as a regular expression; a glob is one that has a group only as a glob."""
    for form in (text, _from_glob(text)):
        try:
            pattern = re.compile(form)
        except re.error:
            continue
        if pattern.groups == 1:
            return pattern
    raise UsageError(f"{OPTION} {text}: it is none of these: {FORMS}.")


def _from_glob(text: str) -> str:
    """A glob for whole paths, with a group in round brackets, as a regular expression."""
    parts = re.split(r"(\*\*/?|\*|\?|\[[^]]+\]|[()])", text)
    turned = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]", "(": "(", ")": ")"}
    return (
        "^"
        + "".join(turned.get(part) or (part if part[:1] == "[" else re.escape(part)) for part in parts)
        + "$"
    )


def _read_list(file: Path, root: Path) -> dict[str, str]:
    """The identities of a csv file, by path relative to ``root``."""
    names: dict[str, str] = {}
    places: tuple[int, int] | None = None
    for cells in read_lines(file, lambda first: len(first) if len(first) >= 2 else 0):
        if places is None:
            head = [cell.lower() for cell in cells]
            named = "path" in head and "identity" in head
            places = (head.index("path"), head.index("identity")) if named else (0, 1)
            if named:
                continue
        if len(cells) <= max(places):
            raise UsageError(
                f"{file}: the line {','.join(cells)[:200]!r} has no path and identity; write path,identity."
            )
        path, name = _relative(cells[places[0]], root), cells[places[1]]
        if names.setdefault(path, name) != name:
            raise UsageError(f"{file}: {path} has two identities, {names[path]!r} and {name!r}; leave one.")
    if not names:
        raise UsageError(f"{file}: it lists no photo; write a line path,identity for each.")
    return {path: name for path, name in names.items() if name}


def _relative(path: str, root: Path) -> str:
    path = path.replace("\\", "/")
    if path.startswith(f"{root.as_posix()}/"):
        path = path[len(root.as_posix()) + 1 :]
    return path.removeprefix("./")
