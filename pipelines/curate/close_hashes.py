"""Finds 64-bit hashes that differ in a few bits, without comparing all with all.

With the 64 bits cut into `bits` + 3 bands, two hashes that differ in at most `bits` bits agree in at
least three whole bands (pigeonhole). So for every three bands the hashes are sorted by those bands, and only
neighbours that agree there are compared (multi-index hashing: Norouzi, Punjani and Fleet, "Fast search in
Hamming space with multi-index hashing", CVPR 2012). Of 10 million hashes of faces this compares 2 * 10^9
pairs; with `bits` + 2 bands and two of them it would be 10^10.

Pairs are made and filtered in blocks, so that memory grows with the pairs that are kept, not with those that
are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

CHUNK = 4_000_000
"""Pairs of different hashes compared in one step; this bounds the memory."""

KEPT_CHUNK = 250_000
"""Pairs given to `Keep` in one step; it may look at hundreds of bytes of each."""

THREADS = 2
"""Bands searched in parallel."""

Band = tuple[int, int]
"""Neighbouring bits of a hash: the first, counted from the lowest, and the one after the last."""

Keep = Callable[[np.ndarray], np.ndarray]
"""From (M, 2) numbers of hashes to (M,) bool: the pairs that are wanted. It is called in threads."""


class _Groups(NamedTuple):
    """Equal hashes together."""

    values: np.ndarray  # (V,) uint64, sorted: the different hashes
    members: np.ndarray  # (N,) the numbers of the hashes, value by value
    starts: np.ndarray  # (V,) where each value's members begin
    sizes: np.ndarray  # (V,)


def near_pairs(hashes: np.ndarray, bits: int, keep: Keep | None = None) -> np.ndarray:
    """Finds all pairs of ``hashes`` (N,) uint64 that differ in at most ``bits`` (0 to 32) bits.

    Args:
        hashes: they may be equal.
        bits: the largest difference.
        keep: says which of these pairs are wanted; None: all.

    Returns:
        (M, 2) int64 numbers of hashes, the smaller number first, sorted, each pair once.
    """
    values, group, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    groups = _Groups(values, np.argsort(group, kind="stable"), np.cumsum(sizes) - sizes, sizes)
    bands = list(pairwise(np.linspace(0, 64, bits + 4).astype(int).tolist()))
    search = partial(_kept_of_bands, groups, bits, bands, keep)
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(search, range(bits + 2, 0, -1)))
    return unique_pairs(np.concatenate(found), len(hashes))


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Counts the bits in which two uint64 arrays differ, elementwise."""
    x = a ^ b
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return ((x * np.uint64(0x0101010101010101)) >> np.uint64(56)).astype(np.int64)


def unique_pairs(pairs: np.ndarray, count: int) -> np.ndarray:
    """Returns the (M, 2) ``pairs`` of numbers below ``count``, sorted, each once."""
    codes = np.unique(pairs[:, 0] * count + pairs[:, 1])
    return np.stack(np.divmod(codes, max(count, 1)), axis=1)


def _kept_of_bands(groups: _Groups, bits: int, bands: list[Band], keep: Keep | None, last: int) -> np.ndarray:
    """The wanted pairs whose values agree in the band ``last`` and two before it; with 1, of equal values."""
    if last > 1:
        blocks = _close_in_bands(groups.values, bits, bands, last)
    else:
        several = np.flatnonzero(groups.sizes > 1)
        blocks = iter([np.stack([several, several], axis=1)])
    found = [np.zeros((0, 2), dtype=np.int64)]
    for block in blocks:
        for pairs in _of_members(block, groups):
            found.append(pairs if keep is None else pairs[keep(pairs)])
    return np.concatenate(found)


def _of_members(values: np.ndarray, groups: _Groups) -> Iterator[np.ndarray]:
    """Yields the pairs of hashes, (M, 2) each, that (P, 2) pairs of values stand for."""
    first, second = values.T
    counts = groups.sizes[first] * groups.sizes[second]
    ends = np.cumsum(counts)
    for start in range(0, int(counts.sum()), KEPT_CHUNK):
        numbers = np.arange(start, min(start + KEPT_CHUNK, int(ends[-1])))
        pair = np.searchsorted(ends, numbers, side="right")
        one, two = np.divmod(numbers - (ends - counts)[pair], groups.sizes[second[pair]])
        different = (first[pair] != second[pair]) | (one < two)
        pair, one, two = pair[different], one[different], two[different]
        found = [groups.starts[side[pair]] + place for side, place in ((first, one), (second, two))]
        yield np.sort(groups.members[np.stack(found, axis=1)], axis=1)


def _close_in_bands(values: np.ndarray, bits: int, bands: list[Band], last: int) -> Iterator[np.ndarray]:
    """Yields pairs (M, 2) of close values that agree in the band ``last`` and in exactly two before it.

    So each pair comes once: with the first three bands in which it agrees.
    """
    by_last = _by_band(values, bands[last])
    for middle in range(last - 1, 0, -1):
        by_middle = _by_band(by_last, bands[middle])
        for lowest in range(middle):
            agree = _mask(bands[last]) | _mask(bands[middle]) | _mask(bands[lowest])
            others = [_mask(bands[each]) for each in range(last) if each not in (middle, lowest)]
            for first, second in _close_in_runs(_by_band(by_middle, bands[lowest]), bits, agree):
                differ = first ^ second
                new = np.ones(len(differ), dtype=bool)
                for mask in others:
                    new &= (differ & mask) != 0
                yield np.searchsorted(values, np.stack([first[new], second[new]], axis=1))


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
