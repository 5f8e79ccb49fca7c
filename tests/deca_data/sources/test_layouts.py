"""The layouts of the datasets: how a folder is recognised, and the rows of each layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from deca_data.sources import SOURCES, get_source, guess_source
from manifests.errors import UsageError


def _make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def _rows(root: Path) -> list[dict]:
    return list(guess_source(root)[0].scan(root))


def test_every_row_has_the_contract_keys(tmp_path):
    _make(tmp_path, "n000001/0001_01.jpg")
    for source in SOURCES.values():
        for row in source.scan(tmp_path):
            assert {"image", "identity", "clip", "frame", "bytes", "mtime_ns"} <= set(row)


@pytest.mark.parametrize("prefix", ["", "train/", "test/", "data/train/"])
def test_vggface2_from_any_level(tmp_path, prefix):
    _make(
        tmp_path,
        f"{prefix}n004332/0317_01.jpg",
        f"{prefix}n004332/0317_02.JPG",
        f"{prefix}n000001/0001_01.jpg",
    )
    source, why = guess_source(tmp_path)
    assert source.name == "vggface2"
    assert "n00" in why
    rows = list(source.scan(tmp_path))
    assert [row["identity"] for row in rows] == ["n000001", "n004332", "n004332"]
    assert rows[1]["image"] == f"{prefix}n004332/0317_01.jpg"


def test_vggface2_boxes(tmp_path):
    _make(tmp_path, "train/n000002/0001_01.jpg", "train/n000002/0002_01.jpg", "test/n000001/0001_01.jpg")
    folder = tmp_path / "bb_landmark"
    folder.mkdir()
    (folder / "loose_bb_train.csv").write_text(
        'NAME_ID,X,Y,W,H\n"n000002/0003_01",1,2,3,4\n"n000002/0001_01",161,140,224,324\n'
    )
    (folder / "loose_bb_test.csv").write_text('NAME_ID,X,Y,W,H\n"n000001/0001_01",-5,60,60,79\n')
    boxes = {row["image"]: row["given_box"] for row in _rows(tmp_path)}
    assert boxes == {
        "train/n000002/0001_01.jpg": [161, 140, 385, 464],
        "train/n000002/0002_01.jpg": None,
        "test/n000001/0001_01.jpg": [-5, 60, 55, 139],
    }


def test_vggface2_broken_box_file_is_named(tmp_path):
    _make(tmp_path, "train/n000002/0001_01.jpg")
    (tmp_path / "loose_bb_train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match=r"loose_bb_train\.csv"):
        _rows(tmp_path)


def test_folder_of_identities_and_flat(tmp_path):
    _make(tmp_path / "by person", "Zoë K/1.jpg", "Zoë K/more/2.jpg", "Ada/1.png")
    rows = _rows(tmp_path / "by person")
    assert [(row["identity"], row["image"]) for row in rows] == [
        ("Ada", "Ada/1.png"),
        ("Zoë K", "Zoë K/1.jpg"),
        ("Zoë K", "Zoë K/more/2.jpg"),
    ]
    _make(tmp_path / "flat", "1.jpg", "2.jpg")
    assert [row["identity"] for row in _rows(tmp_path / "flat")] == [None, None]


def test_wrong_calls_say_what_is_wrong(tmp_path):
    _make(tmp_path, "empty/notes.txt")
    for path, words in (
        ("absent", "there is no folder"),
        ("empty/notes.txt", "is a file"),
        ("empty", "holds no photo"),
    ):
        with pytest.raises(UsageError, match=words):
            guess_source(tmp_path / path)
    with pytest.raises(UsageError, match="vggface2, "):
        get_source("vggface3")


def test_the_shared_trees(faces):
    for name, want, count in (
        ("vggface2", "vggface2", 46),
        ("cfp", "folder", 1400),
        ("portraits", "folder", 26),
    ):
        source, _ = guess_source(faces / name)
        assert source.name == want
        rows = list(source.scan(faces / name))
        assert len(rows) == count
        assert [row["image"] for row in rows] == sorted(row["image"] for row in rows)
