"""How many photos of a person are kept, and which; and the split by person."""

from __future__ import annotations

import numpy as np
import pandas as pd

from manifests.splitting import split_identities
from pipelines.curate.decisions import Decisions
from pipelines.curate.recipe import Recipe

STAGE = "selection"


def select(decisions: Decisions, recipe: Recipe, better: np.ndarray) -> None:
    """Keeps at most `max_per_identity` photos of a person, and no person with fewer than `min_per_identity`.

    Photos are taken in turn from each bin of the person's yaws (`yaw_bin` degrees wide), the best of a bin
    first, so that the choice is spread over poses.
    """
    persons = decisions.frame["person"].to_numpy()
    if recipe.max_per_identity is not None:
        rows = np.flatnonzero(decisions.ok & (persons >= 0))
        rows = rows[np.argsort(-better[rows], kind="stable")]
        groups = pd.DataFrame({"person": persons, "bin": _yaw_bins(decisions.frame, recipe.yaw_bin)})
        turns = groups.iloc[rows].groupby(["person", "bin"], sort=False).cumcount()
        rows = rows[np.argsort(turns, kind="stable")]
        places = groups.iloc[rows].groupby("person", sort=False).cumcount().to_numpy()
        surplus = rows[places >= recipe.max_per_identity]
        decisions.drop(surplus, STAGE, f"more than {recipe.max_per_identity} of this person")
    if recipe.min_per_identity > 1:
        rows = np.flatnonzero(decisions.ok & (persons >= 0))
        counts = np.bincount(persons[rows], minlength=persons.max() + 1)
        few = rows[counts[persons[rows]] < recipe.min_per_identity]
        decisions.drop(few, STAGE, f"fewer than {recipe.min_per_identity} of this person")


def split(decisions: Decisions, names: list[str], recipe: Recipe) -> str | None:
    """Puts each person on one side; a photo of an unknown person counts as a separate person.

    ``names`` are the persons' names, by number. Returns a sentence for the user if `val` stays empty.
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


def _yaw_bins(frame: pd.DataFrame, width: float) -> np.ndarray:
    """Returns (N,) the bin of each row's yaw; 0 if it has none."""
    if "yaw" not in frame:
        return np.zeros(len(frame), dtype=np.int16)
    yaw = frame["yaw"].to_numpy(dtype=np.float32, na_value=0.0)
    return np.floor(yaw / width + 0.5).astype(np.int16)
