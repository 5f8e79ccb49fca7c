"""Is a photo of the person whose folder it lies in?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from manifests.schema import Bound
from pipelines.curate.decisions import Decisions
from pipelines.threads import in_order

STAGE = "identity"
AT_ONCE = 1500
"""Maximum number of photos, evenly spread, from which a person's centre is made."""

ASKED = 256
"""Maximum number of photos, evenly spread, that are compared to find the start of the centre."""

AHEAD = 8
"""Persons whose centres are computed while the next embeddings are read."""

THREADS = 2
"""Threads that compute centres and margins."""

COHORT = 1000
"""Maximum number of persons, evenly spread, that a photo is compared with.

So the margin costs the same for every photo, and its bounds mean the same for datasets of all sizes: among
more persons, the most similar one is more similar.
"""

GALLERY = 20
"""Maximum number of photos of a person, evenly spread, that single photos are compared with."""

GALLERY_BYTES = 2**28
"""Memory for the photos of all persons; where there are many persons, fewer photos of each are kept."""


class Checked(NamedTuple):
    """Cosines of each photo's embedding and its person's centre, the centres, and photos of each person.

    Attributes:
        scores: (N,) float32, NaN where absent.
        centres: (P, D) float32 of length 1, NaN where absent.
        gallery: (P, K, D) float32, up to K photos of each person; absent ones are zero.
        rows: (P, K) their rows; -1 where absent.
    """

    scores: np.ndarray
    centres: np.ndarray
    gallery: np.ndarray
    rows: np.ndarray


