"""The split of a manifest: persons who look alike and frames of a clip stand on one side."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from pipelines.curate.recipe import Recipe
from pipelines.curate.selection import split
from tests.pipelines.curate.test_decisions import decisions

RECIPE = Recipe(name="r", val_fraction=0.3)


@pytest.mark.parametrize("seed", range(10))
def test_persons_who_look_alike_stand_on_one_side(seed: int):
    recipe = RECIPE.model_copy(update={"seed": seed})
    persons = np.repeat(np.arange(60), 3)
    names = [f"set/p{n:02d}" for n in range(60)]
    alike = [(names[n], names[59 - n], 0.97) for n in range(10)]
    made = decisions(persons.tolist())
    assert split(made, names, recipe, alike) == []
    for n in range(10):
        assert len(set(made.split[(persons == n) | (persons == 59 - n)])) == 1
    assert set(made.split) == {"train", "val"}


def test_a_crowd_of_lookalikes_that_is_parted_is_said():
    names = [f"set/p{n:03d}" for n in range(300)]
    alike = [(first, second, 0.95) for first, second in pairwise(names)]
    made = decisions(list(range(300)))
    (note,) = split(made, names, RECIPE, alike)
    assert "of 299 pairs of persons who look alike stand on both sides" in note
    assert "--set lookalikes=" in note


@pytest.mark.parametrize("seed", range(10))
def test_frames_of_a_clip_stand_on_one_side_whoever_is_in_them(seed: int):
    recipe = RECIPE.model_copy(update={"seed": seed})
    clips = np.repeat(np.arange(40), 5)
    film = pd.Categorical([f"set/video{clip}.mp4" for clip in clips])
    persons = np.where(np.arange(200) % 5 < 2, clips // 4, -1)  # a person in four clips, known in some frames
    persons[clips >= 30] = -1  # clips in which nobody is known
    persons[0] = 6  # and one with two persons
    names = [f"set/p{n}" for n in range(8)]
    made = decisions(persons.tolist(), film=film)
    note, *shares = split(made, names, recipe)
    assert note.startswith(
        f"{(persons < 0).sum()} photos are of unknown persons, so the same person may stand"
    )
    assert all("were asked for: a person is only ever on one side" in each for each in shares)
    for clip in range(40):
        assert len(set(made.split[clips == clip])) == 1
    for person in range(8):
        assert len(set(made.split[persons == person])) == 1
    assert set(made.split) == {"train", "val"}


def test_clips_of_one_person_are_no_persons():
    made = decisions([0] * 6, film=pd.Categorical(["set/a.mp4"] * 3 + ["set/b.mp4"] * 3))
    (note,) = split(made, ["set/ann"], RECIPE)
    assert note == "val.parquet is empty: a split by person needs at least two persons."
    assert set(made.split) == {"train"}


@pytest.mark.parametrize(("photos", "said"), [((1, 1), "1 of 2 kept photos (50%)"), ((1, 9), None)])
def test_a_share_of_val_far_from_what_was_asked_is_said(photos: tuple[int, int], said: str | None):
    """Of two persons one is in val, however many photos there are of her."""
    recipe = Recipe(name="r", val_fraction=0.1, seed=0)
    for people in (photos, photos[::-1]):
        made = decisions(np.repeat([0, 1], people).tolist())
        notes = split(made, ["set/a", "set/b"], recipe)
        share = (made.split == "val").mean()
        if 0.05 <= share <= 0.2:
            assert notes == []
            continue
        (note,) = notes
        assert f"kept photos ({share:.0%}), where 10% were asked for" in note
        assert said is None or said in note


def test_dropped_photos_do_not_count_for_the_share_of_val():
    persons = np.repeat(np.arange(60), 3)
    made = decisions(persons.tolist())
    assert split(made, [f"set/p{n:02d}" for n in range(60)], RECIPE) == []
    made.status[made.split == "val"] = "dropped"
    (note,) = split(made, [f"set/p{n:02d}" for n in range(60)], RECIPE)
    assert note.startswith("val.parquet has 0 of ")
