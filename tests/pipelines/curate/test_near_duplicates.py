"""Near duplicates against a plain reference, and what many equal hashes cost."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from pipelines.curate.decisions import Decisions
from pipelines.curate.near_duplicates import LongHashes, drop_near
from tests.pipelines.curate.test_decisions import decisions

BITS, LONG_BITS = 2, 6
MANY = 8_000


def _some(rng: np.random.Generator, count: int) -> tuple[Decisions, np.ndarray, np.ndarray]:
    """Rows with few different hashes, so that many are equal, close, or close to what is close."""
    few = rng.integers(0, 2**63, 4, dtype=np.uint64)
    which = rng.integers(0, 4, (2, count))
    face, picture = few[which] ^ rng.integers(0, 8, (2, count)).astype(np.uint64)
    person = np.where(rng.random(count) < 0.04, 9, which[0])
    words = rng.integers(0, 2**63, (5, 8), dtype=np.uint64)[which[0] + (rng.random(count) < 0.1)]
    words = words ^ rng.integers(0, 2, (count, 8)).astype(np.uint64)
    made = decisions(
        person.tolist(),
        phash=[f"{value:016x}" for value in face],
        picture_hash=picture,
        frame=[None if each else 1 for each in rng.integers(0, 2, count)],
    )
    made.drop(rng.random(count) < 0.2, "quality", "too dark")
    return made, words, rng.integers(0, 4, count).astype(float)


_FACE, _PICTURE = slice(0, 4), slice(4, 8)


def _bits(a: np.uint64, b: np.uint64) -> int:
    return bin(int(a) ^ int(b)).count("1")


def _plain(made: Decisions, words: np.ndarray, better: np.ndarray) -> list[str]:
    """What becomes of the rows, by the rule as it is written, all compared with all."""
    frame, count = made.frame, len(made.frame)
    face, picture = frame["phash"].to_numpy(np.uint64), frame["picture_hash"].to_numpy(np.uint64)
    film = frame["frame"].notna().to_numpy()
    person, ok = frame["person"].to_numpy(), made.ok

    def close(a: int, b: int) -> bool:
        both = film[a] and film[b]
        alike = [_bits(each[a], each[b]) <= BITS for each in (face, picture)]
        short = alike[0] or (not both and alike[1])
        near = [sum(map(_bits, words[a, part], words[b, part])) <= LONG_BITS for part in (_FACE, _PICTURE)]
        return short and (near[0] or (not both and near[1]))

    near = {a: [b for b in range(count) if b != a and close(a, b)] for a in range(count)}
    crossed = {a for a in near if any(person[b] != person[a] for b in near[a])}
    kept: list[int] = []
    for row in sorted(range(count), key=lambda each: (-better[each], each)):
        if ok[row] and row not in crossed and not set(near[row]) & set(kept):
            kept.append(row)
    result = []
    for row in range(count):
        copied = "under another" if row in crossed else "kept" if row in kept else "near duplicate"
        result.append(copied if ok[row] else "before")
    return result


@pytest.mark.parametrize("seed", range(12))
def test_the_fast_search_drops_what_the_plain_rule_drops(seed: int):
    made, words, better = _some(np.random.default_rng(seed), 60)
    expected = _plain(made, words, better)
    drop_near(made, better, BITS, LONG_BITS, lambda rows: words[rows])
    told = [
        "kept"
        if status == "ok"
        else {"too dark": "before", "near duplicate": "near duplicate"}.get(reason, "under another")
        for status, reason in zip(made.status, made.reason, strict=True)
    ]
    assert told == expected
    assert set(told) == {"kept", "near duplicate", "before", "under another"}
    copies = np.flatnonzero(np.array(told) == "near duplicate")
    assert made.ok[made.duplicate_of[copies]].all()
    assert (better[made.duplicate_of[copies]] >= better[copies]).all()


def _cost(persons: list[int], long_hashes: LongHashes | None) -> tuple[Decisions, float]:
    """What becomes of rows with one short hash, and the memory that it took, MiB."""
    count = len(persons)
    made = decisions(persons, phash=["0123456789abcdef"] * count, picture_hash=np.full(count, 7, np.uint64))
    tracemalloc.start()
    drop_near(made, np.arange(count, dtype=float), 4, 44, long_hashes)
    peak = tracemalloc.get_traced_memory()[1] / 1024**2
    tracemalloc.stop()
    return made, peak


@pytest.mark.parametrize("long", [True, False])
def test_thousands_of_equal_photos_cost_no_more_than_one(long: bool):
    equal = (lambda rows: np.zeros((len(rows), 8), np.uint64)) if long else None
    made, peak = _cost([0] * MANY, equal)
    assert made.ok.sum() == 1
    assert made.ok[-1]
    assert (made.duplicate_of[:-1] == MANY - 1).all()
    assert peak < 50
    made, peak = _cost([0] * (MANY - 1) + [1], equal)
    assert not made.ok.any()
    assert set(made.reason) == {"near duplicate under another identity"}
    assert peak < 50


def test_thousands_of_photos_that_share_only_the_short_hash_are_compared_in_blocks():
    words = np.random.default_rng(0).integers(0, 2**63, (MANY // 2, 8), dtype=np.uint64)
    made, peak = _cost([0] * len(words), lambda rows: words[rows])
    assert made.ok.all()
    assert peak < 300  # all 8 million pairs at once take 1,400
