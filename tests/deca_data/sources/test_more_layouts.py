"""VoxCeleb2, BUPT-Balancedface and AffectNet: how their layouts are recognised, and their rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from deca_data.sources import guess_source
from deca_data.sources.voxceleb2 import read_boxes
from manifests.errors import UsageError


def _make(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def _scan(root: Path) -> tuple[str, list[dict]]:
    source, _ = guess_source(root)
    return source.name, list(source.scan(root))


@pytest.mark.parametrize("prefix", ["", "dev/mp4/", "vox2/dev/mp4/"])
def test_voxceleb2_videos(tmp_path, prefix):
    _make(tmp_path, f"{prefix}id00012/21Uxsk56VDQ/00002.mp4", f"{prefix}id00012/21Uxsk56VDQ/00001.MP4")
    name, rows = _scan(tmp_path)
    assert name == "voxceleb2"
    assert [row["identity"] for row in rows] == ["id00012"] * 2
    assert [row["clip"] for row in rows] == ["21Uxsk56VDQ/00001", "21Uxsk56VDQ/00002"]
    assert [row["frame"] for row in rows] == [None, None]


def test_voxceleb2_boxes(tmp_path):
    _make(tmp_path, "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4", "dev/mp4/id00012/21Uxsk56VDQ/00002.mp4")
    text = tmp_path / "dev/txt/id00012/21Uxsk56VDQ/00001.txt"
    text.parent.mkdir(parents=True)
    text.write_text(
        "Identity  : \tid00012\nReference : \t21Uxsk56VDQ\nOffset    : \t-3\n"
        "FV Conf   : \t21.3\nASD Conf  : \t5.1\n\nFRAME \tX \tY \tW \tH\n"
        "000245 \t0.25 \t0.100 \t0.500 \t0.4\n000246 \t0.300 \t0.100 \t0 \t0.4\nbroken line\n"
    )
    _, rows = _scan(tmp_path)
    assert [row["boxes_path"] for row in rows] == ["dev/txt/id00012/21Uxsk56VDQ/00001.txt", None]
    assert read_boxes(text, 640, 480) == {245: pytest.approx([160, 48, 480, 240])}


def test_voxceleb2_as_frames(tmp_path):
    _make(tmp_path, "dev/id00012/21Uxsk56VDQ/00001/0025.png", "dev/id00012/21Uxsk56VDQ/00001/frame_7.jpg")
    name, rows = _scan(tmp_path)
    assert name == "voxceleb2-frames"
    assert [(row["identity"], row["clip"], row["frame"]) for row in rows] == [
        ("id00012", "21Uxsk56VDQ/00001", 25),
        ("id00012", "21Uxsk56VDQ/00001", 7),
    ]


def test_bupt_with_freebase_and_other_names(tmp_path):
    _make(
        tmp_path,
        "race_per_7000/African/m.0abc12/000_0.jpg",
        "race_per_7000/Asian/m.0abc12/000_1.jpg",
        "race_per_7000/Indian/Some Body/1.jpg",
        "race_per_7000/Indian/loose.jpg",
    )
    name, rows = _scan(tmp_path)
    assert name == "bupt"
    assert [row["identity"] for row in rows] == [
        "African/m.0abc12",
        "Asian/m.0abc12",
        "Indian/Some Body",
        None,
    ]
    name, rows = _scan(tmp_path / "race_per_7000" / "African")
    assert (name, rows[0]["identity"]) == ("bupt", "m.0abc12")
    _make(tmp_path, "race_per_7000/Caucasian/n000017/1.jpg")
    assert _scan(tmp_path)[0] == "bupt"  # not VGGFace2, whose persons have such names


_HEAD = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
)


def test_affectnet(tmp_path):
    images = "Manually_Annotated/Manually_Annotated_Images"
    _make(tmp_path, f"{images}/689/737db2.jpg", f"{images}/392/c4db2f.jpg", f"{images}/1/unlisted.jpg")
    (tmp_path / "training.csv").write_text(
        _HEAD
        + "689/737db2.jpg,134,134,899,899,181.64;530.91;188.32,1,0.785714,-0.055556\n"
        + "392/c4db2f.jpg,NULL,26,180,180,1;2,9,-2,-2\n"
    )
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    name, rows = _scan(tmp_path)
    assert name == "affectnet"
    found = {row["image"].rsplit("/", 1)[-1]: row for row in rows}
    first, second, third = (found[key] for key in ("737db2.jpg", "c4db2f.jpg", "unlisted.jpg"))
    assert first["given_box"] == [134, 134, 1033, 1033]
    assert (first["expression"], first["valence"], first["arousal"]) == (1, 0.785714, -0.055556)
    assert (second["expression"], second["valence"], second["given_box"]) == (9, None, None)
    assert (third["expression"], third["valence"], third["identity"]) == (None, None, None)


def test_affectnet_s_broken_table_is_named(tmp_path):
    _make(tmp_path, "1/a.jpg")
    (tmp_path / "training.csv").write_text("subDirectory_filePath,face_x\n1/a.jpg,3\n")
    with pytest.raises(UsageError, match=r"training\.csv lacks the columns arousal"):
        _scan(tmp_path)


def test_the_shared_videos(faces):
    name, rows = _scan(faces / "voxceleb2")
    assert name == "voxceleb2"
    assert [row["identity"] for row in rows] == ["id00001", "id00002", "id00003", "id00003"]
