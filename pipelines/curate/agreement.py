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

FEW = 0.02
"""Share of the photos; where fewer are concerned, the run goes on and says so."""


class Strangers(NamedTuple):
    """Persons whose photos do not agree.

    Attributes:
        persons: their numbers, the one with most photos first.
        photos: how many photos they have.
        share: these photos' share of all photos with a known person.
        median: the median likeness of the first person's photos to its centre.
    """

    persons: list[int]
    photos: int
    share: float
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
    return Strangers(odd.index.tolist(), photos, photos / len(scores), float(odd["median"].iloc[0]))


def check_agreement(decisions: Decisions, names: Sequence[str], recipe: Recipe) -> list[str]:
    """Stops where the photos of "persons" do not agree; returns a sentence where these are few.

    The recipe needs a bound for outliers; without `identity_agreement` nothing is looked at.

    Raises:
        UsageError: at least `FEW` of the photos belong to such persons.
    """
    if recipe.identity_agreement is None or recipe.identity_outliers is None:
        return []
    least = recipe.identity_outliers + recipe.identity_agreement
    scores = decisions.frame["identity_score"].to_numpy(np.float32)
    rows = np.flatnonzero(decisions.ok & ~np.isnan(scores))
    found = find_strangers(decisions.frame["person"].to_numpy()[rows], scores[rows], least)
    if found is None:
        return []
    count, name = len(found.persons), names[found.persons[0]]
    said = (
        f"the faces of {name!r} do not agree with one another (median likeness {found.median:.2f}, where one "
        f"person's photos have {least:g} or more): it seems to be no single person"
    )
    if count > 1:
        said += f", as {count - 1} other" + ("s" if count > 2 else "")
    if found.share < FEW:
        return [f"{said}; most of these {found.photos} photos count as outliers."]
    raise UsageError(
        f"{said}; nothing was dropped or written for these {found.photos} photos: say who is in them with "
        "--identities none (nobody is known), a LEVEL, a PATTERN or a FILE.csv, or go on as they are with "
        "--set identity_agreement=null."
    )
