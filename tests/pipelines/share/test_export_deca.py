"""The export for the official trainers, read back by the rules of their loaders."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from skimage.io import imread
from skimage.transform import estimate_transform, warp

from deca_model.data.loading import FaceDataset
from deca_model.data.manifest_faces import face_table
from deca_model.data.sampler import Draws
from manifests.errors import UsageError
from manifests.reading import open_manifest
from manifests.schema import SCHEMA
from manifests.writing import write_manifest
from pipelines.share.export.deca import export_deca
from pipelines.share.export.lists import RACE_LIST, clip_list, ring_list, stem_of
from pipelines.share.export.rows import Call
from tests.pipelines.share.official_trees import vgg_names, write_tree
from tests.pipelines.share.share_samples import face_points, small_dataset


def load_as_the_official_loader(folder: Path, stem: str, ending: str) -> tuple[Any, Any, Any]:
    """Image in [0, 1], the first two columns of the landmarks, and the mask, as facts of it say."""
    image = imread(folder / "images" / f"{stem}{ending}") / 255.0
    landmarks = np.load(folder / "landmarks" / f"{stem}.npy")[:, :2]
    mask_file = folder / "masks" / f"{stem}.npy"
    mask = np.load(mask_file) > 0.5 if mask_file.is_file() else np.ones(image.shape[:2], bool)
    return image, landmarks, mask


def test_vggface2_loads_as_the_official_loader_does(tmp_path: Path):
    names = {
        f"train/n{person:06d}/{photo:04d}_01.jpg": f"n{person:06d}" for person in (1, 2) for photo in range(7)
    }
    names["train/n000003/0001_01.jpg"] = "n000003"  # too few photos
    manifest = write_tree(tmp_path, "vggface2", names)
    done = export_deca(Call([manifest], tmp_path / "out", quiet=True))
    lines = np.load(tmp_path / "out/lists/vggface2_train_list_max_normal_100_ring_5_1_serial.npy").astype(
        "str"
    )
    assert lines.shape == (4, 6)
    assert lines.dtype.kind == "U"
    assert lines[0].tolist() == [*(f"n000001/{photo:04d}_01" for photo in range(5)), "n000002/0000_01"]
    assert lines[1].tolist()[:5] == [f"n000001/{photo:04d}_01" for photo in (5, 6, 0, 1, 2)]
    for line in lines:
        assert len({stem.split("/")[0] for stem in line[:5]}) == 1
        assert line[5].split("/")[0] != line[0].split("/")[0]
        for stem in line:
            image, landmarks, mask = load_as_the_official_loader(tmp_path / "out/vggface2", stem, ".jpg")
            assert image.shape == (120, 130, 3)
            assert (landmarks.shape, landmarks.dtype) == ((68, 2), np.float32)
            assert mask.shape == (120, 130)
            assert 0 < mask.mean() < 1
    order = list(names)
    _, landmarks, _ = load_as_the_official_loader(tmp_path / "out/vggface2", "n000002/0003_01", ".jpg")
    expected = face_points((60.0, 60.0), 80.0) + order.index("train/n000002/0003_01.jpg")
    np.testing.assert_array_equal(landmarks, expected)
    assert "1 of 3 persons, who have fewer than 5 photos, are in no list" in done.notes[0]
    assert (tmp_path / "out/vggface2/images/n000001/0000_01.jpg").is_symlink()


def test_voxceleb2_groups_by_clip_as_the_official_loader_does(tmp_path: Path):
    names = {
        f"id0000{person}/video/0000{clip}/{frame:06d}.{'png' if clip else 'jpg'}": f"id0000{person}"
        for person in (1, 2)
        for clip in (0, 1)
        for frame in range(6)
    }
    manifest = write_tree(tmp_path, "voxceleb2", names)
    export_deca(Call([manifest], tmp_path / "out", quiet=True))
    lines = np.load(tmp_path / "out/lists/vox2_best_clips_info_max_normal_50_images_loadinglist.npy")
    clips: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        person, video, clip, frame = line.split("/")
        clips[f"{person}/{video}/{clip}"].append(frame)
    assert {name: len(frames) for name, frames in clips.items()} == {
        f"id0000{person}/video/0000{clip}": 6 for person in (1, 2) for clip in (0, 1)
    }
    for name, frames in clips.items():
        image, landmarks, mask = load_as_the_official_loader(
            tmp_path / "out/voxceleb2", f"{name}/{frames[2]}", ".png"
        )
        assert (image.shape, landmarks.shape, mask.shape) == ((120, 130, 3), (68, 2), (120, 130))


def test_bupt_is_listed_with_vggface2_and_by_the_first_letter(tmp_path: Path):
    names = {
        f"race_per_7000/{race}/m.0{person}/{photo}.jpg": f"{race}/m.0{person}"
        for race in ("African", "Asian", "Indian")
        for person in "ab"
        for photo in range(5)
    }
    bupt = write_tree(tmp_path / "bupt", "bupt", names)
    vgg = write_tree(tmp_path / "vgg", "vggface2", vgg_names(5))
    done = export_deca(Call([bupt, vgg], tmp_path / "out", quiet=True))
    lines = np.load(tmp_path / "out/lists" / RACE_LIST.format(split="train"))
    assert sorted({stem[0] for stem in lines[:, 0]}) == ["A", "n"]
    assert len(lines) == 6
    for line in lines:
        for stem in line:
            dataset = "vggface2" if stem[0] == "n" else "bupt"
            load_as_the_official_loader(tmp_path / "out" / dataset, stem, ".jpg")
    assert any(note.startswith("10 photos were left out") for note in done.notes)


def test_photos_that_a_plain_reader_gets_wrong_are_written_again(tmp_path: Path):
    manifest = write_tree(tmp_path, "vggface2", vgg_names(5), masked=False)
    lying = Image.new("RGB", (120, 130))
    lying.putpixel((5, 5), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying.save(tmp_path / "raw/train/n000001/0000_01.jpg", exif=exif)
    Image.new("L", (130, 120)).save(tmp_path / "raw/train/n000001/0001_01.jpg")
    done = export_deca(Call([manifest], tmp_path / "out", quiet=True))
    for stem in ("n000001/0000_01", "n000001/0001_01"):
        image, _, mask = load_as_the_official_loader(tmp_path / "out/vggface2", stem, ".jpg")
        assert image.shape == (120, 130, 3)
        assert mask.all()
        assert not (tmp_path / f"out/vggface2/images/{stem}.jpg").is_symlink()
    assert any(note.startswith("10 photos have no mask") for note in done.notes)


def test_rings_and_clips():
    people = {"a": [f"a/{n}" for n in range(10)], "b": [f"b/{n}" for n in range(5)], "c": ["c/0"]}
    rings = ring_list(people)
    assert rings[:, 5].tolist() == ["b/0", "b/1", "a/0"]
    assert len(set(rings[:2, :5].reshape(-1))) == 10
    alone = ring_list({"a": people["a"], "c": ["c/0", "c/1"]})  # one person has five, so all are in
    assert alone[2].tolist() == ["c/0", "c/1", "c/0", "c/1", "c/0", "a/0"]
    assert ring_list({"c": ["c/0"]}).tolist() == [["c/0"] * 6]
    frames = clip_list({"x": [f"x/{n:03d}" for n in range(120)], "w": ["w/1", "w/0"]}).tolist()
    assert frames[:2] == ["w/0", "w/1"]
    assert len(frames) == 52
    assert (frames[2], frames[-1]) == ("x/000", "x/119")
    assert len(set(frames)) == 52


def test_stems():
    assert stem_of("vggface2", "train/n000001/0001_01.jpg") == "n000001/0001_01"
    assert stem_of("vggface2", "n000001/0001_01.png") == "n000001/0001_01.png"
    assert stem_of("bupt", "images/race_per_7000/Asian/m.0/1.jpg") == "Asian/m.0/1"
    assert stem_of("bupt", "race_per_7000/Caucasian/m.0/1.jpg") is None
    assert stem_of("voxceleb2", "dev/mp4/id1/v/00001/000003.png") == "id1/v/00001/000003"
    assert stem_of("folder", "a/b c.jpg") == "a/b c"


def test_few_photos_still_get_a_list_and_it_is_said(tmp_path: Path):
    manifest = write_tree(tmp_path, "vggface2", {"train/n000001/1.jpg": "n000001"})
    done = export_deca(Call([manifest], tmp_path / "out", quiet=True))
    (path,) = done.files
    assert np.load(path).tolist() == [["n000001/1"] * 6]
    assert "1 of 1 persons, who have fewer than 5 photos, are listed with repeated photos" in done.notes[0]


def test_nobody_known_is_said(tmp_path: Path):
    manifest = write_tree(tmp_path, "vggface2", {"train/n000001/1.jpg": None})
    with pytest.raises(UsageError, match="no kept photo has a known person"):
        export_deca(Call([manifest], tmp_path / "out", quiet=True))


def test_large_faces_have_the_list_that_emoca_asks_for(tmp_path: Path):
    manifest = write_tree(tmp_path, "vggface2", vgg_names(6))
    table = open_manifest(manifest).table
    boxes = [[0, 0, 380, 422 if number else 420] for number in range(12)]  # means of 401 and of 400
    table = table.set_column(
        table.column_names.index("box"), "box", pa.array(boxes, SCHEMA.field("box").type)
    )
    roots = {"vggface2": tmp_path / "raw", "workspace": tmp_path / "space"}
    write_manifest(table, manifest, roots=roots, info={"sources": {"vggface2": "vggface2"}})
    export_deca(Call([manifest], tmp_path / "out", quiet=True))
    name = "vggface2_bbx_size_bigger_than_400_train_list_max_normal_100_ring_5_1_serial.npy"
    lines = np.load(tmp_path / "out/lists" / name)
    assert len(np.unique(lines[:, :5])) == 11
    assert "n000001/0000_01" not in lines


def test_masks_weigh_in_the_official_batch_as_in_ours(tmp_path: Path):
    """The official loader keeps the mask's type and lets `warp` divide whole numbers by 255."""
    manifest = small_dataset(tmp_path)
    export_deca(Call([manifest], tmp_path / "out", quiet=True))
    stored = np.load(tmp_path / "out/raw/masks/a/1.npy")
    official = np.zeros_like(stored)
    official[stored > 0.5] = 1.0
    points = np.load(tmp_path / "out/raw/landmarks/a/1.npy")
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    side, centre = int((right - left + bottom - top) / 2 * 1.6), ((left + right) / 2, (top + bottom) / 2)
    half = np.array([[-1, -1], [-1, 1], [1, -1]]) * side / 2
    onto = estimate_transform("similarity", half + centre, np.array([[0, 0], [0, 223], [223, 0]]))
    theirs = warp(official, onto.inverse, output_shape=(224, 224))
    table = face_table([open_manifest(manifest)])
    rows = np.array([table.sample_ids.to_pylist().index("raw/a/1.jpg")])
    draws = Draws(rows=rows, scales=np.array([1.6]), shifts=np.zeros((1, 2)), epoch=0, index=0)
    ours = FaceDataset(table, 224).load(draws).visible()
    assert 0.2 < float(ours.mean()) < 0.8
    assert float(theirs.mean()) == pytest.approx(float(ours.mean()), rel=0.01)


