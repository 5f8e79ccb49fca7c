"""The rows that the page can list one by one: names, persons, scores and places of the faces."""

# pyarrow.compute makes its functions at import, where a type checker cannot see them.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manifests.streaming import ManifestStream
from pipelines.share.report.counts import OTHER, Survey, group_numbers, numbers, rows_of
from pipelines.share.report.sampling import Pick, chances
from pipelines.share.report.windows import face_window
from pipelines.terminal.progress_bar import Progress

FACES = 4
"""Photos that stand for a person where persons are compared: the kept ones most like the person."""

DRAWN = 30_000
"""Photos of a list whose landmarks are in the page: 180 bytes for each."""

_TEXTS = ("sample_id", "dataset", "identity", "image", "reason", "duplicate_of")
_PLACES = ("width", "height", "box", "landmarks")


@dataclass
class Listing:
    """Listed rows, in the order of the manifests.

    Attributes:
        total: number of rows of the manifests.
        picks: the row of each place in the list.
        ids: sample_id of each.
        images: the image's path, where it is not the sample_id without the dataset's name.
        reasons: the reason, where the row's group does not tell it.
        copies: the better copy of a dropped duplicate.
        groups: (N,) number of the group of `Survey.groups`.
        persons: (N,) number of the person in ``names``, or -1.
        names: the persons, as dataset/identity.
        windows: (N, 5) width and height of the photo, and left, top and side of the face's square; 0 where
            unknown.
        points: (N, 136) uint8, the landmarks in that square from 0 to 255; all 0 where absent; None in a list
            of more than `DRAWN` photos.
        scores: (N,) float32 of each score, NaN where absent.
    """

    total: int
    picks: list[Pick] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    images: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    copies: dict[int, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    groups: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint16))
    persons: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    windows: np.ndarray = field(default_factory=lambda: np.zeros((0, 5), np.int32))
    points: np.ndarray | None = None
    scores: dict[str, np.ndarray] = field(default_factory=dict)

    def best_faces(self, kept: np.ndarray) -> dict[int, list[int]]:
        """Returns up to `FACES` places of each person: ``kept`` (N,) ones first, the most alike first."""
        likeness = self.scores.get("identity_score")
        likeness = np.full(len(self.ids), np.nan, np.float32) if likeness is None else likeness
        order = np.lexsort((np.arange(len(self.ids)), -np.nan_to_num(likeness, nan=-2.0), ~kept))
        order = order[self.persons[order] >= 0]
        order = order[np.argsort(self.persons[order], kind="stable")]
        starts = np.flatnonzero(np.diff(self.persons[order], prepend=-1))
        pieces = np.split(order, starts[1:]) if len(order) else []
        return {int(self.persons[each[0]]): each[:FACES].tolist() for each in pieces}

    def digest(self) -> str:
        """Returns a short name of this list, for the marks in a browser and the folder of pictures."""
        names = "\n".join(self.ids).encode("utf-8", "replace")
        return hashlib.blake2b(names + self.windows.tobytes(), digest_size=8).hexdigest()

    def packed(self, best: dict[int, list[int]]) -> dict[str, Any]:
        """Returns the list as JSON; arrays are little-endian numbers in base64."""
        return {
            "total": self.total,
            "digest": self.digest(),
            **{name: getattr(self, name) for name in ("ids", "images", "reasons", "copies", "names")},
            "best": [best.get(person, []) for person in range(len(self.names))],
            "groups": _base64(self.groups, "<u2"),
            "points": None if self.points is None else _base64(self.points, "u1"),
            "persons": _base64(self.persons, "<i4"),
            "windows": _base64(self.windows, "<i4"),
            "scores": {name: _base64(values, "<f4") for name, values in self.scores.items()},
        }


@dataclass(frozen=True)
class Wanted:
    """Rows that are listed in any case.

    Attributes:
        picks: the rows that the sheets show.
        persons: persons who look alike, as dataset/identity; with them go all identity outliers.
    """

    picks: frozenset[Pick]
    persons: frozenset[str]

    def among(self, file: int, rows: np.ndarray, table: pa.Table) -> np.ndarray:
        """Returns (N,) bool for the ``rows`` of a file."""
        picked = np.isin(rows, [pick.row for pick in self.picks if pick.file == file])
        persons = pc.binary_join_element_wise(table.column("dataset"), table.column("identity"), "/")
        alike = pc.is_in(persons, pa.array(sorted(self.persons), pa.string()))
        outlier = pc.fill_null(pc.equal(table.column("stage"), "identity"), False)
        return picked | alike.to_numpy() | outlier.to_numpy()


