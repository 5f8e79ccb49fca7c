"""Whose faces stand side by side: persons who look alike, and photos that do not look like their person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.share.report.counts import Survey
from pipelines.share.report.listing import Listing
from pipelines.share.report.sampling import Pick

PAIRS = 12
"""Pairs of persons, and outliers, whose faces are inside the page; for more it opens the photos' files."""

STAGE = "identity"
"""The stage whose drops are outliers."""

SURE = 100
"""Pairs whose persons are listed whole in any case."""


def compared_faces(
    listing: Listing, found: Survey, pairs: Sequence[Any]
) -> tuple[list[Pick], dict[int, list[int]]]:
    """Chooses the faces that the page shows first where it compares persons.

    Returns:
        their rows, and the places in the list of each person's faces, see `Listing.best_faces`.
    """
    groups = list(found.groups)
    kept = np.array([group.status == "ok" for group in groups], dtype=bool)[listing.groups]
    best = listing.best_faces(kept)
    numbers = {name: number for number, name in enumerate(listing.names)}
    persons = [numbers[name] for pair in pairs[:PAIRS] for name in pair[:2] if name in numbers]
    outliers = _outliers(listing, np.array([_is_outlier(group) for group in groups], dtype=bool))[:PAIRS]
    persons += [int(listing.persons[place]) for place in outliers]
    places = [*outliers, *(place for person in persons for place in best.get(person, []))]
    return [listing.picks[place] for place in dict.fromkeys(places)], best


def _is_outlier(group: Any) -> bool:
    return group.status == "dropped" and group.stage == STAGE


def _outliers(listing: Listing, of_group: np.ndarray) -> list[int]:
    """Returns the places of the outliers, the least alike first, as the page lists them."""
    places = np.flatnonzero(of_group[listing.groups] & (listing.persons >= 0))
    scores = listing.scores.get("identity_score", np.full(len(listing.ids), np.nan))
    return places[np.argsort(np.nan_to_num(scores[places], nan=np.inf), kind="stable")].tolist()
