"""AffectNet's annotations in every shape that people have them in; none vanishes."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from deca_data.sources import guess_source
from deca_data.sources.affectnet_tables import labels
from deca_data.sources.source import OUT_OF_RANGE
from manifests.errors import UsageError

HEAD = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
)
LINES = (
    "689/737db2.JPG,134,134,899,899,181.64;530.91;188.32,1,0.785714,-0.055556",
    "392/c4db2f.jpg,1,26,180,180,1;2,9,-2,-2",
)
EXPECTED = [(1, 0.785714, -0.055556, [134, 134, 1033, 1033]), (9, None, None, [1, 26, 181, 206])]


def as_table(separator: str, head: bool, index: bool) -> str:
    lines = [HEAD, *LINES] if head else list(LINES)
    cells = [line.split(",") for line in lines]
    for number, line in enumerate(cells):
        if separator == ";":  # as pandas writes it
            line[5] = f'"{line[5]}"'
        if index:
            line.insert(0, "" if head and number == 0 else str(number))
    return "".join(separator.join(line) + "\r\n" for line in cells)


def photos(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def found(root: Path) -> dict[str, tuple]:
    source, _ = guess_source(root)
    assert source.name == "affectnet"
    rows = {row["image"].rsplit("/", 1)[-1]: row for row in source.scan(root)}
    return {
        name: tuple(row[column] for column in ("expression", "valence", "arousal", "given_box"))
        for name, row in rows.items()
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("index", [True, False])
def test_a_csv_file_of_any_shape(tmp_path: Path, encoding: str, separator: str, head: bool, index: bool):
    root = photos(tmp_path, "Images/689/737db2.jpg", "Images/392/c4db2f.JPG", "Images/1/unlisted.jpg")
    (root / "validation.csv").write_bytes(as_table(separator, head, index).encode(encoding))
    rows = found(root)
    assert [rows["737db2.jpg"], rows["c4db2f.JPG"]] == EXPECTED
    assert rows["unlisted.jpg"] == (None, None, None, None)


def test_decimal_commas_and_paths_without_a_folder(tmp_path: Path):
    root = photos(tmp_path, "faces/a.png")
    head = HEAD.replace(",", ";").replace("facial_landmarks;", "")
    (root / "t.csv").write_text(f"{head}\na.jpg;1;2;3;4;0;0,5;-0,25\n")
    assert found(root)["a.png"] == (0, 0.5, -0.25, [1, 2, 4, 6])


@pytest.mark.parametrize("head", ["path", "subDirectory_filePath", ""])
@pytest.mark.parametrize("index", [True, False])
def test_a_table_of_labels_alone_leaves_the_faces_to_detection(tmp_path: Path, head: str, index: bool):
    root = photos(tmp_path, "Images/689/a.jpg", "Images/392/b.png")
    lines = ["689/a.JPG,1,0.785714,-0.055556", "392/b.png,9,-2,-2"]
    lines = [f"{head},expression,valence,arousal", *lines] if head else lines
    lines = [f"{number},{line}" for number, line in enumerate(lines)] if index else lines
    (root / "labels.csv").write_text("\n".join(lines))
    assert found(root) == {"a.jpg": (1, 0.785714, -0.055556, None), "b.png": (9, None, None, None)}


def test_a_table_that_lacks_a_side_of_its_faces_is_refused(tmp_path: Path):
    root = photos(tmp_path, "Images/689/a.jpg")
    (root / "t.csv").write_text(f"{HEAD.replace('face_width,', '')}\n689/a.jpg,1,2,3,,1,0.5,0.5\n")
    with pytest.raises(UsageError, match="lacks the columns face_width; fix the file"):
        found(root)


def test_the_reduced_form_with_folders_by_class(tmp_path: Path):
    root = photos(tmp_path, "train/anger/image0000006.jpg", "train/sad/x.png", "test/fear/y.jpg")
    lines = [",pth,label,relFCs", "0,anger/image0000006.jpg,surprise,0.87", "1,sad/x.jpg,Neutral,0.9"]
    (root / "labels.csv").write_text("\n".join(lines))
    assert [(name, row[0]) for name, row in found(root).items()] == [
        ("y.jpg", None),
        ("image0000006.jpg", 3),
        ("x.png", 0),
    ]


def test_another_csv_file_beside_does_no_harm(tmp_path: Path):
    root = photos(tmp_path, "689/737db2.jpg")
    (root / "a.csv").write_bytes(bytes(range(256)) * 9)
    (root / "b.csv").write_text("x" * 200_000 + ",1\n")
    (root / "c.csv").write_text(as_table(",", True, False))
    assert found(root)["737db2.jpg"] == EXPECTED[0]
    (root / "d.csv").write_text("")
    assert found(root)["737db2.jpg"] == EXPECTED[0]


@pytest.mark.parametrize(
    ("texts", "expected", "left_out"),
    [
        (("1", "0.5", "-1"), (1, 0.5, -1.0), 0),
        (("10", "-2", "-2"), (10, None, None), 0),
        (("11", "0.5", "1.5"), (None, 0.5, None), 2),
        (("-1", "-1.01", "0"), (None, None, 0.0), 2),
        (("1.5", "99999999999999999999", "inf"), (None, None, None), 2),
        (("99999999999", "", "NULL"), (None, None, None), 1),
        (("Contempt", "0", "1"), (7, 0.0, 1.0), 0),
    ],
)
def test_a_value_out_of_range_costs_itself_only(texts: tuple, expected: tuple, left_out: int):
    row = labels(*texts)
    assert (row["expression"], row["valence"], row["arousal"]) == expected
    assert row[OUT_OF_RANGE] == left_out


def test_the_present_form_with_a_file_per_label(tmp_path: Path):
    for split in ("train_set", "val_set"):
        root = photos(tmp_path, *(f"{split}/images/{n}.jpg" for n in range(3)))
        labels_of = root / split / "annotations"
        labels_of.mkdir()
        for number, (expression, valence, arousal) in enumerate([("7", "-0.17", "0.5"), (3, 0.25, -2.0)]):
            np.save(labels_of / f"{number}_exp.npy", np.array(expression))
            np.save(labels_of / f"{number}_val.npy", np.array(valence))
            np.save(labels_of / f"{number}_aro.npy", np.array(arousal))
            np.save(labels_of / f"{number}_lnd.npy", np.zeros(136))
    source, why = guess_source(tmp_path)
    assert (source.name, "annotations" in why) == ("affectnet", True)
    rows = list(source.scan(tmp_path))
    assert [(row["expression"], row["valence"], row["arousal"]) for row in rows] == 2 * [
        (7, -0.17, 0.5),
        (3, 0.25, None),
        (None, None, None),
    ]
    assert {row["identity"] for row in rows} == {None}


class Boom:
    def __reduce__(self):
        return (open, ("/tmp/wrong", "w"))


def test_hostile_label_files_are_not_labels(tmp_path: Path):
    root = photos(tmp_path / "set", *(f"images/{n}.jpg" for n in range(9)))
    folder = root / "annotations"
    folder.mkdir()
    np.save(folder / "0_exp.npy", np.array(1))
    np.save(tmp_path / "outside.npy", np.array(1))
    (folder / "1_exp.npy").symlink_to(tmp_path / "outside.npy")
    (folder / "2_exp.npy").write_bytes(pickle.dumps(Boom()))
    np.save(folder / "3_exp.npy", np.array([1, 2]))
    np.save(folder / "4_exp.npy", np.zeros(10**5))
    (folder / "5_exp.npy").mkdir()
    os.mkfifo(folder / "8_exp.npy")
    whole = (folder / "0_exp.npy").read_bytes()
    (folder / "6_exp.npy").write_bytes(whole[:30])
    (folder / "7_exp.npy").write_bytes(whole.replace(b"'<i8'", b"'|O8'"))
    rows = list(guess_source(root)[0].scan(root))
    assert [row["expression"] for row in rows] == [1, *[None] * 8]


def test_a_pipe_named_like_a_table_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "training.csv")
    photos(tmp_path, "ann/1.jpg")
    assert guess_source(tmp_path)[0].name == "folder"


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_label_file_never_raises(tmp_path: Path, seed: int):
    rng = np.random.default_rng(seed)
    root = photos(tmp_path, "images/0.jpg")
    (root / "annotations").mkdir()
    np.save(root / "annotations/0_exp.npy", np.array("3"))
    whole = bytearray((root / "annotations/0_exp.npy").read_bytes())
    for place in rng.integers(0, len(whole), 4):
        whole[place] = rng.integers(256)
    (root / "annotations/0_exp.npy").write_bytes(whole)
    (row,) = guess_source(root)[0].scan(root)
    assert row["expression"] is None or 0 <= row["expression"] <= 10
