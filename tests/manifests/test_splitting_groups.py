"""Persons who belong together are never parted, and nobody else moves."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from manifests.splitting import LARGEST_GROUP, split_identities


def pairs_of(rng: random.Random, names: list[str], count: int) -> list[tuple[str, str]]:
    return [(first, second) for first, second in (rng.sample(names, 2) for _ in range(count))]


@pytest.mark.parametrize("seed", range(30))
def test_pairs_stay_together_and_others_do_not_move(seed: int):
    rng = random.Random(seed)
    names = [f"set/p{n}" for n in range(rng.choice([40, 200, 1000]))]
    fraction = rng.choice([0.05, 0.1, 0.3])
    joined, alike = pairs_of(rng, names, 4), pairs_of(rng, names, 4)
    before = split_identities(names, fraction, seed)
    after = split_identities(rng.sample(names, len(names)), fraction, seed, joined=joined, alike=alike)
    assert set(after) == set(names)
    assert all(after[a] == after[b] for a, b in [*joined, *alike])
    involved = {name for pair in [*joined, *alike] for name in pair}
    if sum(side == "val" for name, side in before.items() if name not in involved):
        assert all(after[name] == side for name, side in before.items() if name not in involved)
    assert set(after.values()) == {"train", "val"}


def test_a_chain_of_lookalikes_is_cut_but_one_of_joined_names_is_not():
    names = [f"set/p{n:04d}" for n in range(1000)]
    chain = list(pairwise(names))
    sides = split_identities(names, 0.1, alike=chain)
    share = sum(side == "val" for side in sides.values()) / 1000
    assert 0.01 < share < 0.25  # not everybody on one side
    parted = sum(sides[a] != sides[b] for a, b in chain)
    assert 0 < parted <= 2 * (1000 // LARGEST_GROUP)
    assert set(split_identities(names, 0.1, joined=chain).values()) == {"train"}


def test_the_most_alike_are_kept_together_first():
    names = [f"p{n:02d}" for n in range(400)]
    weak = [(a, b) for a in names[:40] for b in names[40:80]]
    strong = ("p00", "p79")
    for seed in range(20):
        sides = split_identities(names, 0.3, seed, alike=[strong, *weak])
        assert sides["p00"] == sides["p79"]


def test_a_group_that_is_too_large_for_val_leaves_val_to_others():
    for seed in range(20):
        sides = split_identities(["a", "b", "c", "d"], 0.3, seed, joined=[("a", "b"), ("b", "c")])
        assert sides == {"a": "train", "b": "train", "c": "train", "d": "val"}
    assert set(split_identities(["a", "b"], 0.5, alike=[("a", "b")]).values()) == {"train"}
