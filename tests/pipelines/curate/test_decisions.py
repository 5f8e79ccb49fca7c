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
from pipelines.curate.identities import (
    COHORT,
    check,
    drop_outliers,
    lookalikes,
    margins,
    robust_centre,
)
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


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_strangers_in_a_folder_score_low_however_the_rows_are_ordered():
    rng = np.random.default_rng(3)
    people = unit(rng.normal(size=(6, 32)))
    persons = np.repeat(np.arange(6), 20)
    true = persons.copy()
    true[::5] = (true[::5] + 1) % 6
    vectors = unit(people[true] + 0.1 * rng.normal(size=(120, 32)))
    for order in (np.arange(120), rng.permutation(120)):
        scores = check(persons[order], np.split(vectors[order].astype(np.float32), [30, 31])).scores
        made = decisions(persons[order].tolist(), identity_score=scores)
        drop_outliers(made, "identity_score", 0.6, None, 30)
        assert ((made.status == "dropped") == (true[order] != persons[order])).all()


def test_rows_without_embedding_or_person_have_no_score():
    vectors = unit(np.random.default_rng(0).normal(size=(3, 8)))
    vectors[2] = np.nan
    scores, centres, *_ = check(np.array([0, -1, 0, 1]), [vectors, np.full((1, 1), np.nan)])
    assert np.isnan(scores).tolist() == [False, True, True, True]
    assert np.isnan(centres[1]).all()
    made = decisions([0, -1, 0, 1], identity_score=scores)
    drop_outliers(made, "identity_score", 0.99, 0.99, 30)
    assert made.ok.all()


def test_turned_heads_have_a_bound_of_their_own():
    made = decisions([0] * 4, yaw=[0.0, 10.0, -50.0, 60.0], identity_score=[0.95, 0.85, 0.85, 0.7])
    drop_outliers(made, "identity_score", 0.9, 0.8, 30)
    assert made.status.tolist() == ["ok", "dropped", "ok", "dropped"]
    assert made.reason[3] == "identity_score below 0.8 (turned head)"
    face, turned = Bound("identity_score", 0.9, "below"), Bound("identity_score", 0.8, "below")
    assert broken(made) == [None, face, None, turned]
    few = decisions([0] * 4, yaw=[0.0, 10.0, -50.0, 60.0], identity_score=[0.95, 0.85, 0.85, 0.7])
    drop_outliers(few, "identity_score", 0.9, 0.8, turned_head=55)
    assert few.status.tolist() == ["ok", "dropped", "dropped", "dropped"]


def nearest_two(vectors: np.ndarray, persons: np.ndarray, row: int, person: int) -> float:
    """The plain reference: mean cosine with the two most similar other photos of a person."""
    theirs = [i for i in np.flatnonzero(persons == person) if i != row and not np.isnan(vectors[i, 0])]
    return float(np.mean(sorted(vectors[theirs] @ vectors[row])[-2:])) if theirs else np.nan


def test_margins_are_those_of_comparing_with_every_other_person():
    rng = np.random.default_rng(5)
    persons = rng.integers(-1, 7, 90)
    vectors = unit(rng.normal(size=(90, 16))).astype(np.float32)
    vectors[::11] = np.nan
    checked = check(persons, [vectors])
    found = margins(persons, np.split(vectors, [17, 40]), checked)
    for row, person in enumerate(persons):
        if person < 0 or np.isnan(vectors[row, 0]):
            assert np.isnan(found[row])
            continue
        likeness = checked.centres @ vectors[row]
        best = int(np.where(np.arange(7) == person, -1, likeness).argmax())
        photos = nearest_two(vectors, persons, row, person) - nearest_two(vectors, persons, row, best)
        assert found[row] == pytest.approx((likeness[person] - likeness[best] + photos) / 2, abs=1e-6)
    few = checked._replace(gallery=checked.gallery[:, :0], rows=checked.rows[:, :0])  # too many persons
    row = int(np.flatnonzero(~np.isnan(found))[0])
    others = np.delete(checked.centres, persons[row], axis=0) @ vectors[row]
    expected = checked.centres[persons[row]] @ vectors[row] - others.max()
    assert margins(persons, [vectors], few)[row] == pytest.approx(expected, abs=1e-6)


