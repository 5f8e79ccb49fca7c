"""A folder of strangers that counts as a person stops the build before its photos are dropped."""

from __future__ import annotations

import numpy as np
import pytest

from manifests.errors import UsageError
from pipelines.curate.agreement import FEWEST, check_agreement, find_strangers
from pipelines.curate.build import decide
from pipelines.curate.identities import check
from pipelines.curate.recipe import Recipe, load_recipe
from tests.pipelines.curate.test_decisions import decisions
from tests.pipelines.curate.test_identity_decisions import unit

RECIPE = Recipe(name="r", exact_duplicates=False, identity_outliers=0.9, identity_agreement=0.03)


def vectors(rng: np.random.Generator, of: np.ndarray) -> np.ndarray:
    """Vectors as dlib's of persons ``of``: those of a person have cosines of about 0.95, others of 0.83."""
    shared = unit(rng.normal(size=(1, 128)))
    people = unit(shared + 0.45 * unit(rng.normal(size=(of.max() + 1, 128))))
    return unit(people[of] + 0.25 * unit(rng.normal(size=(len(of), 128)))).astype(np.float32)


def scored(persons: np.ndarray, of: np.ndarray, seed: int):
    found = vectors(np.random.default_rng(seed), of)
    return decisions(
        persons.tolist(),
        identity_score=check(persons, [found]).scores,
        identity_margin=np.full(len(of), np.nan),
        face_size=np.full(len(of), 100.0),
        sharpness=np.full(len(of), 50.0),
    )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("folders", [1, 2, 4])
def test_strangers_in_a_few_folders_stop_the_build_and_nothing_is_dropped(seed: int, folders: int):
    made = scored(np.arange(80) % folders, np.arange(80), seed)
    names = [f"mine/batch{n}" for n in range(folders)]
    with pytest.raises(UsageError, match=r"the faces of 'mine/batch\d' do not agree .*--identities none"):
        decide(made, names, RECIPE)
    assert made.ok.all()


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_a_few_wrong_photos_stop_nothing_and_are_dropped(seed: int, share: float):
    persons = np.repeat(np.arange(30), 14)
    of = persons.copy()
    for person in range(30):
        moved = 14 * person + np.arange(round(share * 14))
        of[moved] = (person + 1 + np.arange(len(moved))) % 30
    made = scored(persons, of, seed)
    assert decide(made, [f"mine/p{n}" for n in range(30)], RECIPE) == []
    assert ((made.status == "dropped") == (of != persons)).mean() > 0.95


def test_one_bad_folder_among_many_is_said_and_goes_on():
    persons = np.repeat(np.arange(101), 20)
    of = np.where(persons == 100, 100 + np.arange(len(persons)) % 20, persons)
    made = scored(persons, of, 0)
    (note,) = check_agreement(made, [f"mine/p{n}" for n in range(101)], RECIPE)
    assert note.startswith("the faces of 'mine/p100' do not agree")
    assert made.ok.all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("photos", range(2, FEWEST))
def test_strangers_in_small_folders_stop_the_build(seed: int, photos: int):
    strangers = np.arange(40)
    made = scored(strangers // photos, strangers, seed)
    with pytest.raises(
        UsageError, match=r"^the faces of 'mine/p0' and of \d+ others with 2 to 5 photos do not"
    ):
        decide(made, [f"mine/p{n}" for n in range(40)], RECIPE)
    assert made.ok.all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("photos", range(2, FEWEST))
def test_persons_in_small_folders_stop_nothing_with_a_wrong_photo_in_ten(seed: int, photos: int):
    persons = np.arange(200) // photos
    of = np.where(np.arange(200) % 10 == 0, 200 + np.arange(200), persons)
    made = scored(persons, of, seed)
    assert check_agreement(made, [f"mine/p{n}" for n in range(200)], RECIPE) == []


def test_small_folders_are_looked_at_by_dataset():
    """Twelve strangers in four folders are said, though the 1,000 photos of the other dataset agree."""
    persons = np.concatenate([np.arange(1000) // 5, 200 + np.arange(12) // 3])
    of = np.where(persons >= 200, 1000 + np.arange(1012), persons)
    names = [f"good/p{n}" for n in range(200)] + [f"new/batch{n}" for n in range(4)]
    made = scored(persons, of, 0)
    assert check_agreement(made, names, RECIPE) == []  # four outer photos are too few to say
    persons = np.concatenate([persons, 204 + np.arange(3) // 3])
    of = np.concatenate([of, 3000 + np.arange(3)])
    (note,) = check_agreement(scored(persons, of, 0), [*names, "new/batch4"], RECIPE)
    assert note == (
        "the faces of 'new/batch0' and of 4 others with 2 to 5 photos do not agree with one another (5 of "
        "the 5 less similar photos have a likeness below 0.93): they seem to be no single persons; most of "
        "these 15 photos count as outliers."
    )


def test_single_photos_say_nothing_and_the_check_can_be_switched_off():
    strangers = np.arange(80)
    assert check_agreement(scored(strangers, strangers, 0), ["mine/p"] * 80, RECIPE) == []
    made = scored(np.zeros(80, dtype=int), strangers, 0)
    off = RECIPE.model_copy(update={"identity_agreement": None})
    assert check_agreement(made, ["mine/p"], off) == []
    # Without a bound of its own, the outliers' decides: more than half would be dropped.
    own = Recipe(name="r", identity_outliers=0.5)
    assert check_agreement(made, ["mine/p"], own) == []
    assert find_strangers(np.zeros(9, dtype=int), np.linspace(0.3, 0.6, 9), 0.5) is not None


def test_the_shipped_recipes_look_at_it():
    for name in ("deca-paper", "strict"):
        recipe = load_recipe(name)
        assert (recipe.identity_outliers or 0) + (recipe.identity_agreement or 0) == pytest.approx(0.93)
