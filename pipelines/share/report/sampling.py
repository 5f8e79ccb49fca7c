"""Which rows the page shows as photos: for each reason some that it dropped, and kept ones to compare."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import Bound
from manifests.streaming import ManifestStream
from pipelines.share.report.counts import KEYS, Ended, Group, Survey, group_numbers, numbers, rows_of
from pipelines.terminal.progress_bar import Progress

SAME_PERSON, OTHER_COPY = frozenset({"identity", "selection"}), "duplicates"
WEAKEST = {"detect": "box_score", "landmarks": "landmark_confidence"}
"""Stages that find nothing: their drops are compared with the kept photos of the lowest score."""


class Pick(NamedTuple):
    """A row: the file's place among the manifests, and the row's number in it."""

    file: int
    row: int


Held = list[tuple[float, Pick]]
"""A few rows with their priorities, the smallest first."""


@dataclass
class Sheet:
    """The photos of one reason.

    Attributes:
        status, stage, reason: of the rows; stage and reason are None for kept ones.
        rows: number of rows.
        bounds: the bounds that dropped them, in ascending order.
        score: the column by which they are compared, if any.
        beside: a few words on ``compared``, if it is not empty.
        photos: some of the rows.
        compared: rows to compare them with.
    """

    status: str
    stage: str | None
    reason: str | None
    rows: int
    bounds: list[Bound] = field(default_factory=list)
    score: str | None = None
    beside: str | None = None
    photos: list[Pick] = field(default_factory=list)
    compared: list[Pick] = field(default_factory=list)

    @property
    def ended(self) -> Ended:
        """Status, stage and reason of the rows."""
        return self.status, self.stage, self.reason


def choose(
    streams: Sequence[ManifestStream], found: Survey, per_reason: int, seed: int, progress: Progress
) -> list[Sheet]:
    """Makes sheets for the kept photos and for every reason, the most frequent reason first.

    The same manifests and seed give the same rows. Dropped ones are drawn evenly from the datasets.

    Args:
        streams: the manifests.
        found: what the first pass found.
        per_reason: photos on each side of a sheet.
        seed: another seed draws other rows.
        progress: advanced twice by the number of rows.
    """
    sheets = _empty_sheets(found)
    groups = list(found.groups)
    by_score = [(sheet, sheet.score) for sheet in sheets if sheet.score and not _has_partners(sheet)]
    drawn: defaultdict[Group, Held] = defaultdict(list)
    nearest: defaultdict[Ended, Held] = defaultdict(list)
    scores = sorted({score for _, score in by_score})
    for place, start, table in rows_of(streams, (*KEYS, *scores), progress):
        labels = group_numbers(table, found)
        rows = np.arange(start, start + table.num_rows)
        chance = chances(rows, place, seed)
        for number in np.unique(labels):
            inside = np.flatnonzero(labels == number)
            _keep_smallest(drawn[groups[number]], 2 * per_reason, place, rows[inside], chance[inside])
        kept = np.array([group.status == "ok" for group in groups])[labels]
        for sheet, score in by_score:
            gap = _distance(numbers(table, score), sheet.bounds)
            near = np.flatnonzero(kept & (gap >= 0))
            priorities = gap[near] + 1e-9 * chance[near]
            _keep_smallest(nearest[sheet.ended], per_reason, place, rows[near], priorities)
    for sheet in sheets:
        mine = [drawn[group] for group in groups if group[2:] == sheet.ended]
        sheet.photos = _in_turn(mine, 2 * per_reason if sheet.status == "ok" else per_reason)
    for sheet, score in by_score:
        sheet.compared = _in_turn([nearest[sheet.ended]], per_reason)
        bound = f"nearest to the bound of {sheet.bounds[-1].value:g}" if sheet.bounds else None
        sheet.beside = f"Kept, {bound or f'lowest {score}'}"
    _add_partners(streams, sheets, per_reason, seed, progress)
    return sheets


def rows_at(
    streams: Sequence[ManifestStream], picks: Iterable[Pick], columns: Sequence[str]
) -> dict[Pick, dict[str, Any]]:
    """Reads the ``columns`` of each of ``picks``."""
    found: dict[Pick, dict[str, Any]] = {}
    for place, stream in enumerate(streams):
        rows = sorted({pick.row for pick in picks if pick.file == place})
        table = stream.take(rows, columns)
        found.update(zip([Pick(place, row) for row in rows], table.to_pylist(), strict=True))
    return found


def _empty_sheets(found: Survey) -> list[Sheet]:
    rows: Counter[Ended] = Counter()
    for group, count in found.groups.items():
        rows[group[2:]] += count
    ordered = sorted(rows, key=lambda ended: (ended[0] != "ok", -rows[ended], str(ended)))
    sheets = [Sheet(*ended, rows=rows[ended]) for ended in ordered]
    for sheet in sheets:
        bounds = found.bounds.get(sheet.ended, [])
        if bounds:
            sheet.score = bounds[0].column
            sheet.bounds = [bound for bound in bounds if bound.column == sheet.score]
        elif sheet.status == "dropped":
            sheet.score = WEAKEST.get(sheet.stage or "")
    return sheets


def _has_partners(sheet: Sheet) -> bool:
    """Returns whether photos of the same person or picture are compared, not photos of a near score."""
    return sheet.stage in SAME_PERSON or sheet.stage == OTHER_COPY


def _distance(values: np.ndarray, bounds: Sequence[Bound]) -> np.ndarray:
    """Returns how far inside the bounds (if none: above 0) each value lies; negative or NaN outside."""
    if not bounds:
        return values
    gaps = [values - bound.value if bound.side == "below" else bound.value - values for bound in bounds]
    return np.min(gaps, axis=0)


def chances(rows: np.ndarray, place: int, seed: int) -> np.ndarray:
    """Returns a number in [0, 1) for each row, a hash of seed and place (SplitMix64's finaliser)."""
    start = (seed * 0x9E3779B97F4A7C15 + (place + 1) * 0xD1342543DE82EF95) % 2**64
    mixed = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).astype(np.float64) / 2.0**64


