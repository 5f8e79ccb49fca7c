"""Splits persons into train and val by a hash of the name.

So more photos move nobody, but for persons who are then known to look alike.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

LARGEST_GROUP = 16
"""Persons who look alike and are kept on one side. Among thousands of persons nearly everybody looks like
somebody who looks like somebody else, and without a limit all would be one group."""

Pairs = Iterable[tuple[str, str]]


def split_identities(
    identities: Iterable[str], val_fraction: float, seed: int = 0, *, joined: Pairs = (), alike: Pairs = ()
) -> dict[str, str]:
    """Assigns each person to `train` or `val`; a group of persons who belong together stays on one side.

    A group is in `val` if the hash of its first name (dataset/identity) and ``seed``, as a number in [0, 1),
    is below ``val_fraction``, unless it has more persons than `val` should have. If one side is empty then,
    and there are at least two groups, the group with the smallest hash goes to `val` (one that is not too
    large, if there is one), or the group with the largest hash to `train`. A single group is in `train`.

    Args:
        identities: the persons' names.
        val_fraction: share of the persons for `val`.
        seed: another seed, another split.
        joined: pairs of names that are never parted.
        alike: pairs of names that are not parted while their groups have at most `LARGEST_GROUP` persons; the
            first pairs go first.
    """
    known = set(identities)
    first_of = _groups(joined, alike)
    sizes = Counter(first_of.values())
    places = {name: _place(name, seed) for name in sorted(known) if first_of.get(name, name) == name}
    most = max(1.0, val_fraction * len(known))

    def fits(first: str) -> bool:
        return sizes[first] <= most

    sides = {
        first: "val" if place < val_fraction and fits(first) else "train" for first, place in places.items()
    }
    if len(sides) == 1 and val_fraction < 1:
        sides = dict.fromkeys(sides, "train")
    elif len(sides) >= 2 and 0 < val_fraction < 1:
        if "val" not in sides.values():
            sides[min(places, key=lambda first: (not fits(first), places[first], first))] = "val"
        elif "train" not in sides.values():
            sides[max(places, key=lambda first: (places[first], first))] = "train"
    sides.update({name: sides[first] for name, first in first_of.items() if name in known})
    return sides


def _groups(joined: Pairs, alike: Pairs) -> dict[str, str]:
    """By each name of a pair: the first name of its group."""
    first_of: dict[str, str] = {}
    members: dict[str, list[str]] = {}

    def join(a: str, b: str, most: int | None) -> None:
        for name in (a, b):
            if name not in first_of:
                first_of[name], members[name] = name, [name]
        keep, go = sorted((first_of[a], first_of[b]))
        if keep == go or (most is not None and len(members[keep]) + len(members[go]) > most):
            return
        moved = members.pop(go)
        members[keep] += moved
        first_of.update(dict.fromkeys(moved, keep))

    for a, b in joined:
        join(a, b, None)
    for a, b in alike:
        join(a, b, LARGEST_GROUP)
    return first_of


def _place(name: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
