"""Exports, read back the way their readers do."""

from __future__ import annotations

import io
import json
import tarfile
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from manifests.errors import WorkFailed
from manifests.images.decode import decode_file
from manifests.reading import open_manifest
from pipelines.share.export.csv_table import export_csv
from pipelines.share.export.images import as_it_is
from pipelines.share.export.rows import Call
from pipelines.share.export.webdataset import export_webdataset
from pipelines.share.own_files import LIST
from tests.manifests.images.photo_files import photo_files
from tests.pipelines.share.share_samples import small_dataset


def test_a_photo_stays_as_it_is_only_where_a_plain_reader_sees_the_same(tmp_path: Path):
    kept = set()
    for file in photo_files():
        path = tmp_path / file.name
        path.write_bytes(file.data)
        if as_it_is(path, "JPEG") or as_it_is(path, "PNG"):
            kept.add(file.name)
            plain = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
            assert np.array_equal(plain, decode_file(path).image), file.name
    upright = {"tall-1.jpg", "square-1.jpg", "progressive.jpg", "a-jpeg-by-content.png", "plain.jfif"}
    assert kept == upright | {"plain.png", "interlaced.png", "rgb-16.png", "animated.png"}


def test_csv_holds_every_row_and_absent_values_stay_absent(tmp_path: Path):
    manifest = small_dataset(tmp_path)
    done = export_csv(Call([manifest], tmp_path / "out", quiet=True))
    assert list(done.files.values()) == [10]
    found = pd.read_csv(tmp_path / "out/train.csv")
    expected = open_manifest(manifest).to_pandas()
    assert found["sample_id"].tolist() == expected["sample_id"].tolist()
    assert found["status"].value_counts().to_dict() == {"ok": 5, "dropped": 4, "failed": 1}
    np.testing.assert_array_equal(found["valence"].isna(), True)
    row = expected[expected["status"] == "ok"].index[0]
    points = np.array([[found.loc[row, f"landmark_{p}_{a}"] for a in "xy"] for p in range(68)], np.float32)
    np.testing.assert_array_equal(points.reshape(-1), expected.loc[row, "landmarks"])
    assert found.loc[row, "box_x1"] == 280.0
    assert found["landmark_0_x"].isna().sum() == 1


def test_webdataset_shards_hold_whole_samples_and_are_the_same_each_time(tmp_path: Path):
    manifest = small_dataset(tmp_path)
    done = export_webdataset(Call([manifest], tmp_path / "out", shard_rows=2, quiet=True))
    assert list(done.files.values()) == [2, 2, 1]
    samples: dict[str, dict[str, bytes]] = defaultdict(dict)
    for path in done.files:
        with tarfile.open(path) as tar:
            for entry in tar:
                key, _, ending = entry.name.partition(".")  # the convention: the key ends at the first dot
                file = tar.extractfile(entry)
                assert file is not None
                samples[key][ending] = file.read()
    assert list(samples) == [f"{number:09d}" for number in range(5)]
    rows = {row["sample_id"]: row for row in open_manifest(manifest).table.to_pylist()}
    for files in samples.values():
        assert set(files) == {"jpg", "landmarks.npy", "mask.png", "json"}
        row = json.loads(files["json"])
        points = np.load(io.BytesIO(files["landmarks.npy"]))
        np.testing.assert_array_equal(points.reshape(-1), rows[row["sample_id"]]["landmarks"])
        assert Image.open(io.BytesIO(files["jpg"])).size == (512, 512)
        assert np.asarray(Image.open(io.BytesIO(files["mask.png"]))).shape == (512, 512)
        assert row["identity"] in {"a", "b b"}
    export_webdataset(Call([manifest], tmp_path / "again", shard_rows=2, quiet=True))
    for path in done.files:
        assert (tmp_path / "again" / Path(path).name).read_bytes() == Path(path).read_bytes()


def test_the_webdataset_library_reads_the_shards(tmp_path: Path):
    webdataset = pytest.importorskip("webdataset", reason="needs webdataset (extra: dev)")
    manifest = small_dataset(tmp_path)
    done = export_webdataset(Call([manifest], tmp_path / "out", shard_rows=2, quiet=True))
    shards = webdataset.WebDataset(list(done.files), shardshuffle=False, empty_check=False)
    samples = list(shards.decode("rgb8"))
    kept = [row for row in open_manifest(manifest).table.to_pylist() if row["status"] == "ok"]
    assert len(samples) == len(kept) == 5
    for sample, row in zip(samples, kept, strict=True):
        assert sample["json"]["sample_id"] == row["sample_id"]
        assert sample["jpg"].shape == (512, 512, 3)
        assert sample["mask.png"].shape[:2] == (512, 512)
        np.testing.assert_array_equal(sample["landmarks.npy"].reshape(-1), row["landmarks"])


def test_a_photo_that_is_gone_stops_the_export_and_leaves_no_half_shard(tmp_path: Path):
    manifest = small_dataset(tmp_path)
    (tmp_path / "raw/b b/1.jpg").unlink()
    with pytest.raises(WorkFailed, match=r"b b/1\.jpg: it was kept but cannot be read any more"):
        export_webdataset(Call([manifest], tmp_path / "out", quiet=True))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [LIST]
