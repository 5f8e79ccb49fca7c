"""Photos whose perceptual hashes differ in a few bits: found without comparing all with all.

With the 64 bits cut into `bits` + 2 bands, two hashes that differ in at most `bits` bits agree in at
least two whole bands (pigeonhole). So for each pair of bands the hashes are sorted by those two bands,
and only neighbours that agree there are compared (multi-index hashing: Norouzi, Punjani and Fleet,
"Fast search in Hamming space with multi-index hashing", CVPR 2012).

A photo has two such hashes: that of the face does not depend on the background, and that of the whole
picture does not depend on the landmarks. Pairs that either finds are then compared by their long hashes (see
`deca_data/picture_hash.py`), because among millions of faces many agree in 64 bits by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd

from pipelines.curate.decisions import Decisions
from pipelines.curate.duplicates import STAGE

CHUNK = 4_000_000
"""Pairs compared in one step; this bounds the memory."""

THREADS = 2
"""Bands searched in parallel."""

Band = tuple[int, int]
"""Neighbouring bits of a hash: the first, counted from the lowest, and the one after the last."""

LongHashes = Callable[[np.ndarray], np.ndarray]
"""From (M,) sorted numbers of rows to the (M, 8) uint64 long hashes of their faces (4) and pictures (4)."""


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
    pairs, by_picture = _candidates(decisions, bits)
    if long_hashes is not None and len(pairs):
        rows, places = np.unique(pairs, return_inverse=True)
        first, second = np.moveaxis(long_hashes(rows)[places.reshape(-1, 2)], 1, 0)
        apart = hamming(first, second).reshape(-1, 2, 4).sum(axis=2)
        close = (apart[:, 0] <= long_bits) | ((apart[:, 1] <= long_bits) & by_picture)
        pairs = pairs[close]
    persons = decisions.frame["person"].to_numpy()
    across = persons[pairs[:, 0]] != persons[pairs[:, 1]]
    flagged = pairs[across]
    decisions.duplicate_of[flagged[:, 0]] = flagged[:, 1]
    decisions.duplicate_of[flagged[:, 1]] = flagged[:, 0]
    decisions.drop(np.unique(flagged), STAGE, "near duplicate under another identity")
    _drop_same_person(decisions, pairs[~across & decisions.ok[pairs].all(axis=1)], better)


def near_pairs(hashes: np.ndarray, bits: int) -> np.ndarray:
    """Finds all pairs of ``hashes`` (N,) uint64 that differ in at most ``bits`` (0 to 32) bits.

    Returns:
        (M, 2) int64 numbers of hashes, the smaller number first, sorted, each pair once.
    """
    values, group = np.unique(hashes, return_inverse=True)
    several = np.flatnonzero(np.bincount(group) > 1)
    alike = np.concatenate([_close_unique(values, bits), np.stack([several, several], axis=1)])
    rows = np.flatnonzero(np.isin(group, alike))
    members = pd.DataFrame({"value": group[rows], "row": rows})
    pairs = pd.DataFrame({"first": alike[:, 0], "second": alike[:, 1]})
    for value in ("first", "second"):  # from numbers of values to rows that have them
        pairs = pairs.merge(members, left_on=value, right_on="value", suffixes=("_first", "_second"))
    found = np.sort(pairs[["row_first", "row_second"]].to_numpy(), axis=1)
    return _unique_pairs(found[found[:, 0] < found[:, 1]], len(hashes))


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Counts the bits in which two uint64 arrays differ, elementwise."""
    x = a ^ b
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((x * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)


def _candidates(decisions: Decisions, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (M, 2) pairs of rows with a close short hash, and (M,) whether their pictures count."""
    frame = decisions.frame
    rows = np.flatnonzero(frame["phash"].notna().to_numpy())
    if not len(rows):
        return np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=bool)
    pairs = rows[near_pairs(frame["phash"].iloc[rows].to_numpy(dtype=np.uint64), bits)]
    film = frame["frame"].notna().to_numpy() if "frame" in frame else np.zeros(len(frame), dtype=bool)
    if "picture_hash" in frame:
        pictures = rows[near_pairs(frame["picture_hash"].iloc[rows].to_numpy(dtype=np.uint64), bits)]
        pictures = pictures[~film[pictures].all(axis=1)]
        pairs = _unique_pairs(np.concatenate([pairs, pictures]), len(frame))
    return pairs, ~film[pairs].all(axis=1)


def _close_unique(values: np.ndarray, bits: int) -> np.ndarray:
    """Finds pairs of different values that are close, each once; ``values`` are sorted."""
    bands = list(pairwise(np.linspace(0, 64, bits + 3).astype(int).tolist()))
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(partial(_close_in_bands, values, bits, bands), range(bits + 1, 0, -1)))
    return _unique_pairs(np.sort(np.concatenate(found), axis=1), len(values))


def _close_in_bands(values: np.ndarray, bits: int, bands: list[Band], last: int) -> np.ndarray:
    """Finds close pairs of ``values`` that agree in the band with number ``last`` and in one before it."""
    found = [np.zeros((2, 0), dtype=np.uint64)]
    by_last = _by_band(values, bands[last])
    for band in bands[:last]:
        found += _close_in_runs(_by_band(by_last, band), bits, _mask(band) | _mask(bands[last]))
    return np.searchsorted(values, np.concatenate(found, axis=1)).T


def _mask(band: Band) -> np.uint64:
    start, end = band
    return np.uint64((1 << end) - (1 << start))


def _by_band(values: np.ndarray, band: Band) -> np.ndarray:
    """Sorts ``values`` by the bits of a band; NumPy's stable sort of 16-bit numbers is ten times faster."""
    start, end = band
    digits = (values & _mask(band)) >> np.uint64(start)
    return values[np.argsort(digits.astype(np.uint16 if end - start <= 16 else np.uint64), kind="stable")]


def _close_in_runs(values: np.ndarray, bits: int, mask: np.uint64) -> Iterator[np.ndarray]:
    """Yields close pairs, (2, M) each, of values that agree under ``mask``, which are neighbours."""
    places = np.flatnonzero((values[1:] ^ values[:-1]) & mask == 0)
    step = 1
    while len(places):
        for start in range(0, len(places), CHUNK):
            some = places[start : start + CHUNK]
            pair = np.stack([values[some], values[some + step]])
            yield pair[:, hamming(*pair) <= bits]
        step += 1
        places = places[places + step < len(values)]
        places = places[(values[places] ^ values[places + step]) & mask == 0]


def _unique_pairs(pairs: np.ndarray, count: int) -> np.ndarray:
    """Returns the (M, 2) ``pairs`` of numbers below ``count``, sorted, each once."""
    codes = np.unique(pairs[:, 0] * count + pairs[:, 1])
    return np.stack(np.divmod(codes, max(count, 1)), axis=1)


def _drop_same_person(decisions: Decisions, pairs: np.ndarray, better: np.ndarray) -> None:
    """Visits rows from the best down and drops each that is close to a kept better one."""
    first, second = pairs.T
    ahead = (better[first] > better[second]) | ((better[first] == better[second]) & (first < second))
    winner, loser = np.where(ahead, first, second), np.where(ahead, second, first)
    order = np.lexsort((winner, loser, -better[loser]))
    gone: dict[int, int] = {}
    for best, row in zip(winner[order].tolist(), loser[order].tolist(), strict=True):
        if best not in gone and row not in gone:
            gone[row] = best
    rows = np.fromiter(gone, dtype=np.int64, count=len(gone))
    decisions.duplicate_of[rows] = np.fromiter(gone.values(), dtype=np.int64, count=len(gone))
    decisions.drop(rows, STAGE, "near duplicate")