def check(persons: np.ndarray, embeddings: Iterable[np.ndarray]) -> Checked:
    """Scores every photo against the robust centre of its person.

    The embeddings of a person are in memory from its first row to its last.

    Args:
        persons: (N,) number of each row's person, -1 where unknown.
        embeddings: blocks of consecutive rows, each (M, D) float32 with vectors of length 1, NaN in rows
            without one; D may differ in a block without vectors.
    """
    scores = np.full(len(persons), np.nan, dtype=np.float32)
    centres = np.full((persons.max(initial=-1) + 1, 0), np.nan, dtype=np.float32)
    gallery, kept = np.zeros((len(centres), 0, 0), np.float32), np.zeros((len(centres), 0), int)

    def compare(one: tuple[int, np.ndarray, np.ndarray]) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        person, rows, vectors = one
        return person, rows, vectors, robust_centre(vectors)

    whole = _whole_persons(persons, embeddings)
    for person, rows, vectors, centre in in_order(compare, whole, THREADS, AHEAD):
        if not centres.shape[1]:
            count, size = len(centres), len(centre)
            centres = np.full((count, size), np.nan, dtype=np.float32)
            most = min(GALLERY, GALLERY_BYTES // (4 * count * size))
            gallery, kept = np.zeros((count, most, size), np.float32), np.full((count, most), -1)
        centres[person], scores[rows] = centre, vectors @ centre
        some = _spread(np.arange(len(rows)), kept.shape[1]) if kept.shape[1] else rows[:0]
        gallery[person, : len(some)], kept[person, : len(some)] = vectors[some], rows[some]
    return Checked(scores, centres, gallery, kept)


def margins(persons: np.ndarray, embeddings: Iterable[np.ndarray], checked: Checked) -> np.ndarray:
    """Returns how much more similar each photo is to its own person than to the most similar other one.

    Poor or turned photos have low cosines with all persons, so their score alone looks like a stranger's. The
    margin corrects this (cohort normalisation, as in speaker verification: Auckenthaler, Carey and
    Lloyd-Thomas, Digital Signal Processing 2000; here with the best of the cohort). It is the mean of two
    differences: of the cosines with the persons' centres, and of those with their two most similar photos.
    A centre is mostly of frontal photos; a turned head has its nearest photos among the turned ones.

    Args:
        persons: as for `check`.
        embeddings: as for `check`.
        checked: the result of `check`.

    Returns:
        (N,) float32; NaN where there is no score or no other person. Where a person has no other photo, the
        difference from the centres alone.
    """
    found = np.full(len(persons), np.nan, dtype=np.float32)
    there = np.flatnonzero(~np.isnan(checked.centres).any(axis=1))
    cohort = _spread(there, COHORT)
    if len(cohort) < 2:
        return found
    others = checked.centres[cohort].T
    column = np.full(len(checked.centres), -1)
    column[cohort] = np.arange(len(cohort))

    def fill(one: tuple[int, np.ndarray]) -> None:
        start, block = one
        scores = checked.scores[start : start + len(block)]
        rows = np.flatnonzero(~np.isnan(scores))
        if not len(rows):
            return
        likeness = block[rows] @ others
        own = column[persons[start + rows]]
        likeness[own >= 0, own[own >= 0]] = -np.inf
        best = likeness.argmax(axis=1)
        from_centres = scores[rows] - likeness[np.arange(len(rows)), best]
        mine = _nearest(block[rows], start + rows, persons[start + rows], checked)
        from_photos = mine - _nearest(block[rows], start + rows, cohort[best], checked)
        found[start + rows] = np.where(np.isnan(from_photos), from_centres, (from_centres + from_photos) / 2)

    for _ in in_order(fill, _with_starts(embeddings), THREADS, THREADS):
        pass  # each fills its own rows of `found`
    return found


def _nearest(vectors: np.ndarray, rows: np.ndarray, persons: np.ndarray, checked: Checked) -> np.ndarray:
    """(M,) mean cosine of each vector (M, D) and its two most similar photos of a person, NaN without any.

    A photo (``rows``, (M,)) is not compared with itself.
    """
    found = np.full(len(vectors), np.nan, dtype=np.float32)
    if not checked.rows.shape[1]:
        return found
    for start in range(0, len(vectors), 1024):
        part = slice(start, start + 1024)
        kept = checked.rows[persons[part]]
        cosines = np.matmul(checked.gallery[persons[part]], vectors[part, :, None])[..., 0]
        cosines[(kept < 0) | (kept == rows[part, None])] = np.nan
        two = -np.sort(-cosines, axis=1)[:, :2]  # NaN comes last
        there = (~np.isnan(two)).sum(axis=1)
        found[part] = np.where(there > 0, np.nansum(two, axis=1) / np.maximum(there, 1), np.nan)
    return found


def _whole_persons(
    persons: np.ndarray, embeddings: Iterable[np.ndarray]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields number, rows (M,) and embeddings (M, D) of each person with embeddings, after its last row."""
    known = np.flatnonzero(persons >= 0)
    last = np.full(persons.max(initial=-1) + 1, -1)
    last[persons[known]] = known
    held: dict[Any, list[tuple[np.ndarray, np.ndarray]]] = {}
    for start, block in _with_starts(embeddings):
        here = persons[start : start + len(block)]
        rows = np.flatnonzero((here >= 0) & ~np.isnan(block).all(axis=1))
        for person, places in pd.Series(rows).groupby(here[rows]).indices.items():
            some = rows[places]
            held.setdefault(person, []).append((some + start, block[some]))
        for person in np.unique(here[here >= 0]).tolist():
            if last[person] < start + len(block) and person in held:
                numbers, vectors = zip(*held.pop(person), strict=True)
                yield person, np.concatenate(numbers), np.concatenate(vectors)


def _with_starts(blocks: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each block of rows with the number of its first row."""
    start = 0
    for block in blocks:
        yield start, block
        start += len(block)


def robust_centre(embeddings: np.ndarray) -> np.ndarray:
    """Returns the direction (D,), of length 1, of most of a person's ``embeddings`` (N, D), of length 1.

    It is the mean of the half nearest to the photo whose nearest half is closest, so that strangers do not
    change it while they are a minority.
    """
    some = _spread(embeddings, AT_ONCE)
    asked = _spread(some, ASKED)
    likeness: np.ndarray = asked @ asked.T
    likeness.sort(axis=1)
    nearest = likeness[:, ::-1][:, : (len(asked) + 1) // 2]
    start = asked[int(np.argmax(nearest.mean(axis=1)))]
    near = np.argsort(-(some @ start), kind="stable")[: (len(some) + 1) // 2]
    centre = some[near].mean(axis=0)
    return centre / max(float(np.linalg.norm(centre)), 1e-12)


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """Returns at most ``most`` of the rows, evenly spread."""
    return rows[:: max(1, -(-len(rows) // most))]


def drop_outliers(
    decisions: Decisions, name: str, least: float | None, least_turned: float | None, turned_head: float
) -> None:
    """Drops photos whose score ``name`` is below a bound; a photo without a score (NaN) is kept.

    Embedders are trained on frontal faces and are worse at profiles, so heads turned by more than
    ``turned_head`` degrees of yaw have another bound, ``least_turned``. A bound of None drops nothing.
    """
    scores = decisions.frame[name].to_numpy()
    turned = np.zeros(len(scores), dtype=bool)
    if "yaw" in decisions.frame:
        turned = np.abs(decisions.frame["yaw"].to_numpy(dtype=np.float32, na_value=0.0)) > turned_head
    for rows, limit, note in ((~turned, least, ""), (turned, least_turned, " (turned head)")):
        if limit is not None:
            bound = Bound(name, limit, "below")
            decisions.drop(rows & (scores < limit), STAGE, f"{name} below {limit:g}{note}", bound)


def lookalikes(centres: np.ndarray, least: float, block: int = 2048) -> Iterator[tuple[int, int, float]]:
    """Yields pairs of persons whose centres have a cosine of at least ``least``, and the cosine."""
    filled = np.nan_to_num(centres)
    for start in range(0, len(filled), block):
        likeness = filled[start : start + block] @ filled.T
        first, second = np.nonzero(likeness >= least)
        keep = first + start < second
        for a, b in zip((first[keep] + start).tolist(), second[keep].tolist(), strict=True):
            yield a, b, float(likeness[a - start, b])
