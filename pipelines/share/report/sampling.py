"""Which rows the page shows as photos: for each reason some that it dropped, and kept ones to compare."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.streaming import ManifestStream
from pipelines.share.report.charts import Bound, bound_in
from pipelines.share.report.counts import KEYS, Group, Survey, group_numbers, numbers, rows_of
from pipelines.terminal.progress_bar import Progress

Key = TypeVar("Key", bound=Hashable)

SAME_PERSON, OTHER_COPY = frozenset({"identity", "selection"}), "duplicates"
WEAKEST = {"detect": "box_score", "landmarks": "landmark_confidence"}
"""Stages that find nothing: beside their drops stand the kept photos in which they were least sure."""


class Pick(NamedTuple):
    """A row: the file's place among the manifests, and the row's number in it."""

    file: int
    row: int


@dataclass
class Sheet:
    """The photos of one reason.

    Attributes:
        status: dropped, failed, or ok for the sheet of kept photos.
        stage: who ended the rows; None for kept ones.
        reason: why; None for kept ones.
        rows: how many rows there are.
        beside: what the kept photos are, in a few words; None where there are none.
        dropped: rows that ended for this reason.
        kept: rows to compare them with.
    """

    status: str
    stage: str | None
    reason: str | None
    rows: int
    beside: str | None = None
    dropped: list[Pick] = field(default_factory=list)
    kept: list[Pick] = field(default_factory=list)


def choose(
    streams: Sequence[ManifestStream], found: Survey, per_reason: int, seed: int, progress: Progress
) -> list[Sheet]:
    """Sheets for the kept photos and for every reason, the most frequent reason first.

    The same manifests and seed give the same rows. Dropped ones are drawn evenly from the datasets.

    Args:
        streams: the manifests.
        found: what the first pass found.
        per_reason: photos on each side of a sheet.
        seed: another seed draws other rows.
        progress: advanced by rows, twice over.
    """
    sheets = _empty_sheets(found)
    groups = list(found.groups)
    bounds = {sheet.reason: _compared_with(sheet) for sheet in sheets}
    drawn: _Smallest[Group] = _Smallest(2 * per_reason)
    nearest: _Smallest[Bound] = _Smallest(per_reason)
    scores = sorted({_column(bound) for bound in bounds.values() if bound is not None})
    for place, start, table in rows_of(streams, (*KEYS, *scores), progress):
        labels = group_numbers(table, found)
        rows = np.arange(start, start + table.num_rows)
        chance = _chance(rows, place, seed)
        for number in np.unique(labels):
            inside = np.flatnonzero(labels == number)
            drawn.add(groups[number], place, rows[inside], chance[inside])
        kept = np.array([group.status == "ok" for group in groups])[labels]
        for bound in {bound for bound in bounds.values() if bound is not None}:
            gap = _distance(numbers(table, _column(bound)), bound)
            near = np.flatnonzero(kept & (gap >= 0))
            nearest.add(bound, place, rows[near], gap[near] + 1e-9 * chance[near])
    for sheet in sheets:
        mine = [group for group in groups if group[2:] == (sheet.status, sheet.stage, sheet.reason)]
        size = 2 * per_reason if sheet.status == "ok" else per_reason
        sheet.dropped = _in_turn([drawn.best(group) for group in mine], size)
        bound = bounds[sheet.reason]
        if bound is not None:
            sheet.kept = nearest.best(bound)
            sheet.beside = _nearest_words(bound)
    _add_partners(streams, sheets, per_reason, seed, progress)
    return sheets


def _empty_sheets(found: Survey) -> list[Sheet]:
    rows: dict[tuple[Any, ...], int] = {}
    for group, count in found.groups.items():
        rows[group[2:]] = rows.get(group[2:], 0) + count
    ordered = sorted(rows, key=lambda key: (key[0] != "ok", -rows[key], str(key)))
    return [Sheet(*key, rows=rows[key]) for key in ordered]


def _compared_with(sheet: Sheet) -> Bound | None:
    """The bound whose nearest kept photos stand beside the sheet's, if it is that kind of sheet."""
    if sheet.status == "ok" or sheet.stage in SAME_PERSON or sheet.stage == OTHER_COPY:
        return None
    bound = bound_in(sheet.reason)
    if bound is None and sheet.stage in WEAKEST and sheet.status == "dropped":
        return Bound("", WEAKEST[sheet.stage], 0.0, True)
    return bound


def _column(bound: Bound) -> str:
    return bound.column.strip("|")