def list_rows(
    streams: Sequence[ManifestStream],
    found: Survey,
    wanted: Wanted,
    most: int,
    seed: int,
    progress: Progress,
) -> Listing:
    """Lists all rows; of more than ``most`` about that many, drawn evenly, and those ``wanted`` in any case.

    ``progress`` is advanced by the number of rows.
    """
    total = sum(stream.rows for stream in streams)
    made = Listing(total)
    columns = (*_TEXTS, "split", "status", "stage", *_PLACES, *found.scores)
    persons: dict[tuple[str, str], int] = {}
    blocks: list[tuple[np.ndarray, ...]] = []
    points: list[np.ndarray] = []
    scores: dict[str, list[np.ndarray]] = {name: [] for name in found.scores}
    others = np.array([group.reason == OTHER for group in found.groups], dtype=bool)
    for place, start, table in rows_of(streams, columns, progress):
        rows = np.arange(start, start + table.num_rows)
        chosen = np.ones(len(rows), dtype=bool)
        if total > most:
            chosen = (chances(rows, place, seed) * total < most) | wanted.among(place, rows, table)
        some = table.filter(pa.array(chosen))
        groups = group_numbers(table, found)[chosen]
        _add_texts(made, some, place, rows[chosen], others[groups])
        names = zip(some.column("dataset").to_pylist(), some.column("identity").to_pylist(), strict=True)
        numbered = [-1 if who[1] is None else persons.setdefault(who, len(persons)) for who in names]
        windows = _windows(some)
        blocks.append((groups.astype(np.uint16), np.array(numbered, np.int32), windows))
        if min(total, most) <= DRAWN:
            points.append(_points(some, windows))
        for name in scores:
            scores[name].append(numbers(some, name).astype(np.float32))
    made.names = ["/".join(person) for person in persons]
    if blocks:
        made.groups, made.persons, made.windows = map(np.concatenate, zip(*blocks, strict=True))
    made.points = np.concatenate(points) if points else None
    joined = {name: np.concatenate(parts) for name, parts in scores.items() if parts}
    made.scores = {name: values for name, values in joined.items() if not np.isnan(values).all()}
    return made


def _add_texts(made: Listing, table: pa.Table, file: int, rows: np.ndarray, others: np.ndarray) -> None:
    texts = {name: table.column(name).to_pylist() for name in _TEXTS}
    for row, other, *each in zip(rows.tolist(), others.tolist(), *texts.values(), strict=True):
        sample, dataset, _, image, reason, copy = each
        number = len(made.ids)
        made.picks.append(Pick(file, row))
        made.ids.append(sample)
        if f"{dataset}/{image}" != sample:
            made.images[number] = image
        if other:
            made.reasons[number] = reason
        if copy is not None:
            made.copies[number] = copy


def _windows(table: pa.Table) -> np.ndarray:
    """Returns (N, 5) int32, see `Listing.windows`."""
    sizes = [pc.fill_null(table.column(name), 0).to_pylist() for name in ("width", "height")]
    found = np.zeros((table.num_rows, 5), np.int32)
    corners = _corners(table, "box")
    points = _corners(table, "landmarks")
    corners = np.where(np.isnan(points), corners, points)
    for number, (width, height) in enumerate(zip(*sizes, strict=True)):
        if width and height:
            known = None if np.isnan(corners[number]).any() else corners[number]
            found[number] = (width, height, *face_window(width, height, known, False))
    return found


def _points(table: pa.Table, windows: np.ndarray) -> np.ndarray:
    """Returns (N, 136) uint8, see `Listing.points`."""
    there, values = _coordinates(table, "landmarks")
    found = np.zeros((len(there), 136), np.uint8)
    if there.any():
        start, side = windows[there, 2:4], np.maximum(windows[there, 4], 1)
        placed = (values + 0.5 - start[:, None]) / side[:, None, None] * 255
        found[there] = np.clip(np.rint(placed), 0, 255).reshape(-1, 136)
    return found


def _corners(table: pa.Table, name: str) -> np.ndarray:
    """Returns (N, 2, 2): the lowest and highest x and y of the points in a column; NaN where null."""
    there, values = _coordinates(table, name)
    found = np.full((len(there), 2, 2), np.nan)
    if there.any():
        found[there] = np.stack([values.min(axis=1), values.max(axis=1)], axis=1)
    return found


def _coordinates(table: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns (N,) bool whether a row has points, and (M, K, 2) the points of those that do."""
    column = table.column(name).combine_chunks()
    there = column.is_valid().to_numpy(zero_copy_only=False)
    values = column.flatten().to_numpy(zero_copy_only=False)
    return there, values.reshape(max(1, int(there.sum())), -1, 2)


def _base64(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values).astype(kind).tobytes()).decode()
