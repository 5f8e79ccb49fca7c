"""Splits persons into train and val by a hash of the name, so that more photos never move a person."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def split_identities(identities: Iterable[str], val_fraction: float, seed: int = 0) -> dict[str, str]:
    """Assigns each person to `train` or `val`.

    A person is in `val` if the hash of its name (dataset/identity) and ``seed``, as a number in [0, 1), is
    below ``val_fraction``. If one side is empty then, and there are at least two persons, the person with the
    smallest hash goes to `val`, or the person with the largest hash to `train`.
    """
    places = {name: _place(name, seed) for name in sorted(set(identities))}
    sides = {name: "val" if place < val_fraction else "train" for name, place in places.items()}
    if len(sides) >= 2 and 0 < val_fraction < 1:
        if "val" not in sides.values():
            sides[min(places, key=lambda name: (places[name], name))] = "val"
        elif "train" not in sides.values():
            sides[max(places, key=lambda name: (places[name], name))] = "train"
    return sides


def _place(name: str, seed: int) -> float:
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