def test_a_turned_head_is_told_from_strangers_by_its_persons_turned_heads():
    """Turned heads of different persons are alike, and far from the centres, which are of frontal photos."""
    rng = np.random.default_rng(8)
    front, side = unit(rng.normal(size=(2, 30, 64)))
    turn = unit(rng.normal(size=(1, 64)))
    persons = np.tile(np.repeat(np.arange(30), 7), 1)
    turned = np.tile(np.arange(7) >= 4, 30)
    true = persons.copy()
    true[4::14] = (true[4::14] + 1) % 30  # of every other person one turned head is a stranger's
    own = np.where(turned[:, None], 0.4 * front[true] + 0.7 * side[true] + turn, front[true])
    vectors = unit(own + 0.03 * rng.normal(size=own.shape)).astype(np.float32)
    checked = check(persons, [vectors])
    found = margins(persons, [vectors], checked)
    assert found[turned & (true == persons)].min() > found[true != persons].max()
    by_centres = margins(persons, [vectors], checked._replace(rows=checked.rows[:, :0]))
    assert by_centres[turned & (true == persons)].min() < by_centres[true != persons].max() + 0.1


def test_few_photos_of_many_persons_are_kept(monkeypatch: pytest.MonkeyPatch):
    persons = np.repeat(np.arange(3), 50)
    vectors = unit(np.random.default_rng(1).normal(size=(150, 8))).astype(np.float32)
    checked = check(persons, [vectors])
    assert (checked.rows >= 0).sum(axis=1).tolist() == [17, 17, 17]  # every third of 50
    np.testing.assert_array_equal(
        checked.gallery[checked.rows >= 0], vectors[checked.rows[checked.rows >= 0]]
    )
    monkeypatch.setattr("pipelines.curate.identities.GALLERY_BYTES", 3 * 8 * 4 * 5)
    assert check(persons, [vectors]).gallery.shape == (3, 5, 8)


def test_margins_need_another_person_and_look_at_no_more_than_the_cohort():
    vectors = unit(np.random.default_rng(6).normal(size=(2 * COHORT, 8))).astype(np.float32)
    alone = np.zeros(len(vectors), dtype=np.int64)
    assert np.isnan(margins(alone, [vectors], check(alone, [vectors]))).all()
    persons = np.arange(len(vectors))
    checked = check(persons, [vectors])
    cohort = vectors[persons % 2 == 0]
    expected = 1 - np.where(persons[:, None] == persons[persons % 2 == 0], -1, vectors @ cohort.T).max(axis=1)
    np.testing.assert_allclose(margins(persons, [vectors], checked), expected, atol=1e-6)


def test_a_photo_nearer_to_another_person_is_dropped_though_its_score_is_good():
    margin = [0.1, -0.04, -0.04, -0.06]
    made = decisions([0] * 4, yaw=[0.0, 0.0, 50.0, -50.0], identity_margin=margin)
    drop_outliers(made, "identity_margin", -0.03, -0.05, 30)
    assert made.status.tolist() == ["ok", "dropped", "ok", "dropped"]
    assert made.reason[1] == "identity_margin below -0.03"
    front, turned = Bound("identity_margin", -0.03, "below"), Bound("identity_margin", -0.05, "below")
    assert broken(made) == [None, front, None, turned]


def test_robust_centre_of_many_photos_uses_an_even_share():
    rng = np.random.default_rng(1)
    person, stranger = unit(rng.normal(size=(2, 16)))
    vectors = unit(
        np.where(np.arange(4000)[:, None] % 10 < 7, person, stranger) + 0.05 * rng.normal(size=(4000, 16))
    )
    assert robust_centre(vectors) @ person > 0.99


def test_lookalikes_are_listed_once():
    centres = unit(np.array([[1.0, 0, 0], [1, 0.1, 0], [0, 1, 0], [np.nan] * 3]))
    assert [(a, b) for a, b, _ in lookalikes(centres, 0.9, block=2)] == [(0, 1)]


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
