"""The export for EMOCA: the folders and lists below the one path that its loader is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread

from manifests.errors import UsageError
from pipelines.share.export.emoca import LAYOUTS, RINGS, export_emoca
from pipelines.share.export.rows import Call
from tests.pipelines.share.official_trees import every_layout, vgg_names, write_tree

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
def test_no_dataset_s_name_leads_out_of_the_folder(tmp_path: Path, name: str):
    manifest = write_tree(tmp_path / "in", "folder", vgg_names(5), masked=False, dataset=name)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="leads out of"):
        export_emoca(Call([manifest], tmp_path / "to/be/out", quiet=True))
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "to/be/out")}
    assert {path for path in outside if path.is_file()} == before