def _keep_smallest(held: Held, size: int, file: int, rows: np.ndarray, priorities: np.ndarray) -> None:
    """Adds rows to ``held``, of which the ``size`` with the smallest priorities stay."""
    few = np.argsort(priorities, kind="stable")[:size]
    held += [(float(priorities[at]), Pick(file, int(rows[at]))) for at in few]
    held.sort()
    del held[size:]


def _in_turn(lists: Iterable[Held], size: int) -> list[Pick]:
    """Returns the first of each list, then the second of each, and so on, ``size`` in all."""
    return [each[1] for places in zip_longest(*lists) for each in places if each is not None][:size]


def _add_partners(
    streams: Sequence[ManifestStream], sheets: list[Sheet], per_reason: int, seed: int, progress: Progress
) -> None:
    """Adds the other copy to sheets of copies, and the person's kept photos to sheets about a person."""
    wanted = [sheet for sheet in sheets if _has_partners(sheet)]
    picks = [pick for sheet in wanted for pick in sheet.photos]
    chosen = rows_at(streams, picks, ("dataset", "identity", "duplicate_of"))
    people = {(row["dataset"], row["identity"]) for row in chosen.values() if row["identity"] is not None}
    copies = {row["duplicate_of"] for row in chosen.values() if row["duplicate_of"] is not None}
    of_person: defaultdict[tuple[str, str], Held] = defaultdict(list)
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
                chosen_rows = rows[inside] + start
                chance = chances(chosen_rows, place, seed)
                _keep_smallest(of_person[person], per_reason, place, chosen_rows, chance)
    for sheet in wanted:
        rows_of_sheet = [chosen[pick] for pick in sorted(sheet.photos)]
        if sheet.stage == OTHER_COPY:
            sheet.beside = "The copy that each was found equal to"
            found = [of_copy.get(row["duplicate_of"]) for row in rows_of_sheet]
            sheet.photos = sorted(sheet.photos)
            sheet.compared = [pick for pick in found if pick is not None]
        else:
            sheet.beside = "Kept, of the same persons"
            persons = dict.fromkeys((row["dataset"], row["identity"]) for row in rows_of_sheet)
            sheet.compared = _in_turn([of_person[person] for person in persons], per_reason)
