"""Packs: they hold every crop of the trainer's rule, and are made again only where they must."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from manifests.errors import UsageError, WorkFailed
from manifests.files import TEMPORARY
from manifests.images.crop import TRAINING_SCALES, face_square, snap, snap_larger
from manifests.packs.reading import Pack
from manifests.packs.schema import KEY, decode_mask
from manifests.reading import open_manifest
from manifests.writing import write_manifest
from pipelines.share.pack import Packed, pack
from pipelines.share.pack_rows import CropSettings, pack_row
from tests.e2e.conftest import environment
from tests.pipelines.share.share_samples import face_points, small_dataset


def run(manifest: Path, out: Path, **changes: Any) -> Packed:
    options = {"crop": CropSettings(), "shard_rows": 2, "quiet": True, **changes}
    return pack([manifest], out, **options)


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if not path.name.startswith(TEMPORARY)}


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return small_dataset(tmp_path)


@pytest.mark.parametrize(
    ("status", "said"),
    [("good", r"a row has the status 'good'; write ok"), ("dropped", "no row has status ok and landmarks")],
)
def test_a_manifest_without_a_photo_to_pack_is_refused(
    manifest: Path, tmp_path: Path, status: str, said: str
):
    opened = open_manifest(manifest)
    place = opened.table.column_names.index("status")
    field = opened.table.field(place)
    table = opened.table.set_column(place, field, pa.array([status] * len(opened.table), field.type))
    info = {key: value for key, value in opened.info.items() if key != "roots"}
    write_manifest(table, manifest, roots=opened.roots, info=info)
    with pytest.raises(UsageError, match=said):
        run(manifest, tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))


def test_a_pack_holds_the_kept_rows_in_order(manifest: Path, tmp_path: Path):
    done = run(manifest, tmp_path / "out")
    table = open_manifest(manifest).table
    kept = [row for row in table.to_pylist() if row["status"] == "ok"]
    assert (done.rows, done.made, done.kept) == (5, 3, 0)
    packed = Pack(tmp_path / "out/train.json")
    rows = packed.table.to_pylist()
    assert [row["sample_id"] for row in rows] == [row["sample_id"] for row in kept]
    for row, origin in zip(rows, kept, strict=True):
        assert row["identity"] == origin["identity"]
        assert row["split"] == "train"
        image = cv2.imdecode(np.frombuffer(row["image_jpeg"], np.uint8), cv2.IMREAD_UNCHANGED)
        mask = decode_mask(row["mask_zlib"], 256)
        assert image.shape == (256, 256, 3)
        assert mask is not None
        points = np.array(row["landmarks"]).reshape(68, 2)
        back = (points + 0.5) * (row["crop_side"] / 256) - 0.5 + (row["crop_left"], row["crop_top"])
        np.testing.assert_allclose(back.reshape(-1), origin["landmarks"], atol=1e-4)
        inside = mask[points[17:, 1].round().astype(int), points[17:, 0].round().astype(int)]
        assert (inside > 127).mean() > 0.95
    assert [shard.rows for shard in packed.index.shards] == [2, 2, 1]
    for shard in packed.index.shards:
        with pa.ipc.open_file(tmp_path / "out" / shard.name) as file:
            said = json.loads((file.schema.metadata or {})[KEY])
        settings = {"format": 2, "size": 256, "scale": 2.05, "quality": 95}
        assert said == {**settings, "fingerprint": shard.fingerprint}


def test_the_crop_shows_what_lies_there_in_the_photo(manifest: Path):
    """Pixel by pixel the crop is the photo at the place that the geometry says, but for JPEG and resizing."""
    opened = open_manifest(manifest)
    row = next(row for row in opened.table.to_pylist() if row["status"] == "ok")
    packed = pack_row(opened, row, CropSettings())
    crop = cv2.imdecode(np.frombuffer(packed["image_jpeg"], np.uint8), cv2.IMREAD_COLOR)
    photo = cv2.imread(str(opened.image_path("raw", row["image"])))
    scale = packed["crop_side"] / 256
    grid = (np.arange(256) + 0.5) * scale - 0.5
    x, y = np.meshgrid(grid + packed["crop_left"], grid + packed["crop_top"])
    expected = cv2.remap(photo, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    assert np.abs(crop.astype(int) - expected.astype(int)).mean() < 3


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_every_crop_of_the_trainers_rule_lies_in_the_pack(shift: float):
    rng = np.random.default_rng(0)
    for _ in range(300):
        points = face_points(tuple(rng.uniform(50, 400, 2)), rng.uniform(24, 300)).astype(np.float64)
        points[:, 1] *= rng.uniform(0.7, 1.3)
        left, top, side = snap_larger(face_square(points, CropSettings().scale))
        for scale in TRAINING_SCALES:
            for direction in ((-1, -1), (1, 1), (1, -1)):
                square = face_square(points, scale, np.array(direction) * shift)
                _, (x, y, length) = snap(square)
                assert left <= x
                assert top <= y
                assert x + length <= left + side
                assert y + length <= top + side


def test_beyond_the_photo_it_is_black_and_masks_may_be_absent(manifest: Path):
    opened = open_manifest(manifest)
    row = dict(next(row for row in opened.table.to_pylist() if row["status"] == "ok"), mask_path=None)
    row["landmarks"] = face_points((20.0, 30.0), 200.0).reshape(-1).tolist()
    packed = pack_row(opened, row, CropSettings())
    crop = cv2.imdecode(np.frombuffer(packed["image_jpeg"], np.uint8), cv2.IMREAD_COLOR)
    assert packed["crop_left"] < 0
    assert crop[:, : int(-packed["crop_left"] * 256 / packed["crop_side"]) - 8].max() < 12
    assert crop[128:, 128:].mean() > 30
    assert packed["mask_zlib"] is None


def test_landmarks_that_no_crop_reaches_are_one_sentence(manifest: Path):
    opened = open_manifest(manifest)
    row = {**opened.table.to_pylist()[0], "landmarks": [1e30, *[5.0] * 135]}
    with pytest.raises(UsageError, match=f"the landmarks of {row['sample_id']} lie far outside its photo"):
        pack_row(opened, row, CropSettings())


def test_workers_change_nothing(manifest: Path, tmp_path: Path):
    run(manifest, tmp_path / "one", workers=1)
    run(manifest, tmp_path / "four", workers=4)
    assert files(tmp_path / "one") == files(tmp_path / "four")
    names = ["train-00000.arrow", "train-00001.arrow", "train-00002.arrow", "train.json"]
    assert sorted(files(tmp_path / "one")) == names


def test_a_kill_changes_nothing(manifest: Path, tmp_path: Path):
    run(manifest, tmp_path / "whole", shard_rows=1)
    options = ["--manifest", manifest, "--out", tmp_path / "killed", "--shard-rows", "1", "--workers", "1"]
    process = subprocess.Popen(["deca-data", "pack", *map(str, options), "-q"], env=environment())
    while not (tmp_path / "killed/train-00000.arrow").exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run(manifest, tmp_path / "killed", shard_rows=1).kept > 0
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_only_what_changed_is_made_again(manifest: Path, tmp_path: Path):
    out = tmp_path / "out"
    run(manifest, out)
    assert (run(manifest, out).made, run(manifest, out).kept) == (0, 3)
    (out / "train-00001.arrow").write_bytes(b"cut off")
    assert run(manifest, out).made == 1
    opened = open_manifest(manifest)
    rows = opened.table.to_pylist()
    last = max(number for number, row in enumerate(rows) if row["status"] == "ok")
    rows[last]["landmarks"][0] += 1
    info = {key: value for key, value in opened.info.items() if key not in {"format", "roots"}}
    write_manifest(pa.Table.from_pylist(rows, opened.table.schema), manifest, roots=opened.roots, info=info)
    assert run(manifest, out).made == 1
    assert run(manifest, out, crop=CropSettings(size=128)).made == 3
    done = run(manifest, out, crop=CropSettings(size=128), shard_rows=10)
    assert done.made == 1
    assert sorted(path.name for path in out.iterdir()) == ["train-00000.arrow", "train.json"]


def test_a_photo_that_is_gone_stops_it_and_finished_shards_stay(manifest: Path, tmp_path: Path):
    gone = tmp_path / "raw/b b/1.jpg"
    kept = gone.read_bytes()
    gone.unlink()
    with pytest.raises(WorkFailed, match=r"b b/1\.jpg: it was kept but cannot be read any more"):
        run(manifest, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train-00000.arrow"]
    gone.write_bytes(kept)
    assert (done := run(manifest, tmp_path / "out")).kept == 1
    assert done.made == 2


def test_a_mask_of_another_size_and_two_manifests_of_one_name_are_refused(manifest: Path, tmp_path: Path):
    opened = open_manifest(manifest)
    row = next(row for row in opened.table.to_pylist() if row["status"] == "ok")
    cv2.imwrite(str(opened.workspace_path(row["mask_path"])), np.zeros((9, 9), np.uint8))
    with pytest.raises(WorkFailed, match="the mask is missing, damaged or of another size; remove the file"):
        pack_row(opened, row, CropSettings())
    with pytest.raises(UsageError, match="two files are named train"):
        pack([manifest, manifest], tmp_path / "out", CropSettings(), quiet=True)


def test_dense_meshes_are_carried_in_pixels_of_the_crop(manifest: Path, tmp_path: Path):
    run(manifest, tmp_path / "out")
    before = files(tmp_path / "out")
    opened = open_manifest(manifest)
    rows = opened.table.to_pylist()
    row = next(row for row in rows if row["status"] == "ok")
    points = np.array(row["landmarks"], np.float32).reshape(68, 2)
    mesh = np.column_stack([np.resize(points, (478, 2)), np.arange(478)]).astype(np.float32)
    row["dense_path"] = "dense/one.npy"
    path = opened.workspace_path(row["dense_path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, mesh)
    changed = pa.Table.from_pylist(rows, schema=opened.table.schema)
    write_manifest(changed, manifest, roots=opened.roots, info=opened.info)
    done = run(manifest, tmp_path / "out")
    assert (done.made, done.kept) == (1, 2)  # shards without a mesh stay as they were
    after = files(tmp_path / "out")
    assert sum(after[name] == before[name] for name in before if name.endswith(".arrow")) == 2
    packed = Pack(tmp_path / "out/train.json").table.to_pylist()
    found = next(each for each in packed if each["sample_id"] == row["sample_id"])
    dense = np.array(found["dense"], np.float32).reshape(478, 3)
    np.testing.assert_allclose(dense[:68, :2].reshape(-1), found["landmarks"], atol=1e-3)
    np.testing.assert_allclose(dense[:, 2], mesh[:, 2] * 256 / found["crop_side"], rtol=1e-5)
    assert sum(each["dense"] is not None for each in packed) == 1
    path.write_bytes(b"")
    with pytest.raises(WorkFailed, match="the dense mesh is missing or damaged"):
        run(manifest, tmp_path / "other")
