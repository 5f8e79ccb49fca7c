"""Whether a photo shows its person: scores, margins, centres, bounds and lookalikes."""

from __future__ import annotations

import numpy as np
import pytest

from manifests.schema import Bound
from pipelines.curate.identities import (
    COHORT,
    check,
    drop_outliers,
    lookalikes,
    margins,
    robust_centre,
)
from tests.pipelines.curate.test_decisions import broken, decisions


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
