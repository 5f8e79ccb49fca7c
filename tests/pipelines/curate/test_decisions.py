"""Decisions about the dataset as a whole.

thresholds, duplicates, near_duplicates, identities, selection, decisions and recipe.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from manifests.errors import UsageError
from manifests.schema import Bound
from pipelines.curate.close_hashes import hamming, near_pairs
from pipelines.curate.decisions import Decisions
from pipelines.curate.duplicates import drop_exact
from pipelines.curate.near_duplicates import drop_near
from pipelines.curate.recipe import FOLDER, Recipe, load_recipe
from pipelines.curate.scores import number_rows
from pipelines.curate.selection import select, split
from pipelines.curate.thresholds import apply_thresholds


def decisions(persons: list[int], **columns: object) -> Decisions:
    frame = pd.DataFrame({"person": np.array(persons), **columns})
    if "phash" in frame:
        frame["phash"] = pd.array([int(digits, 16) for digits in frame["phash"]], dtype="UInt64")
    frame["sample_id"] = [f"s/{i}" for i in range(len(frame))]
    frame["status"], frame["stage"], frame["reason"] = "ok", None, None
    return Decisions.begin(frame)


def broken(made: Decisions) -> list[Bound | None]:
    """The bound that dropped each row."""
    return [None if code < 0 else made.bounds[code] for code in made.bound]


def test_thresholds_keep_what_is_inside_and_what_has_no_score():
    made = decisions([0] * 4, face_size=[100.0, 50.0, np.nan, 64.0], faces=[1, 1, None, 3])
    apply_thresholds(made, Recipe(name="r", min_face_size=64, max_faces=2))
    assert made.status.tolist() == ["ok", "dropped", "ok", "dropped"]
    assert made.reason.tolist()[1] == "face_size below 64"
    assert made.stage.tolist()[3] == "detect"
    assert broken(made) == [None, Bound("face_size", 64.0, "below"), None, Bound("faces", 2.0, "above")]


def test_a_row_keeps_the_first_bound_that_it_breaks_and_yaw_has_one_on_either_side():
    made = decisions(
        [0] * 5, landmark_spread=[0.06, 0.06, 0.01, 0.01, None], yaw=[0.0, 80.0, 80.0, -75.5, None]
    )
    apply_thresholds(made, Recipe(name="r", max_landmark_spread=0.053, max_abs_yaw=75.0))
    spread, left, right = (
        Bound("landmark_spread", 0.053, "above"),
        Bound("yaw", -75.0, "below"),
        Bound("yaw", 75.0, "above"),
    )
    assert broken(made) == [spread, spread, right, left, None]
    yaw = "|yaw| above 75"
    assert made.reason.tolist() == [*["landmark_spread above 0.053"] * 2, yaw, yaw, None]


def test_exact_duplicates_keep_the_best_of_a_person_and_none_across_persons():
    made = decisions([0, 0, 0, 1, 1, 2], content_hash=["a", "a", "a", "b", "c", "b"])
    drop_exact(made, np.array([1.0, 3.0, 2.0, 1, 1, 1]))
    assert made.status.tolist() == ["dropped", "ok", "dropped", "dropped", "ok", "dropped"]
    assert made.reason[0] == "exact duplicate"
    assert made.reason[3] == made.reason[5] == "exact duplicate under another identity"
    assert made.duplicate_of[[0, 2]].tolist() == [1, 1]
    assert broken(made) == [None] * 6  # no score is at fault


@pytest.mark.parametrize("values", [1, 2, 40])
def test_hashes_of_files_get_the_same_number_where_all_of_their_words_agree(values: int):
    words = np.random.default_rng(values).integers(0, values, (200, 2)).astype(np.uint64)
    numbers = number_rows(words)
    same = (words[:, None] == words[None]).all(axis=2)
    np.testing.assert_array_equal(numbers[:, None] == numbers[None], same)


def test_hamming_counts_bits():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2**63, (2, 500), dtype=np.uint64)
    assert hamming(a, b).tolist() == [bin(int(x) ^ int(y)).count("1") for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("bits", [0, 1, 4, 7])
def test_near_pairs_are_those_of_comparing_all_with_all(bits: int):
    rng = np.random.default_rng(bits)
    hashes = rng.integers(0, 2**63, 200, dtype=np.uint64)
    flips = np.array([sum(1 << int(b) for b in rng.choice(64, k, replace=False)) for k in range(10)] * 20)
    hashes = np.concatenate([hashes, hashes ^ flips.astype(np.uint64), hashes[:20]])
    distance = hamming(hashes[:, None] + np.uint64(0), hashes[None])
    expected = np.argwhere(np.triu(distance <= bits, 1))
    found = near_pairs(hashes, bits)
    assert len(expected) > 0
    np.testing.assert_array_equal(found, expected)


def test_near_duplicates_keep_the_best_and_flag_both_across_persons():
    hashes = [0, 0b1, 0b11, 0xFF00FF00FF00FF00, 0xFF00FF00FF00FF01, 0x0F0F0F0F0F0F0F0F]
    made = decisions([0, 0, 0, 1, 2, 2], phash=[f"{value:016x}" for value in hashes])
    drop_near(made, np.array([1.0, 3, 2, 1, 1, 1]), bits=1)
    assert made.status.tolist() == ["dropped", "ok", "dropped", "dropped", "dropped", "ok"]
    assert made.reason[3] == made.reason[4] == "near duplicate under another identity"
    assert made.duplicate_of[:3].tolist() == [1, -1, 1]


def test_the_picture_finds_what_the_face_missed_and_the_long_hashes_have_the_last_word():
    faces = ["0000000000000000", "00000000ffffffff", "ffffffff00000000", "ffffffff00000001"]
    made = decisions([0, 1, 2, 3], phash=faces, picture_hash=np.array([7, 7, 1 << 40, 1 << 60], np.uint64))

    def long_hashes(rows: np.ndarray) -> np.ndarray:  # row 2 and 3 only look alike in the short hash
        return np.repeat((rows == 3).astype(np.uint64) * np.uint64(2**63 - 1), 8).reshape(-1, 8)

    generous = decisions([0, 1, 2, 3], phash=faces, picture_hash=made.frame["picture_hash"].to_numpy())
    drop_near(generous, np.ones(4), bits=1, long_bits=252, long_hashes=long_hashes)
    assert not generous.ok.any()
    drop_near(made, np.ones(4), bits=1, long_hashes=long_hashes)
    assert made.status.tolist() == ["dropped", "dropped", "ok", "ok"]
    assert made.reason[0] == "near duplicate under another identity"
    film = decisions([0, 0], phash=faces[:2], picture_hash=np.array([7, 7], np.uint64), frame=[0, 25])
    drop_near(film, np.ones(2), bits=1, long_hashes=lambda rows: np.zeros((len(rows), 8), np.uint64))
    assert film.ok.all()  # the same studio behind another expression


def test_a_dropped_copy_tells_of_a_wrong_name_but_is_not_kept_in_place_of_another():
    made = decisions([0, 1, 2, 2], content_hash=["a", "b", "c", "c"], phash=["0" * 16, "0" * 16, *"ab"])
    made.drop(np.array([0, 2]), "consistency", "landmark_shift_error above 0.1")
    better = np.array([1.0, 1, 9, 1])
    drop_exact(made, better)
    drop_near(made, better, bits=0)
    assert made.status.tolist() == ["dropped", "dropped", "dropped", "ok"]
    assert made.reason[:2].tolist() == [
        "landmark_shift_error above 0.1",
        "near duplicate under another identity",
    ]


def test_a_row_with_a_copy_under_another_name_takes_no_place_from_its_person():
    made = decisions([0, 0, 1], phash=["0000000000000000", "0000000000000001", "8000000000000000"])
    drop_near(made, np.array([2.0, 1, 1]), bits=1)  # the first is close to both others, they are not
    assert made.status.tolist() == ["dropped", "ok", "dropped"]
    assert made.reason[0] == made.reason[2] == "near duplicate under another identity"
    assert made.duplicate_of.tolist() == [2, -1, 0]


def test_near_duplicates_do_not_chain():
    made = decisions([0] * 3, phash=["0000000000000000", "0000000000000003", "000000000000000f"])
    drop_near(made, np.array([3.0, 2, 1]), bits=2)
    assert made.status.tolist() == ["ok", "dropped", "ok"]


def test_selection_spreads_over_poses_and_takes_the_best_of_each():
    yaw = [0.0] * 10 + [40.0, -40.0]
    made = decisions([0] * 12, yaw=yaw)
    select(made, Recipe(name="r", max_per_identity=4), np.arange(12.0))
    kept = np.flatnonzero(made.ok).tolist()
    assert kept == [8, 9, 10, 11]
    assert made.reason[0] == "more than 4 of this person"
    one_bin = decisions([0] * 12, yaw=yaw)
    select(one_bin, Recipe(name="r", max_per_identity=2, yaw_bin=180), np.arange(12.0)[::-1])
    assert np.flatnonzero(one_bin.ok).tolist() == [0, 1]


def test_selection_leaves_out_people_with_few_photos_and_spares_unknown_ones():
    made = decisions([0, 0, 1, -1], yaw=[0.0] * 4)
    select(made, Recipe(name="r", min_per_identity=2), np.ones(4))
    assert made.status.tolist() == ["ok", "ok", "dropped", "ok"]


def test_split_never_parts_a_person():
    persons = np.repeat(np.arange(40), 5).tolist() + [-1] * 10
    made = decisions(persons)
    names = [f"set/p{i}" for i in range(40)]
    (note,) = split(made, names, Recipe(name="r", val_fraction=0.3))
    assert note.startswith("10 photos are of unknown persons")
    for person in range(40):
        assert len(set(made.split[np.array(persons) == person])) == 1
    assert set(made.split) == {"train", "val"}


def test_split_of_one_person_says_why_val_is_empty():
    made = decisions([0, 0])
    (note,) = split(made, ["set/a"], Recipe(name="r"))
    assert "at least two persons." in note


@pytest.mark.parametrize(("both", "dropped"), [(False, [1, 2, 3, 4]), (True, [2, 3])])
def test_a_slip_in_one_shifted_box_is_spared_where_the_recipe_says_so(both: bool, dropped: list[int]):
    made = decisions(
        [0] * 6,
        landmark_shift_error=[0.05, 0.2, 0.2, 0.2, 0.2, None],
        landmark_shift_back=[0.9, 0.02, 0.11, None, 0.1, None],
    )
    apply_thresholds(made, Recipe(name="r", max_landmark_shift_error=0.1, shift_both_ways=both))
    assert np.flatnonzero(~made.ok).tolist() == dropped
    assert set(made.reason[dropped]) == {"landmark_shift_error above 0.1"}


def test_shipped_recipes_are_valid_and_differ():
    recipes = [load_recipe(path.stem) for path in sorted(FOLDER.glob("*.yaml"))]
    assert [recipe.name for recipe in recipes] == ["deca-paper", "keep-all", "strict"]
    assert load_recipe("deca-paper").max_landmark_shift_error == 0.1
    assert load_recipe("keep-all").stages() == {"detect", "landmarks"}
    assert load_recipe("strict").stages() >= {"quality", "consistency", "masks"}


def test_recipe_errors_name_the_setting(tmp_path: Path):
    with pytest.raises(UsageError, match="choose deca-paper, keep-all, strict"):
        load_recipe("none")
    with pytest.raises(UsageError, match="no setting min_size; similar: min_face_size"):
        load_recipe("strict", {"min_size": 3})
    with pytest.raises(UsageError, match="val_fraction = 2: input should be less than 1"):
        load_recipe("strict", {"val_fraction": 2})
    path = tmp_path / "mine.yaml"
    path.write_text("min_face_size: 10\nmin_face_size: 20\n")
    with pytest.raises(UsageError, match=r'line 2: .*duplicate key "min_face_size"'):
        load_recipe(str(path))
    path.write_text("min_face_size: 10\n")
    assert load_recipe(str(path)).name == "mine"


def test_a_large_opposite_shift_drops_where_the_first_shift_is_small():
    made = decisions([0] * 3, landmark_shift_error=[0.05, 0.05, 0.02], landmark_shift_back=[0.4, 0.2, None])
    apply_thresholds(made, load_recipe("deca-paper"))
    assert broken(made) == [Bound("landmark_shift_back", 0.3, "above"), None, None]
    assert made.reason.tolist() == ["landmark_shift_back above 0.3", None, None]
