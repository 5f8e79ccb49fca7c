"""Counts what a scan found, so that a wrong guess of who is in the photos is seen before the work begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from deca_data.sources.identities import SUB_FOLDERS
from deca_data.sources.source import LABELS, OUT_OF_RANGE

CROWD = 30
"""Photos of a person from which on, with at most `FEW` persons, the scan asks whether they are persons."""

FEW = 3


@dataclass
class Tally:
    """What the rows of one dataset hold.

    Attributes:
        said: where the identities come from, for people.
        kind: "photos" or "videos".
        annotated: whether the layout has annotations.
        names: the persons' names.
        files: number of rows.
        unknown: rows without an identity.
        labelled: rows with an annotation.
        out_of_range: labels left out because they are out of range.
    """

    said: str
    kind: str = "photos"
    annotated: bool = False
    names: set[str] = field(default_factory=set)
    files: int = 0
    unknown: int = 0
    labelled: int = 0
    out_of_range: int = 0

    def counted(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Counts each row on its way."""
        for row in rows:
            self.files += 1
            if row["identity"] is None:
                self.unknown += 1
            else:
                self.names.add(row["identity"])
            self.labelled += any(row.get(name) is not None for name in LABELS)
            self.out_of_range += row.pop(OUT_OF_RANGE, 0)
            yield row

    def lines(self) -> list[str]:
        """Returns one to three sentences for people."""
        found = [self._persons()]
        if 0 < len(self.names) <= FEW and self.files >= CROWD * len(self.names):
            some = ", ".join(sorted(self.names))
            found.append(
                f"if {some} is no person, say who is in the photos with --identities (none: nobody is known)"
            )
        if self.annotated:
            left_out = f" ({self.out_of_range} labels out of range left out)" if self.out_of_range else ""
            found.append(f"annotations for {self.labelled} of {self.files} {self.kind}{left_out}")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Returns the numbers, JSON-able."""
        found: dict[str, Any] = {
            "files": self.files,
            "persons": len(self.names),
            "unknown_person": self.unknown,
        }
        found["identities"] = self.said
        if self.annotated:
            found.update(annotated=self.labelled, labels_out_of_range=self.out_of_range)
        return found

    def _persons(self) -> str:
        persons = f"{len(self.names)} person" + ("s" if len(self.names) != 1 else "")
        if not self.names:
            why = "" if self.said == SUB_FOLDERS else f" ({self.said})"
            return f"{self.files} {self.kind} of unknown persons{why}"
        unknown = f", {self.unknown} of them of unknown persons" if self.unknown else ""
        return f"{self.files} {self.kind} of {persons} (from {self.said}){unknown}"
