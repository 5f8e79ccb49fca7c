"""How many photos of a person are kept, and which; and the split by person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from manifests.splitting import LARGEST_GROUP, split_identities
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


def split(
    decisions: Decisions, names: list[str], recipe: Recipe, alike: Sequence[tuple[str, str, float]] = ()
) -> list[str]:
    """Puts each person on one side, and with it those who look like it and all frames of its clips.

    A clip of an unknown person counts as a person, as does a single photo of one.

    Args:
        decisions: changed in place; needs the columns person and sample_id, and uses film if it exists.
        names: the persons' names, by number.
        recipe: `val_fraction` and `seed`.
        alike: pairs of names of persons who look alike, and their cosine, the largest first.

    Returns:
        Sentences for the user.
    """
    units, number, joined = _units(decisions.frame, names)
    pairs = [(first, second) for first, second, _ in alike]
    sides = split_identities(units, recipe.val_fraction, recipe.seed, joined=joined, alike=pairs)
    by_number = np.array([sides[name] for name in units], dtype=object)
    decisions.split[:] = by_number[number]
    notes = []
    parted = sum(sides[first] != sides[second] for first, second in pairs)
    if parted:
        notes.append(
            f"{parted} of {len(pairs)} pairs of persons who look alike stand on both sides of the split: at "
            f"most {LARGEST_GROUP} persons are kept together, those most alike first (--set "
            f"lookalikes=NUMBER, now {recipe.lookalikes:g}, says from which likeness on)."
        )
    unknown = int((decisions.ok & (decisions.frame["person"].to_numpy() < 0)).sum())
    if "val" in sides.values():
        if unknown:
            notes.append(
                f"{unknown} photos are of unknown persons, so the same person may stand in train and val."
            )
        return [*notes, *_share_of_val(decisions, recipe.val_fraction)]
    if recipe.val_fraction == 0:
        return [*notes, "val.parquet is empty, because the recipe's val_fraction is 0."]
    why = "a split by person needs at least two persons" + (" who do not look alike." if pairs else ".")
    return [*notes, f"val.parquet is empty: {why}"]


def _share_of_val(decisions: Decisions, asked: float) -> list[str]:
    """Returns a sentence if val's share of the kept photos is over twice or under half what was asked."""
    kept = int(decisions.ok.sum())
    val = int((decisions.ok & (decisions.split == "val")).sum())
    if not kept or asked / 2 <= val / kept <= 2 * asked:
        return []
    return [
        f"val.parquet has {val} of {kept} kept photos ({val / kept:.0%}), where {asked:.0%} were asked for: "
        "a person is only ever on one side. `--set val_fraction=NUMBER` or `--set seed=NUMBER` changes it."
    ]


def _units(frame: pd.DataFrame, names: list[str]) -> tuple[list[str], np.ndarray, list[tuple[str, str]]]:
    """What is put on one side as a whole: persons, clips of unknown persons, and single photos of these.

    Returns:
        Their names; (N,) the number of each row's unit; and the pairs of units that share a clip.
    """
    persons = frame["person"].to_numpy()
    films = frame["film"].cat.codes.to_numpy() if "film" in frame else np.full(len(frame), -1)
    clips = list(frame["film"].cat.categories) if "film" in frame else []
    alone = np.flatnonzero((persons < 0) & (films < 0))
    units = [*names, *clips, *frame["sample_id"].iloc[alone].tolist()]
    number = np.where(persons >= 0, persons, len(names) + films)
    number[alone] = len(names) + len(clips) + np.arange(len(alone))
    used, number = np.unique(number, return_inverse=True)
    units = [units[place] for place in used]
    there: Any = pd.DataFrame({"film": films, "unit": number})[films >= 0].drop_duplicates()
    before = there.groupby("film")["unit"].shift()
    shared = before.notna().to_numpy()
    pairs = zip(before[shared].astype(int), there["unit"][shared], strict=True)
    return units, number, [(units[first], units[second]) for first, second in pairs]


def _yaw_bins(frame: pd.DataFrame, width: float) -> np.ndarray:
    """Returns (N,) the bin of each row's yaw; 0 if it has none."""
    if "yaw" not in frame:
        return np.zeros(len(frame), dtype=np.int16)
    yaw = frame["yaw"].to_numpy(dtype=np.float32, na_value=0.0)
    return np.floor(yaw / width + 0.5).astype(np.int16)
