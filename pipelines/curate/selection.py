"""How many photos of a person are kept, and which; and the split by person."""

from __future__ import annotations

import numpy as np

from manifests.splitting import split_identities
from pipelines.curate.decisions import Decisions
from pipelines.curate.recipe import Recipe

STAGE = "selection"


def select(decisions: Decisions, recipe: Recipe, better: np.ndarray) -> None:
    """Keeps at most `max_per_identity` photos of a person, and nobody with fewer than `min_per_identity`.

    Photos are taken in turn from each bin of the person's yaws (`yaw_bin` degrees wide), the best of a bin
    first, until the number is reached; so the choice is spread over poses. Which photos a person has decides
    nothing for others.
    """
    persons = decisions.frame["person"].to_numpy()
    if recipe.max_per_identity is not None:
        rows = np.flatnonzero(decisions.ok & (persons >= 0))
        rows = rows[np.argsort(-better[rows], kind="stable")]
        numbers = _short(persons[rows])
        order = np.lexsort((_short(_turns(decisions, rows, numbers, recipe.yaw_bin)), numbers))
        place = _place_in_group(numbers[order])
        surplus = rows[order][place >= recipe.max_per_identity]
        decisions.drop(surplus, STAGE, f"more than {recipe.max_per_identity} of this person")
    if recipe.min_per_identity > 1:
        rows = np.flatnonzero(decisions.ok & (persons >= 0))
        counts = np.bincount(persons[rows], minlength=persons.max() + 1)
        few = rows[counts[persons[rows]] < recipe.min_per_identity]
        decisions.drop(few, STAGE, f"fewer than {recipe.min_per_identity} of this person")


def split(decisions: Decisions, names: list[str], recipe: Recipe) -> str | None:
    """Puts each person on one side; a photo of nobody known counts as a person of its own.

    Args:
        decisions: changed in place.
        names: name of each person, by number.
        recipe: share and seed.

    Returns:
        A sentence for the user where `val` stays empty, else None.
    """
    persons = decisions.frame["person"].to_numpy()
    alone = np.flatnonzero(persons < 0)
    lone_names = decisions.frame["sample_id"].iloc[alone].tolist()
    sides = split_identities([*names, *lone_names], recipe.val_fraction, recipe.seed)
    by_number = np.array([sides[name] for name in names], dtype=object)
    known = persons >= 0
    decisions.split[known] = by_number[persons[known]]
    decisions.split[alone] = [sides[name] for name in lone_names]
    if "val" in sides.values():
        return None
    if recipe.val_fraction == 0:
        return "val.parquet is empty, because the recipe's val_fraction is 0."
    return "val.parquet is empty: a split by person needs at least two persons."


def _turns(decisions: Decisions, rows: np.ndarray, persons: np.ndarray, width: float) -> np.ndarray:
    """The turn in which each of ``rows``, best first, would be taken: its place in its person's yaw bin."""
    if "yaw" not in decisions.frame:
        return np.zeros(len(rows), dtype=np.int64)
    yaw = decisions.frame["yaw"].to_numpy(dtype=np.float32, na_value=0.0)[rows]
    bins = np.floor(yaw / width + 0.5).astype(np.int16)
    order = np.lexsort((bins, persons))
    turns = np.empty(len(rows), dtype=np.int64)
    turns[order] = _place_in_group(persons[order].astype(np.int64) * 1024 + bins[order])
    return turns


def _short(numbers: np.ndarray) -> np.ndarray:
    """Numbers from 0 in the shortest type: those of 16 bits are sorted by counting, ten times faster."""
    return numbers.astype(np.min_scalar_type(numbers.max(initial=0)))


def _place_in_group(groups: np.ndarray) -> np.ndarray:
    """0, 1, 2, ... within each run of equal values."""
    if not len(groups):
        return np.zeros(0, dtype=np.int64)
    first = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    lengths = np.diff(np.r_[first, len(groups)])
    return np.arange(len(groups)) - np.repeat(first, lengths)
