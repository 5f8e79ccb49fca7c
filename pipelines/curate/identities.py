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
"""Photos of one person from which the centre is made; of more, evenly spread ones."""

ASKED = 256
"""Photos of one person that are compared with one another to find where the centre begins, likewise."""

AHEAD = 8
"""Persons whose centres are being found while the next embeddings are read."""

THREADS = 2
"""Persons whose centres, and blocks of rows whose margins, are found at once."""

COHORT = 1000
"""Persons at most that a photo is compared with beside its own; of more, evenly spread ones.

So the margin costs the same for every photo, and its bounds mean the same in datasets of all sizes: the
more strangers one looks at, the more alike is the most alike of them.
"""


class Checked(NamedTuple):
    """What the embeddings say.

    Attributes:
        scores: (N,) float32, cosine of a photo's embedding and its person's centre; NaN without either.
        centres: (P, D) float32 of length 1, the persons' centres; NaN where a person has none.
    """

    scores: np.ndarray
    centres: np.ndarray


def check(persons: np.ndarray, embeddings: Iterable[np.ndarray]) -> Checked:
    """Scores every photo against the robust centre of its person.

    Embeddings stream through in the order of the rows; those of a person are held from its first photo
    to its last, so that a dataset sorted by person needs the memory of one person only.

    Args:
        persons: (N,) number of each row's person, -1 where unknown.
        embeddings: blocks of consecutive rows, each (M, D) float32 with vectors of length 1, or NaN in rows
            that have none; D may be anything in a block without vectors.
    """
    scores = np.full(len(persons), np.nan, dtype=np.float32)
    centres = np.full((persons.max(initial=-1) + 1, 0), np.nan, dtype=np.float32)

    def compare(one: tuple[int, np.ndarray, np.ndarray]) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        person, rows, vectors = one
        centre = robust_centre(vectors)
        return person, rows, centre, vectors @ centre

    whole = _whole_persons(persons, embeddings)
    for person, rows, centre, likeness in in_order(compare, whole, THREADS, AHEAD):
        if not centres.shape[1]:
            centres = np.full((len(centres), len(centre)), np.nan, dtype=np.float32)
        centres[person], scores[rows] = centre, likeness
    return Checked(scores, centres)


def margins(persons: np.ndarray, embeddings: Iterable[np.ndarray], checked: Checked) -> np.ndarray:
    """How much more each photo is like its own person than like the most similar other one.

    Poor or turned photos are less like everybody, which the score alone takes for a stranger; the margin
    compares like with like (a cohort normalisation, as in speaker verification: Auckenthaler, Carey and
    Lloyd-Thomas, Digital Signal Processing 2000, here with the best of the cohort).

    Args:
        persons: (N,) number of each row's person, -1 where unknown.
        embeddings: as for `check`.
        checked: what `check` found.

    Returns:
        (N,) float32: score less the highest cosine with the centre of another person of the cohort; NaN
        where there is no score or no other person.
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
        found[start + rows] = scores[rows] - likeness.max(axis=1)

    for _ in in_order(fill, _with_starts(embeddings), THREADS, THREADS):
        pass  # each fills its own rows of `found`
    return found


def _whole_persons(
    persons: np.ndarray, embeddings: Iterable[np.ndarray]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The number, rows (M,) and embeddings (M, D) of each person that has any, once its last row has come."""
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
    """Each block of rows with the number of its first row."""
    start = 0
    for block in blocks:
        yield start, block
        start += len(block)


def robust_centre(embeddings: np.ndarray) -> np.ndarray:
    """The direction in which most of a person's photos lie.

    It starts from the photo that is closest to its nearest half of the others (so that strangers, as
    long as they are the minority, have no say), and is the mean of that half.

    Args:
        embeddings: (N, D), each of length 1.

    Returns:
        (D,) of length 1.
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
    """At most so many of the rows, evenly spread."""
    return rows[:: max(1, -(-len(rows) // most))]


def drop_outliers(
    decisions: Decisions, name: str, least: float | None, least_turned: float | None, turned_head: float
) -> None:
    """Drops photos that are not like their person; a photo without a score is kept.

    Embedders are trained on faces seen from the front and tell profiles apart less well, so heads turned
    by more than ``turned_head`` degrees have a bound of their own.

    Args:
        decisions: changed in place; takes the column yaw into account where there is one.
        name: the column of the score, NaN where there is none.
        least: bound for heads that face the camera; None keeps them.
        least_turned: bound for the others; None keeps them.
        turned_head: degrees of yaw.
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
    """Pairs of persons whose centres are so alike that they may be one person, with their cosine."""
    filled = np.nan_to_num(centres)
    for start in range(0, len(filled), block):
        likeness = filled[start : start + block] @ filled.T
        first, second = np.nonzero(likeness >= least)
        keep = first + start < second
        for a, b in zip((first[keep] + start).tolist(), second[keep].tolist(), strict=True):
            yield a, b, float(likeness[a - start, b])
