"""Photos that look alike: perceptual hashes differ in a few bits.

A photo has two short hashes: that of the face does not depend on the background, and that of the whole
picture does not depend on the landmarks. Pairs that either finds are then compared by their long hashes (see
`deca_data/picture_hash.py`), because among millions of faces many agree in 64 bits by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipelines.curate.close_hashes import hamming, near_pairs, unique_pairs
from pipelines.curate.decisions import Decisions
from pipelines.curate.duplicates import STAGE

LongHashes = Callable[[np.ndarray], np.ndarray]
"""From (M,) sorted numbers of rows to the (M, 8) uint64 long hashes of their faces (4) and pictures (4)."""


class _Photos(NamedTuple):
    """What is compared of the rows that have hashes."""

    rows: np.ndarray  # (N,) their numbers, sorted
    face: np.ndarray  # (N,) uint64
    picture: np.ndarray | None  # (N,) uint64
    film: np.ndarray  # (N,) bool: a frame of a video
    person: np.ndarray  # (N,) int64
    long: np.ndarray | None  # (N, 8) uint64


def drop_near(
    decisions: Decisions,
    better: np.ndarray,
    bits: int,
    long_bits: int = 44,
    long_hashes: LongHashes | None = None,
) -> None:
    """Keeps one of photos that look alike.

    Where two rows of different persons are close, both are dropped, because one name must be wrong. For that
    check, rows that were dropped before count too. The others are visited from the best to the worst, and a
    row that is close to a kept row of the same person is dropped. Two frames of videos are compared by their
    faces only, because their background seldom changes.

    Args:
        decisions: changed in place; needs the columns phash (uint64, NA where absent) and person, and uses
            picture_hash (uint64) and frame if they exist.
        better: (N,) float, higher is kept.
        bits: short hashes that differ in at most this many bits are close.
        long_bits: the same for long hashes. Of 400 re-encoded, resized, brightened copies, cropped by up to
            3 % a side, 398 have 44 or fewer in face or picture; of the 960,000 pairs of different persons in
            1,394 portraits, the closest have 46.
        long_hashes: gives the long hashes, which decide; with None the short ones decide.
    """
    photos = _photos(decisions.frame, long_hashes)
    copies, best = _copies(photos, decisions.ok[photos.rows], better[photos.rows])
    alone = np.delete(np.arange(len(photos.rows)), copies)
    pairs = photos.rows[alone[_close_pairs(_some(photos, alone), bits, long_bits)]]
    copies, best = photos.rows[copies], photos.rows[best]
    persons = decisions.frame["person"].to_numpy()
    across = persons[pairs[:, 0]] != persons[pairs[:, 1]]
    flagged = pairs[across]
    decisions.duplicate_of[flagged[:, 0]] = flagged[:, 1]
    decisions.duplicate_of[flagged[:, 1]] = flagged[:, 0]
    wrong = np.isin(best, flagged)
    decisions.duplicate_of[copies[wrong]] = decisions.duplicate_of[best[wrong]]
    decisions.drop(np.append(flagged, copies[wrong]), STAGE, "near duplicate under another identity")
    kept = decisions.ok
    pairs = pairs[~across & kept[pairs].all(axis=1)]
    worse = kept[copies]
    _drop_same_person(decisions, pairs, better)
    gone = ~decisions.ok[best]
    found = np.where(gone, decisions.duplicate_of[best], best)
    decisions.duplicate_of[copies[worse]] = found[worse]
    decisions.drop(copies[worse], STAGE, "near duplicate")


def _photos(frame: pd.DataFrame, long_hashes: LongHashes | None) -> _Photos:
    rows = np.flatnonzero(frame["phash"].notna().to_numpy())
    some = frame.iloc[rows]
    return _Photos(
        rows,
        some["phash"].to_numpy(dtype=np.uint64),
        some["picture_hash"].to_numpy(dtype=np.uint64) if "picture_hash" in frame else None,
        some["frame"].notna().to_numpy() if "frame" in frame else np.zeros(len(rows), dtype=bool),
        some["person"].to_numpy(),
        None if long_hashes is None else long_hashes(rows),
    )


def _some(photos: _Photos, places: np.ndarray) -> _Photos:
    return _Photos(
        photos.rows[places],
        photos.face[places],
        None if photos.picture is None else photos.picture[places],
        photos.film[places],
        photos.person[places],
        None if photos.long is None else photos.long[places],
    )


def _copies(photos: _Photos, ok: np.ndarray, better: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Photos of one person whose hashes are all equal to those of a better one.

    They are as close to it as to one another, and to others as close as it is. So only it needs comparing,
    and thousands of black frames cost no more than one.

    Returns:
        (M,) numbers of such photos, sorted, and (M,) that of the best of each one's equals.
    """
    keys = pd.DataFrame({"face": photos.face, "film": photos.film, "person": photos.person, "ok": ok})
    if photos.picture is not None:
        keys["picture"] = photos.picture
    equal: Any = keys[keys.duplicated(["face", "person"], keep=False)]  # most photos have no equal
    if photos.long is not None:
        equal = equal.join(pd.DataFrame(photos.long[equal.index], index=equal.index))
    group = equal.groupby(list(equal), sort=False).ngroup().to_numpy()
    places = equal.index.to_numpy()
    order = np.lexsort((places, -better[places], group))
    group, places = group[order], places[order]
    first = places[np.searchsorted(group, group)]
    order = np.argsort(places[places != first])
    return places[places != first][order], first[places != first][order]


