"""Lists of photos that a person looked at and wants left out, such as the report's marks."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deca_data.sources.table_files import read_lines
from manifests.errors import UsageError
from pipelines.curate.decisions import Decisions

STAGE = "exclude"
NAME, WHY = "sample_id", "reason"
"""The columns of a list; the second may be absent or empty."""

LONGEST = 80
"""Characters of a reason that are kept, and of an unknown name that are shown."""

SHOWN = 3
"""Unknown names that a note shows."""


@dataclass(frozen=True)
class Excluded:
    """Names of photos to leave out, and why.

    Attributes:
        reasons: the reason of each sample_id; "" where the list gives none. The first list that names a photo
            counts.
        files: names of the lists.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def info(self) -> dict[str, Any]:
        """Returns what a manifest's metadata says of the lists; it depends on their content only."""
        lines = "\n".join(f"{name}\t{self.reasons[name]}" for name in sorted(self.reasons))
        digest = hashlib.blake2b(lines.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
        return {"files": list(self.files), "names": len(self.reasons), "digest": digest}


NOTHING = Excluded()


def read_excluded(paths: Sequence[Path]) -> Excluded:
    """Reads tables with a column `sample_id` and perhaps a column `reason`.

    Raises:
        UsageError: a file cannot be read, is no table, or has no column `sample_id`.
    """
    reasons: dict[str, str] = {}
    for path in paths:
        lines = read_lines(path, lambda cells: cells.count(NAME))
        header = next(lines, [])
        if NAME not in header:
            raise UsageError(
                f"--exclude {path}: its first line names no column {NAME}; write {NAME},{WHY} there, then a "
                "line for each photo, as the report's button saves it."
            )
        name_at, why_at = header.index(NAME), header.index(WHY) if WHY in header else None
        for cells in lines:
            name = cells[name_at] if name_at < len(cells) else ""
            why = cells[why_at] if why_at is not None and why_at < len(cells) else ""
            if name:
                reasons.setdefault(name, " ".join(why.split())[:LONGEST])
    return Excluded(reasons, tuple(path.name for path in paths))


def drop_excluded(decisions: Decisions, excluded: Excluded) -> list[str]:
    """Drops the named rows that are still kept; returns sentences for the user."""
    if not excluded.files:
        return []
    names = sorted(excluded.reasons)
    ids = pa.chunked_array(pa.array(decisions.frame["sample_id"], type=pa.string()))
    place = pc.fill_null(pc.index_in(ids, value_set=pa.array(names, pa.string())), -1).to_numpy()
    kept = decisions.ok & (place >= 0)
    why = np.array([excluded.reasons[name] for name in names] or [""], dtype=object)[place]
    for reason in sorted(set(why[kept])):
        text = f"excluded by hand: {reason}" if reason else "excluded by hand"
        decisions.drop(kept & (why == reason), STAGE, text)
    found = np.zeros(len(names), dtype=bool)
    found[place[place >= 0]] = True
    unknown = [name for name, there in zip(names, found, strict=True) if not there]
    lists = ", ".join(excluded.files)
    was = int(found.sum() - kept.sum())
    notes = [f"--exclude {lists}: photos left out: {kept.sum()}; dropped before: {was}"]
    if unknown:
        shown = [" ".join(name.split())[:LONGEST] for name in unknown[:SHOWN]]
        some = ", ".join(shown) + (", ..." if len(unknown) > SHOWN else "")
        notes.append(f"--exclude {lists}: names that are no photo of this workspace: {len(unknown)} ({some})")
    return notes
