"""The split by person (splitting) and the iBUG-68 convention (landmarks)."""

from __future__ import annotations

import numpy as np
import pytest

from manifests.landmarks import EDGES, EYELID_PAIRS, INNER_LIP_PAIRS, MIRROR, interocular
from manifests.splitting import split_identities


def test_more_people_never_move_anybody():
    few = split_identities([f"p{i}" for i in range(500)], 0.1)
    many = split_identities([f"p{i}" for i in range(2000)], 0.1)
    assert all(many[name] == side for name, side in few.items())
    share = sum(side == "val" for side in many.values()) / 2000
    assert share == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("count", [2, 3, 5, 9])
@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
def test_few_people_fill_both_sides(count: int, fraction: float):
    sides = split_identities([f"set/p{i}" for i in range(count)], fraction)
    assert set(sides.values()) == {"train", "val"}


def test_one_person_and_no_val_stay_in_train():
    assert set(split_identities(["a"], 0.1).values()) == {"train"}
    assert set(split_identities([f"p{i}" for i in range(50)], 0).values()) == {"train"}


def test_a_single_person_is_trained_on_whatever_its_hash():
    for number in range(100):
        assert split_identities([f"set/p{number}"], 0.1) == {f"set/p{number}": "train"}
        pair = f"set/p{number}", f"set/q{number}"
        assert set(split_identities(pair, 0.9, joined=[pair]).values()) == {"train"}


def test_seed_changes_the_split_and_order_does_not():
    names = [f"p{i}" for i in range(300)]
    assert split_identities(names, 0.3) == split_identities(names[::-1], 0.3)
    assert split_identities(names, 0.3) != split_identities(names, 0.3, seed=1)


def test_mirror_swaps_sides_and_is_its_own_inverse():
    assert (MIRROR[MIRROR] == np.arange(68)).all()
    assert MIRROR[36] == 45
    assert MIRROR[48] == 54
    assert MIRROR[0] == 16
    assert MIRROR[60] == 64
    assert MIRROR[33] == 33
    assert MIRROR[8] == 8
    for a, b in (*EYELID_PAIRS, *INNER_LIP_PAIRS):
        pair = {int(MIRROR[a]), int(MIRROR[b])}
        assert pair in [set(each) for each in (*EYELID_PAIRS, *INNER_LIP_PAIRS)]


def test_edges_join_each_contour():
    assert len(EDGES) == 16 + 4 + 4 + 3 + 4 + 6 + 6 + 12 + 8
    assert {point for edge in EDGES for point in edge} == set(range(68))


def test_interocular_is_the_distance_of_the_outer_corners():
    points = np.zeros((2, 68, 2))
    points[:, 45] = [[3, 4], [6, 8]]
    np.testing.assert_allclose(interocular(points), [5, 10])
