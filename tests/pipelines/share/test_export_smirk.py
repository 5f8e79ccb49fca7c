"""The export for SMIRK: files and lists by the rules of its loader of CelebA."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import pyarrow as pa
import pytest

from manifests.errors import UsageError
from manifests.reading import Manifest, open_manifest
from manifests.writing import write_manifest
from pipelines.share.export.rows import Call
from pipelines.share.export.smirk import VIDEO_LISTS, export_smirk, file_name, settings
from tests.pipelines.share.share_samples import small_dataset

pytest.importorskip("mediapipe", reason="the export runs MediaPipe's mesh; needs the extra `data`")


def test_each_line_names_a_photo_with_both_kinds_of_landmarks(tmp_path: Path):
    manifest, out = small_dataset(tmp_path), tmp_path / "out"
    kept = [row for row in open_manifest(manifest).table.to_pylist() if row["status"] == "ok"]
    done = export_smirk(Call([manifest], out, quiet=True))
    lines = [line.split() for line in (out / "checkout/datasets/identity_CelebA.txt").open()]
    assert done.files[str(out / "checkout/datasets/identity_CelebA.txt")] == len(lines) == len(kept)
    assert [line[1] for line in lines] == [f"raw/{row['identity'].replace(' ', '%20')}" for row in kept]
    for (name, _), row in zip(lines, kept, strict=True):
        assert cv2.imread(str(out / "CelebA/images" / name)).shape == (512, 512, 3)
        stem = name.replace(".jpg", ".npy")
        fan = np.load(out / "CelebA/fan_landmarks" / stem)
        np.testing.assert_array_equal(fan, np.float32(row["landmarks"]).reshape(1, 68, 2))
        mesh = np.load(out / "CelebA/mediapipe_landmarks" / stem)
        assert (mesh.shape, mesh.dtype) == ((478, 3), np.float32)
        assert 150 < mesh[4, 0] < 300  # the tip of her nose is within her face
        assert np.abs(mesh[:, 2]).max() < 0.5
    for name in VIDEO_LISTS:
        assert pickle.loads((out / "checkout/assets" / name).read_bytes()) == [[], [], []]
    assert " ".join(settings(out)) in (out / "README.txt").read_text()


def test_names_survive_the_loader_s_splitting_and_replacing():
    for image in ("a b/1.jpg", "x.jpg.jpg", "y.jpg/2.png", "%20/3.jpg", "é\u2028/4.jpg"):
        name = file_name("my set", image)
        assert len(name.split()) == 1
        assert name.replace(".jpg", ".npy") == name[: -len(".jpg")] + ".npy"
    assert file_name("d", "a b.jpg") != file_name("d", "a%20b.jpg")
    assert file_name("d", "a.png") != file_name("d", "a.jpg")
    assert file_name("vggface2", "train/n000001/0001_01.jpg") == "vggface2/train/n000001/0001_01.jpg"


def test_val_alone_is_an_error_and_val_beside_train_is_said(tmp_path: Path):
    manifest = small_dataset(tmp_path)
    opened = open_manifest(manifest)
    place = opened.table.column_names.index("split")
    values = ["val" if row["identity"] == "a" else "train" for row in opened.table.to_pylist()]
    write_again(manifest, opened, place, values)
    done = export_smirk(Call([manifest], tmp_path / "out", quiet=True))
    assert "1 photos of val are not exported" in done.notes
    write_again(manifest, opened, place, ["val"] * len(values))
    with pytest.raises(UsageError, match="no photo of the train split"):
        export_smirk(Call([manifest], tmp_path / "none", quiet=True))


@pytest.mark.parametrize("name", ["../../out", "/out", "a/../../out", "a\0b"])
@pytest.mark.parametrize("column", ["dataset", "image"])
@pytest.mark.reliability("hostile paths: export --format smirk")
def test_no_string_of_a_manifest_leads_out_of_the_folder(tmp_path: Path, column: str, name: str):
    manifest = small_dataset(tmp_path / "in")
    opened = open_manifest(manifest)
    place = opened.table.column_names.index(column)
    write_again(manifest, opened, place, [name] * len(opened.table), {name: tmp_path / "in/raw"})
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    harmless = column == "dataset" and ".." in name  # its dots are written as %2E
    with nullcontext() if harmless else pytest.raises(UsageError, match="leads out of"):
        export_smirk(Call([manifest], tmp_path / "to/be/out", quiet=True))
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "to/be/out")}
    assert {path for path in outside if path.is_file()} == before


def write_again(
    path: Path,
    opened: Manifest,
    place: int,
    values: list[str],
    roots: Mapping[str, Path] = MappingProxyType({}),
) -> None:
    table = opened.table.set_column(place, opened.table.field(place), pa.array(values))
    info = {key: value for key, value in opened.info.items() if key != "roots"}
    write_manifest(table, path, roots={**opened.roots, **roots}, info=info)