def _distance(values: np.ndarray, bound: Bound) -> np.ndarray:
    """How far inside the bound a value lies; negative or NaN where it is not inside."""
    values = np.abs(values) if bound.column.startswith("|") else values
    return values - bound.value if bound.low else bound.value - values


def _nearest_words(bound: Bound) -> str:
    if not bound.value and bound.low:
        return f"Kept, lowest {bound.column}"
    return f"Kept, nearest to the bound of {bound.value:g}"


def _chance(rows: np.ndarray, place: int, seed: int) -> np.ndarray:
    """A number in [0, 1) for each row, decided by the seed and the row's place (SplitMix64's finaliser)."""
    start = (seed * 0x9E3779B97F4A7C15 + (place + 1) * 0xD1342543DE82EF95) % 2**64
    mixed = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).astype(np.float64) / 2.0**64


class _Smallest(Generic[Key]):
    """For each key the few rows of the smallest priority, out of any number."""

    def __init__(self, size: int):
        self._size = size
        self._held: dict[Key, list[tuple[float, Pick]]] = {}

    def add(self, key: Key, file: int, rows: np.ndarray, priorities: np.ndarray) -> None:
        few = np.argsort(priorities, kind="stable")[: self._size]
        new = [(float(priorities[at]), Pick(file, int(rows[at]))) for at in few]
        self._held[key] = sorted([*self._held.get(key, []), *new])[: self._size]

    def best(self, key: Key) -> list[Pick]:
        return [pick for _, pick in self._held.get(key, [])]


def _in_turn(lists: Iterable[list[Pick]], size: int) -> list[Pick]:
    """The first of each list, then the second of each, and so on, ``size`` in all."""
    rounds = zip_longest(*lists)
    return [pick for each in rounds for pick in each if pick is not None][:size]


def _add_partners(
    streams: Sequence[ManifestStream], sheets: list[Sheet], per_reason: int, seed: int, progress: Progress
) -> None:
    """Gives sheets of copies the other copy, and sheets about a person the person's kept photos."""
    wanted = [sheet for sheet in sheets if sheet.stage == OTHER_COPY or sheet.stage in SAME_PERSON]
    chosen = {pick: row for sheet in wanted for pick, row in _rows(streams, sheet.dropped)}
    people = {(row["dataset"], row["identity"]) for row in chosen.values() if row["identity"] is not None}
    copies = {row["duplicate_of"] for row in chosen.values() if row["duplicate_of"] is not None}
    of_person: _Smallest[tuple[str, str]] = _Smallest(per_reason)
    of_copy: dict[str, Pick] = {}
    names = pa.array(sorted({identity for _, identity in people}), pa.string())
    ids = pa.array(sorted(copies), pa.string())
    for place, start, table in rows_of(streams, ("sample_id", "dataset", "identity", "status"), progress):
        if not wanted:
            continue
        for at in np.flatnonzero(pc.is_in(table.column("sample_id"), ids).to_numpy()).tolist():
            of_copy[table.column("sample_id")[at].as_py()] = Pick(place, start + at)
        kept = pc.and_(pc.is_in(table.column("identity"), names), pc.equal(table.column("status"), "ok"))
        rows = np.flatnonzero(pc.fill_null(kept, False).to_numpy())
        few = table.select(["dataset", "identity"]).take(rows).to_pandas()
        for person, inside in few.groupby(["dataset", "identity"], sort=True).indices.items():
            if person in people:
                numbers_in_file = rows[inside] + start
                of_person.add(person, place, numbers_in_file, _chance(numbers_in_file, place, seed))
    for sheet in wanted:
        rows_of_sheet = [chosen[pick] for pick in sorted(sheet.dropped) if pick in chosen]
        if sheet.stage == OTHER_COPY:
            sheet.beside = "The copy that each was found equal to"
            found = [of_copy.get(row["duplicate_of"]) for row in rows_of_sheet]
            sheet.dropped = sorted(sheet.dropped)
            sheet.kept = [pick for pick in found if pick is not None]
        else:
            sheet.beside = "Kept, of the same persons"
            persons = dict.fromkeys((row["dataset"], row["identity"]) for row in rows_of_sheet)
            sheet.kept = _in_turn([of_person.best(person) for person in persons], per_reason)


def _rows(streams: Sequence[ManifestStream], picks: Sequence[Pick]) -> Iterator[tuple[Pick, dict[str, Any]]]:
    for place, stream in enumerate(streams):
        rows = sorted({pick.row for pick in picks if pick.file == place})
        table = stream.take(rows, ("dataset", "identity", "duplicate_of"))
        yield from zip([Pick(place, row) for row in rows], table.to_pylist(), strict=True)
