"""A folder of results remembers which files were written into it, so that no other file is ever replaced."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from manifests.errors import UsageError
from manifests.files import read_file, write_atomic

LIST = ".written-here.json"
"""The file that lists the names, in the folder itself."""


def claim(out: Path, names: Iterable[str]) -> None:
    """Makes sure that ``names`` in the folder ``out`` may be written, and adds them to its list.

    Raises:
        UsageError: one of them exists, and no earlier call wrote it.
    """
    wanted, own = set(names), _listed(out)
    foreign = sorted(name for name in wanted - own if (out / name).exists() or (out / name).is_symlink())
    if foreign:
        raise UsageError(
            f"--out {out}: it holds a file {foreign[0]!r} that no earlier call wrote; move it, or name "
            "another folder."
        )
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / LIST, json.dumps(sorted(wanted | own), indent=0).encode())


def _listed(out: Path) -> set[str]:
    try:
        found = json.loads(read_file(out / LIST))
    except (OSError, ValueError):
        return set()
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()
