"""The export for EMOCA: the folders and lists below the one path that its loader is given."""

from __future__ import annotations

import csv
import gzip
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.io import imread

from manifests.errors import UsageError
from pipelines.share.export.emoca import LAYOUTS, RINGS, export_emoca
from pipelines.share.export.rows import Call
from tests.pipelines.share.official_trees import affectnet, every_layout, vgg_names, write_tree
from tests.pipelines.share.share_samples import face_points

LISTS = "texture_in_the_wild_code/VGGFace2_cleaning_codes"


def test_each_list_names_files_below_the_loader_s_own_folders(tmp_path: Path):
    out = tmp_path / "out"
    done = export_emoca(Call(every_layout(tmp_path), out, quiet=True))
    rings = {
        "vggface2_train_list_max_normal_100_ring_5_1_serial.npy": 6,  # two of 7 photos, two of the folder
        "vggface2_val_list_max_normal_100_ring_5_1_serial.npy": 2,
        "vggface2_bbx_size_bigger_than_400_train_list_max_normal_100_ring_5_1_serial.npy": 4,
        "vggface2_and_race_per_7000_african_asian_2d_train_list_max_normal_100_ring_5_1_serial.npy": 8,
    }
    assert sorted(path.name for path in (out / RINGS).iterdir()) == sorted(rings)
    for name, lines in rings.items():
        found = np.load(out / RINGS / name)
        assert found.shape == (lines, 6)
        for stem in found.reshape(-1):
            assert_photo(
                out, "bupt" if name.startswith("vggface2_and") and stem[0] == "A" else "vggface2", stem
            )
    clips = np.load(out / LISTS / "vox2_best_clips_info_max_normal_50_images_loadinglist.npy")
    assert clips.shape == (24,)
    for stem in clips:
        assert_photo(out, "voxceleb2", stem)
    assert any("data.training_datasets=[vggface2,vggface2hq,ethnicity,vox2]" in note for note in done.notes)


def assert_photo(out: Path, layout: str, stem: str) -> None:
    places, ending = LAYOUTS[layout], ".png" if layout == "voxceleb2" else ".jpg"
    assert imread(out / places.images / f"{stem}{ending}").shape == (120, 130, 3)
    points = np.load(out / places.landmarks / f"{stem}.npy")
    assert (points.shape, points.dtype) == ((68, 2), np.float32)
    mask = np.load(out / places.masks / f"{stem}.npy")
    assert (mask.shape, set(np.unique(mask))) == ((120, 130), {0.0, 1.0})


def test_photos_of_another_folder_are_read_as_vggface2(tmp_path: Path):
    names = {f"{person}/{photo}.png": person for person in ("ann", "bob") for photo in range(5)}
    manifest = write_tree(tmp_path, "folder", names, dataset="mine")
    export_emoca(Call([manifest], tmp_path / "out", quiet=True))
    (path,) = (tmp_path / "out" / RINGS).iterdir()
    assert path.name == "vggface2_train_list_max_normal_100_ring_5_1_serial.npy"
    assert np.load(path)[0].tolist() == [*(f"mine/ann/{n}.png" for n in range(5)), "mine/bob/0.png"]
    assert (tmp_path / "out/train/mine/ann/0.png.jpg").is_file()


def test_two_datasets_of_one_layout_are_an_error_before_anything_is_written(tmp_path: Path):
    paths = [write_tree(tmp_path / name, "vggface2", vgg_names(5), dataset=name) for name in ("one", "two")]
    with pytest.raises(UsageError, match="one and two both have the layout of vggface2"):
        export_emoca(Call(paths, tmp_path / "out", quiet=True))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../../out", "/out", "a/../../out"])
@pytest.mark.reliability("hostile paths: export --format emoca")
def test_no_dataset_s_name_leads_out_of_the_folder(tmp_path: Path, name: str):
    manifest = write_tree(tmp_path / "in", "folder", vgg_names(5), masked=False, dataset=name)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="leads out of"):
        export_emoca(Call([manifest], tmp_path / "to/be/out", quiet=True))
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "to/be/out")}
    assert {path for path in outside if path.is_file()} == before


def test_affectnet_is_written_as_emoca_prepares_it(tmp_path: Path):
    out = tmp_path / "out"
    done = export_emoca(Call([*affectnet(tmp_path), *every_layout(tmp_path)[:1]], out, quiet=True))
    folder = out / "affectnet"
    tables = {path.stem: list(csv.DictReader(path.open())) for path in folder.rglob("*.csv")}
    assert {name: len(lines) for name, lines in tables.items()} == {
        **{"training": 18, "training_emonet_split": 18, "validation": 2, "validation_emonet_split": 2},
        **{"validation_emonet_split_clean": 2, "validation_representative_selection": 2},
        **{"validation_representative_emonet_split": 2, "validation_emonet_split_clean_representative": 2},
    }
    named = {line["subDirectory_filePath"]: line for line in tables["training"]}
    assert len(named) == 18
    lines = [named[f"affectnet/Manually_Annotated_Images/{n % 3}/{n}.jpg"] for n in range(17)]
    assert "affectnet/Manually_Annotated_Images/0/0.png.jpg" in named
    assert [(line["expression"], line["valence"], line["arousal"]) for line in lines[6:9]] == [
        ("6", "0.6", "-0.6"),
        ("3", "-2.0", "-2.0"),
        ("9", "-2.0", "-2.0"),
    ]
    assert len(lines[0]["facial_landmarks"].split(";")) == 136
    assert (folder / "processed/status.memmap").read_bytes() == b"\1"
    points = face_points((60.0, 60.0), 80.0) + 4  # the fifth photo, of 130 x 120 pixels, grey 20
    stem = f"processed/{{}}/{lines[4]['subDirectory_filePath'][:-4]}"
    crop = imread(folder / f"{stem.format('detections')}.png")
    assert (crop.shape, crop.dtype, crop[112, 112].tolist()) == ((224, 224, 3), np.uint8, [20, 20, 20])
    with (folder / f"{stem.format('landmarks')}.pkl").open("rb") as file:
        assert pickle.load(file) == "kpt68"
        found = pickle.load(file)
    size = (np.ptp(points, axis=0)).mean()
    np.testing.assert_allclose(
        np.ptp(found, axis=0), np.ptp(points, axis=0) / (size * 1.375) * 224, rtol=0.01
    )
    np.testing.assert_allclose((found.min(axis=0) + found.max(axis=0)) / 2, 111.5, atol=1.5)
    kind, labels = pickle.loads(
        gzip.decompress((folder / f"{stem.format('segmentations')}.pkl").read_bytes())
    )
    assert (kind, labels.shape, set(np.unique(labels))) == ("face_parsing", (224, 224), {0, 1})
    inside = cv2.convexHull(found)
    x, y = (int(each) for each in inside.mean(axis=(0, 1)))
    assert labels[y, x] == 1
    assert 0.8 < cv2.contourArea(inside) / labels.sum() < 1.2
    assert any("data.processed_subfolder=processed" in note for note in done.notes)
    assert not (out / "train/affectnet").exists()


def test_affectnet_s_pickles_name_no_inner_module_of_numpy(tmp_path: Path):
    """The official code runs on older versions, which have other inner modules."""
    export_emoca(Call(affectnet(tmp_path), tmp_path / "out", quiet=True))
    for path in (tmp_path / "out").rglob("*.pkl"):
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        assert b"numpy" in data
        assert b"numpy." not in data
        assert b"core" not in data
