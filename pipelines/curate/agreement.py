"""Do the faces of one "person" agree with one another, or are they strangers in one folder?

A folder of strangers (a batch, a split, a range of numbers) that counts as a person would lose half of its
photos as outliers, and the rest would train as one person. So this is looked at before outliers are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from manifests.errors import UsageError
from pipelines.curate.decisions import Decisions
from pipelines.curate.recipe import Recipe

FEWEST = 6
"""Photos from which on a person is looked at.

Of CFP's persons, by dlib's vectors, none has a median likeness below 0.93, nor has one where a tenth of all
photos is moved to other persons; where a fifth is moved, 2 in 1,000 have. Of 6 strangers in a folder 9 in 10
folders have, of 20 strangers 996 in 1,000."""

MOST = 2 / 3
"""Share of the outer photos of all small folders of a dataset that may lie below the bound; see `find_small`.

Of CFP's persons with 2, 3, 4 and 5 photos, four in fourteen of them profiles, 30, 24, 20 and 20 in 100 do (of
frontal photos, 8, 4, 3 and 2); of strangers, 998 or more in 1,000."""

FEWEST_OUTER = 5
"""Outer photos from which on small folders are looked at together."""

FEW = 0.02
"""Share of the photos; where fewer are concerned, the run goes on and says so."""


class Strangers(NamedTuple):
    """Persons whose photos do not agree.

    Attributes:
        persons: their numbers, the one with most photos first.
        photos: how many photos they have.
        median: the median likeness of the first person's photos to its centre.
    """

    persons: list[int]
    photos: int
    median: float


def find_strangers(persons: np.ndarray, scores: np.ndarray, least: float) -> Strangers | None:
    """Finds persons whose photos have a median likeness below ``least``; None if there are none.

    Args:
        persons: (N,) number of each photo's person.
        scores: (N,) likeness of each photo to its person's centre.
        least: the bound.
    """
    by_person: Any = pd.Series(scores).groupby(persons).agg(["size", "median"])
    odd = by_person[(by_person["size"] >= FEWEST) & (by_person["median"] < least)]
    odd = odd.sort_values("size", ascending=False, kind="stable")
    if not len(odd):
        return None
    photos = int(odd["size"].sum())
    return Strangers(odd.index.tolist(), photos, float(odd["median"].iloc[0]))


class Small(NamedTuple):
    """Small folders of one dataset whose photos do not agree.

    Attributes:
        persons: their numbers.
        photos: how many photos they have.
        outer: how many of these are outer photos.
        below: how many outer photos lie below the bound.
    """

    persons: list[int]
    photos: int
    outer: int
    below: int


def find_small(persons: np.ndarray, scores: np.ndarray, datasets: np.ndarray, least: float) -> list[Small]:
    """Finds datasets whose persons of 2 to `FEWEST` - 1 photos seem to be strangers, taken together.

    The centre of so few photos is the mean of one to three of them, which are therefore like it, whoever is
    in them. So the others are looked at, the outer photos: the less similar half, without the middle one.

    Args:
        persons: (N,) number of each photo's person.
        scores: (N,) likeness of each photo to its person's centre.
        datasets: (P,) the dataset of each person.
        least: the bound.
    """
    order = np.lexsort((scores, persons))
    persons, scores = persons[order], scores[order]
    _, starts, place, sizes = np.unique(persons, return_index=True, return_inverse=True, return_counts=True)
    small = (sizes[place] > 1) & (sizes[place] < FEWEST)
    outer = small & (np.arange(len(persons)) - starts[place] < sizes[place] // 2)
    of = datasets[persons]
    found = []
    for dataset in np.unique(of[outer]):
        here = of == dataset
        count, below = int((outer & here).sum()), int((outer & here & (scores < least)).sum())
        if count >= FEWEST_OUTER and below > MOST * count:
            members = np.unique(persons[small & here]).tolist()
            found.append(Small(members, int((small & here).sum()), count, below))
    return found


def check_agreement(decisions: Decisions, names: Sequence[str], recipe: Recipe) -> list[str]:
    """Stops where the photos of "persons" do not agree; returns sentences where these are few.

    The recipe needs a bound for outliers; without `identity_agreement` nothing is looked at.

    Raises:
        UsageError: at least `FEW` of the photos belong to such persons.
    """
    if recipe.identity_agreement is None or recipe.identity_outliers is None:
        return []
    least = recipe.identity_outliers + recipe.identity_agreement
    scores = decisions.frame["identity_score"].to_numpy(np.float32)
    rows = np.flatnonzero(decisions.ok & ~np.isnan(scores))
    persons, scores = decisions.frame["person"].to_numpy()[rows], scores[rows]
    notes = []
    found = find_strangers(persons, scores, least)
    if found is not None:
        notes.append(_decide(_said(found, names, least), found.photos, len(rows)))
    datasets = np.array([name.partition("/")[0] for name in names])
    for each in find_small(persons, scores, datasets, least):
        notes.append(_decide(_said_of_small(each, names, least), each.photos, len(rows)))
    return notes


def _decide(said: str, photos: int, total: int) -> str:
    """Returns what is said of few photos, and stops the build where they are many."""
    if photos < FEW * total:
        return f"{said}; most of these {photos} photos count as outliers."
    raise UsageError(
        f"{said}; nothing was dropped or written for these {photos} photos: say who is in them with "
        "--identities none (nobody is known), a LEVEL, a PATTERN or a FILE.csv, or go on as they are with "
        "--set identity_agreement=null."
    )


def _said(found: Strangers, names: Sequence[str], least: float) -> str:
    count, name = len(found.persons), names[found.persons[0]]
    said = (
        f"the faces of {name!r} do not agree with one another (median likeness {found.median:.2f}, where one "
        f"person's photos have {least:g} or more): it seems to be no single person"
    )
    if count > 1:
        said += f", as {count - 1} other" + ("s" if count > 2 else "")
    return said


def _said_of_small(found: Small, names: Sequence[str], least: float) -> str:
    count, name = len(found.persons), names[found.persons[0]]
    others = f" and of {count - 1} others with 2 to {FEWEST - 1} photos" if count > 1 else ""
    return (
        f"the faces of {name!r}{others} do not agree with one another ({found.below} of the {found.outer} "
        f"less similar photos have a likeness below {least:g}): they seem to be no single persons"
    )