@pytest.mark.parametrize("name", ["../../out", "/out", "a/../../out", "", "a\0b"])
@pytest.mark.parametrize("column", ["dataset", "image", "mask_path", "split"])
@pytest.mark.reliability("hostile paths: export --format deca")
def test_no_string_of_a_manifest_leads_out_of_the_folder(tmp_path: Path, column: str, name: str):
    manifest = write_tree(tmp_path / "in", "folder", vgg_names(5))
    table = open_manifest(manifest).table
    place = table.column_names.index(column)
    table = table.set_column(place, table.field(place), pa.array([name] * len(table)))
    roots = {"folder": tmp_path / "in/raw", "workspace": tmp_path / "in/space", name: tmp_path / "in/raw"}
    write_manifest(table, manifest, roots=roots, info={})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    harmless = column == "split" and name in ("", "/out")  # a part of a list's name
    with nullcontext() if harmless else pytest.raises(UsageError, match="leads out of"):
        export_deca(Call([manifest], tmp_path / "to/be/out", quiet=True))
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "to/be/out")}
    assert {path: path.read_bytes() for path in outside if path.is_file()} == before


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path):
    manifest = write_tree(tmp_path, "vggface2", vgg_names(5))
    mine = tmp_path / "out/vggface2/images/n000001/0000_01.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(UsageError, match="holds other files"):
        export_deca(Call([manifest], tmp_path / "out", quiet=True))
    assert mine.read_bytes() == b"mine"
    for _ in range(2):  # its own results it replaces
        export_deca(Call([manifest], tmp_path / "new", quiet=True))


def test_each_of_two_datasets_of_one_layout_has_a_list_that_loads(tmp_path: Path):
    manifests = []
    for name in ("one", "two"):
        manifest = write_tree(tmp_path / name, "vggface2", vgg_names(5))
        table = open_manifest(manifest).table
        place = table.column_names.index("dataset")
        table = table.set_column(place, table.field(place), pa.array([name] * len(table)))
        roots = {name: tmp_path / name / "raw", "workspace": tmp_path / name / "space"}
        write_manifest(table, manifest, roots=roots, info={"sources": {name: "vggface2"}})
        manifests.append(manifest)
    export_deca(Call(manifests, tmp_path / "out", quiet=True))
    for name in ("one", "two"):
        lines = np.load(
            tmp_path / "out/lists" / name / "vggface2_train_list_max_normal_100_ring_5_1_serial.npy"
        )
        assert lines.shape == (2, 6)
        for stem in lines.reshape(-1):
            image, _, _ = load_as_the_official_loader(tmp_path / "out" / name, stem, ".jpg")
            assert image.shape == (120, 130, 3)
