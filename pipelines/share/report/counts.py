"""Counts over the rows of manifests of any length, by dataset, split and what became of the row."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.schema import BOUND_COLUMNS, COLUMNS, Bound, Column
from manifests.streaming import ManifestStream
from pipelines.share.report.charts import POSE, Scale, choose_scale
from pipelines.terminal.progress_bar import Progress

MAX_REASONS = 30
"""Number of the most frequent reasons with their own group; a stage's other reasons share one."""

OTHER = "other reasons"
NO_SCORES = {"frame", "width", "height", "expression", "reason_bound"}
"""Columns of numbers that are not scores of the face."""

SAMPLED = 200_000
"""Number of rows that decide the ends of the histograms."""


class Group(NamedTuple):
    """Rows that the page counts together."""

    dataset: str
    split: str | None
    status: str
    stage: str | None
    reason: str | None


KEYS = Group._fields
Ended = tuple[str, str | None, str | None]
"""Status, stage and reason of a row, the last of `KEYS`."""


@dataclass
class Survey:
    """The result of the first pass.

    Attributes:
        groups: number of rows of each group of the page.
        merged: number of the page's group, by group in the files.
        scores: the columns of scores.
        bounds: the bounds that dropped rows, in ascending order, by status, stage and reason.
        idle: applied bounds that dropped no row.
        people: photos by (dataset, identity): all, and kept.
        sample: some values of each score, evenly spread over the rows; NaN where absent.
    """

    groups: dict[Group, int]
    merged: dict[Group, int]
    scores: dict[str, Column]
    bounds: dict[Ended, list[Bound]]
    idle: set[Bound]
    people: dict[tuple[str, str], tuple[int, int]]
    sample: dict[str, np.ndarray]

    def bounds_on(self, score: str) -> list[Bound]:
        """Returns the bounds on one score, in ascending order."""
        every = self.idle.union(*self.bounds.values())
        return sorted(bound for bound in every if bound.column == score)


@dataclass
class Counts:
    """The result of the second pass; each array has one row per group.

    Attributes:
        scales: the bins of each score that some row has.
        scores: (groups, bins) rows per bin.
        missing: (groups,) rows without the score.
        pose: (groups, yaw bins * pitch bins) rows per cell, yaw major.
    """

    scales: dict[str, Scale]
    scores: dict[str, np.ndarray]
    missing: dict[str, np.ndarray]
    pose: np.ndarray


