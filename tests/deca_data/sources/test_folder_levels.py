"""Which folder is the person: wrapping folders, splits and ranges of numbers are not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from deca_data.sources import guess_source
from deca_data.sources.folder_levels import folders_above_persons


def make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def identities(root: Path) -> dict[str, str | None]:
    source, _ = guess_source(root)
    assert source.name == "folder"
    return {row["image"]: row["identity"] for row in source.scan(root)}


@pytest.mark.parametrize(
    "prefixes",
    [
        ["lfw/lfw/"],
        ["train/", "val/"],
        ["Train/", "Test/", "extra/"],
        ["data/train/images/", "data/val/images/"],
        ["images/"],
        ["lfw-deepfunneled/lfw-deepfunneled/"],
    ],
)
def test_what_stands_above_persons_is_no_person(tmp_path: Path, prefixes: list[str]):
    make(tmp_path, "readme.txt", "notes/a.txt", *(f"{each}Ann/1.jpg" for each in prefixes))
    make(tmp_path, *(f"{each}Bob/more/1.jpg" for each in prefixes))
    found = identities(tmp_path)
    assert found == {
        f"{prefix}{name}": person
        for prefix in prefixes
        for name, person in (("Ann/1.jpg", "Ann"), ("Bob/more/1.jpg", "Bob"))
    }


@pytest.mark.parametrize(
    "paths",
    [
        ["images/0.jpg", "images/1.jpg"],
        ["celeba/img_align_celeba/img_align_celeba/000001.jpg"],
        ["0-1000/7.png", "1000-2000/1003.png"],
        [
            "images1024x1024/00000/00000.png",
            "images1024x1024/00000/00999.png",
            "images1024x1024/01000/01000.png",
        ],
        ["00000/00000.png", "00000/00001.png"],
        ["00000/000000000.jpg", "00001/000010007.jpg"],  # img2dataset
        ["train/1.jpg", "val/2.jpg"],
        ["train/Happy/1.jpg", "train/sad/2.jpg", "test/anger/1.jpg", "test/Neutral/4.jpg"],
    ],
)
def test_folders_of_strangers_give_unknown_persons(tmp_path: Path, paths: list[str]):
    assert set(identities(make(tmp_path, *paths)).values()) == {None}


@pytest.mark.parametrize(
    "paths",
    [
        ["anna/1.jpg"],  # one person is a person
        ["001/frontal/01.jpg", "001/profile/01.jpg", "002/frontal/01.jpg"],  # CFP
        ["0000000/001.jpg", "0000045/001.jpg"],  # CASIA-WebFace
        ["0/0.png", "0/71.png", "1/0.png", "1/71.png"],  # DigiFace
        ["batch1/1.jpg", "batch2/2.jpg"],  # is only known when the faces are compared
        ["Val/1.jpg", "Anna/images/1.jpg"],  # one name like a split's among others
        ["1-2/a.jpg", "1-3/a.jpg"],
        ["00001/00001.jpg", "00002/00002.jpg"],
        ["Happy/1.jpg", "Anna/2.jpg"],
    ],
)
def test_the_first_folder_stays_the_person_where_nothing_says_otherwise(tmp_path: Path, paths: list[str]):
    assert identities(make(tmp_path, *paths)) == {path: path.split("/")[0] for path in paths}


def test_random_trees_keep_their_persons_below_any_folders_that_stand_above_them(tmp_path: Path):
    rng = random.Random(0)
    for number in range(40):
        root = tmp_path / str(number)
        above = "".join(rng.choice(["wrap/", "Data/", "faces/", "x y/"]) for _ in range(rng.randrange(3)))
        splits = rng.choice([[""], ["train/", "val/"], ["test/"]])
        persons = [f"p{rng.randrange(10**6)}" for _ in range(rng.randrange(2, 5))]
        depth = rng.randrange(3)
        paths = [
            f"{above}{split}{person}/{'in/' * depth}{n}.jpg"
            for split in splits
            for person in persons
            for n in range(2)
        ]
        found = identities(make(root, *paths))
        assert set(found.values()) == set(persons), paths


def test_a_link_to_itself_and_an_unreadable_name_do_no_harm(tmp_path: Path):
    make(tmp_path, "wrap/Ann/1.jpg", "wrap/Bob/1.jpg")
    (tmp_path / "wrap/loop").symlink_to(tmp_path / "wrap")
    (tmp_path / "wrap/self").symlink_to("self")
    assert folders_above_persons(tmp_path) == {"wrap"}


def test_videos_count_like_photos_and_folders_without_either_do_not_count(tmp_path: Path):
    make(tmp_path, "docs/deep/er/readme.txt", "wrap/train/Ann/1.mp4", "wrap/val/Bob/2.mov")
    assert folders_above_persons(tmp_path) == {"wrap", "wrap/train", "wrap/val"}


def test_a_linked_folder_is_not_looked_into(tmp_path: Path):
    make(tmp_path / "outside", "in/Ann/1.jpg", "in/Bob/1.jpg")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/train").symlink_to(tmp_path / "outside")
    assert folders_above_persons(tmp_path / "set") == {"train"}  # by its name; what is inside is not read
    (tmp_path / "set/train").rename(tmp_path / "set/wrap")
    assert folders_above_persons(tmp_path / "set") == set()
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    assert folders_above_persons(tmp_path / "link") == {"in"}  # the dataset's folder itself may be a link


def test_voxceleb1_faces_are_a_layout(tmp_path: Path):
    video = "unzippedFaces/Aamir_Khan/1.6/5YZtYEIFjBA"
    make(tmp_path, f"{video}/0001025.jpg", f"{video}/0001050.jpg", "unzippedFaces/A.R._Rahman/1.6/x_1/01.jpg")
    source, why = guess_source(tmp_path)
    assert source.name == "voxceleb1"
    assert "1.6" in why
    assert [(row["identity"], row["clip"], row["frame"]) for row in source.scan(tmp_path)] == [
        ("A.R._Rahman", "x_1", 1),
        ("Aamir_Khan", "5YZtYEIFjBA", 1025),
        ("Aamir_Khan", "5YZtYEIFjBA", 1050),
    ]


def test_voxceleb1_faces_by_number_are_frames(tmp_path: Path):
    make(tmp_path, "vox1/id10001/1zcIwhmdeo4/00001.jpg", "vox1/id10001/1zcIwhmdeo4/00002.jpg")
    source, _ = guess_source(tmp_path)
    assert source.name == "voxceleb2-frames"
    rows = [(row["identity"], row["clip"], row["frame"]) for row in source.scan(tmp_path)]
    assert rows == [("id10001", "1zcIwhmdeo4", 1), ("id10001", "1zcIwhmdeo4", 2)]


@pytest.mark.parametrize("known", ["n000001/1.jpg", "m.0abc12/1.jpg"])
def test_a_split_is_no_person_in_the_layouts_with_numbered_persons_either(tmp_path: Path, known: str):
    make(tmp_path, f"train/{known}", "train/2.jpg", "train/Ann/images/3.jpg")
    source, _ = guess_source(tmp_path)
    assert source.name in ("vggface2", "bupt")
    found = {row["image"]: row["identity"] for row in source.scan(tmp_path)}
    expected = {f"train/{known}": known.split("/")[0], "train/2.jpg": None, "train/Ann/images/3.jpg": "Ann"}
    assert found == expected