def _close_pairs(photos: _Photos, bits: int, long_bits: int) -> np.ndarray:
    """(M, 2) numbers of the photos that are close, sorted, each pair once."""

    def by_face(pairs: np.ndarray) -> np.ndarray:
        return _confirmed(photos, pairs, long_bits)

    def by_picture(pairs: np.ndarray) -> np.ndarray:
        wanted = ~photos.film[pairs].all(axis=1)
        wanted[wanted] = _confirmed(photos, pairs[wanted], long_bits)
        return wanted

    found = [near_pairs(photos.face, bits, by_face)]
    if photos.picture is not None:
        found.append(near_pairs(photos.picture, bits, by_picture))
    return unique_pairs(np.concatenate(found), len(photos.rows))


def _confirmed(photos: _Photos, pairs: np.ndarray, long_bits: int) -> np.ndarray:
    """(M,) bool, whether the long hashes of (M, 2) pairs are close as well."""
    if photos.long is None:
        return np.ones(len(pairs), dtype=bool)
    first, second = np.moveaxis(photos.long[pairs], 1, 0)
    face, picture = (hamming(first, second).reshape(-1, 2, 4).sum(axis=2) <= long_bits).T
    return face | (picture & ~photos.film[pairs].all(axis=1))


def _drop_same_person(decisions: Decisions, pairs: np.ndarray, better: np.ndarray) -> None:
    """Drops each row that is close to a better one that is kept, from the best row down.

    All rows that can be decided are decided at once: one without a better row that is undecided is kept, and
    those close to it are dropped.
    """
    rows, pairs = np.unique(pairs, return_inverse=True)
    first, second = pairs.reshape(-1, 2).T
    best = better[rows]
    ahead = (best[first] > best[second]) | ((best[first] == best[second]) & (first < second))
    winners, losers = np.where(ahead, first, second), np.where(ahead, second, first)
    gone = np.zeros(len(rows), dtype=bool)
    winner, loser = winners, losers
    while len(winner):
        undecided = np.zeros(len(rows), dtype=bool)
        undecided[loser] = True
        gone[loser[~undecided[winner]]] = True
        left = ~gone[winner] & ~gone[loser]
        winner, loser = winner[left], loser[left]
    left = ~gone[winners] & gone[losers]
    kept = pd.Series(winners[left]).groupby(losers[left]).min()
    dropped = rows[kept.index.to_numpy(dtype=np.int64)]
    decisions.duplicate_of[dropped] = rows[kept.to_numpy(dtype=np.int64)]
    decisions.drop(dropped, STAGE, "near duplicate")