def survey(streams: Sequence[ManifestStream], progress: Progress) -> Survey:
    """Makes the first pass: groups, photos per person, and values to choose the bins from."""
    found: Counter[Group] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    kept: Counter[tuple[str, str]] = Counter()
    scores = _scores(streams)
    bounds: dict[Ended, set[Bound]] = {}
    sample: dict[str, list[np.ndarray]] = {name: [] for name in scores}
    step = max(1, sum(stream.rows for stream in streams) // SAMPLED)
    for _, start, table in rows_of(streams, (*KEYS, *BOUND_COLUMNS, "identity", *scores), progress):
        keys, labels = _labels(table)
        for key, count in zip(keys, np.bincount(labels, minlength=len(keys)).tolist(), strict=True):
            found[key] += count
        _count_people(table, total, kept)
        _add_bounds(table, scores, bounds)
        some = np.arange(-start % step, table.num_rows, step)
        for name in scores:
            sample[name].append(numbers(table.take(some), name))
    groups, merged = _merge(found)
    applied = {Bound(*bound) for stream in streams for bound in stream.head.info.get("bounds", [])}
    people = {person: (count, kept[person]) for person, count in sorted(total.items())}
    return Survey(
        groups,
        merged,
        scores,
        {ended: sorted(values) for ended, values in bounds.items()},
        applied.difference(*bounds.values()),
        people,
        {name: np.concatenate(parts or [np.zeros(0)]) for name, parts in sample.items()},
    )


def count(streams: Sequence[ManifestStream], found: Survey, progress: Progress) -> Counts:
    """Makes the second pass: rows per bin of every score and per cell of the pose map, by group."""
    chosen = {
        name: choose_scale(column, found.sample[name], found.bounds_on(name))
        for name, column in found.scores.items()
    }
    scales = {name: scale for name, scale in chosen.items() if scale is not None}
    groups = len(found.groups)
    counts = Counts(
        scales,
        {name: np.zeros((groups, scale.bins), np.int64) for name, scale in scales.items()},
        {name: np.zeros(groups, np.int64) for name in scales},
        np.zeros((groups, POSE["yaw"].bins * POSE["pitch"].bins), np.int64),
    )
    columns = (*KEYS, *dict.fromkeys((*scales, "yaw", "pitch")))
    for _, _, table in rows_of(streams, columns, progress):
        labels = group_numbers(table, found)
        for name, scale in scales.items():
            cells = scale.cells(numbers(table, name))
            counts.missing[name] += np.bincount(labels[cells < 0], minlength=groups)
            _add(counts.scores[name], labels, cells)
        yaw, pitch = (POSE[name].cells(numbers(table, name)) for name in ("yaw", "pitch"))
        _add(counts.pose, labels, np.where((yaw < 0) | (pitch < 0), -1, yaw * POSE["pitch"].bins + pitch))
    return counts


def rows_of(
    streams: Sequence[ManifestStream], columns: Sequence[str], progress: Progress
) -> Iterator[tuple[int, int, pa.Table]]:
    """Yields all rows in batches: the file's place in ``streams``, the first row's number, and the rows."""
    for place, stream in enumerate(streams):
        start = 0
        for table in stream.batches(columns):
            yield place, start, table
            start += table.num_rows
            progress.advance(table.num_rows)


def group_numbers(table: pa.Table, found: Survey) -> np.ndarray:
    """Returns (N,) the number of each row's group, in the order of ``found.groups``."""
    keys, labels = _labels(table)
    return np.array([found.merged[key] for key in keys], dtype=np.int64)[labels]


def numbers(table: pa.Table, name: str) -> np.ndarray:
    """Returns a column as (N,) float64, NaN for null."""
    return pc.cast(table.column(name), pa.float64()).to_numpy()


def _scores(streams: Sequence[ManifestStream]) -> dict[str, Column]:
    columns = [*COLUMNS, *(each for stream in streams for each in stream.added)]
    numeric = [each for each in columns if pa.types.is_floating(each.type) or pa.types.is_integer(each.type)]
    return {each.name: each for each in numeric if each.name not in NO_SCORES}


def _labels(table: pa.Table) -> tuple[list[Group], np.ndarray]:
    """Returns the groups of a batch, and (N,) the number of each row's group."""
    rows = pa.array(np.arange(table.num_rows))
    grouped = table.select(KEYS).append_column("row", rows).group_by(KEYS).aggregate([("row", "list")])
    members = grouped.column("row_list").combine_chunks()
    labels = np.empty(table.num_rows, dtype=np.int64)
    labels[members.flatten()] = np.repeat(np.arange(len(members)), members.value_lengths())
    return [Group(**each) for each in grouped.select(KEYS).to_pylist()], labels


def _merge(found: Counter[Group]) -> tuple[dict[Group, int], dict[Group, int]]:
    reasons: Counter[tuple[Any, ...]] = Counter()
    for group, rows in found.items():
        if group.reason is not None:
            reasons[group[2:]] += rows
    ranked = sorted(reasons, key=lambda reason: (-reasons[reason], [str(part) for part in reason]))
    other = set(ranked[MAX_REASONS:])
    target = {group: group._replace(reason=OTHER) if group[2:] in other else group for group in found}
    ordered = sorted(set(target.values()), key=lambda group: [str(part or "") for part in group])
    sizes = dict.fromkeys(ordered, 0)
    for group, rows in found.items():
        sizes[target[group]] += rows
    place = {group: number for number, group in enumerate(ordered)}
    return sizes, {group: place[target[group]] for group in found}


def _count_people(table: pa.Table, total: Counter[tuple[str, str]], kept: Counter[tuple[str, str]]) -> None:
    known = table.select(["dataset", "identity", "status"]).filter(pc.is_valid(table.column("identity")))
    grouped = known.group_by(["dataset", "identity", "status"]).aggregate([([], "count_all")])
    for row in grouped.to_pylist():
        person = (row["dataset"], row["identity"])
        total[person] += row["count_all"]
        kept[person] += row["count_all"] * (row["status"] == "ok")


def _add_bounds(table: pa.Table, scores: Iterable[str], bounds: dict[Ended, set[Bound]]) -> None:
    names = [*KEYS[2:], *BOUND_COLUMNS]
    # Only scores have a chart; a file of another version may have more scores.
    dropped = pc.is_in(table.column("reason_column"), pa.array(list(scores)))
    found = table.select(names).filter(dropped).group_by(names).aggregate([])
    for row in found.select(names).to_pylist():
        status, stage, reason, *bound = row.values()
        bounds.setdefault((status, stage, reason), set()).add(Bound(*bound))


def _add(counts: np.ndarray, labels: np.ndarray, cells: np.ndarray) -> None:
    inside = cells >= 0
    flat = labels[inside] * counts.shape[1] + cells[inside]
    counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
