"""Reading and writing manifests (schema, reading, writing), and atomic writing of files (files)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import manifests
from manifests.errors import UsageError
from manifests.files import atomic_path, write_atomic
from manifests.machine_faults import NotWritten
from manifests.reading import INFO_KEY, open_manifest
from manifests.schema import COLUMNS, NAMES, SCHEMA, Column, subset
from manifests.streaming import open_stream, open_streams
from manifests.writing import conform, manifest_writer, write_manifest


def rows(count: int = 3) -> pa.Table:
    landmarks = np.arange(count * 136, dtype=np.float32).reshape(count, 136)
    return pa.table(
        {
            "sample_id": [f"set/{i}.jpg" for i in range(count)][::-1],
            "dataset": ["set"] * count,
            "identity": [None, *["a"] * (count - 1)],
            "image": [f"{i}.jpg" for i in range(count)][::-1],
            "faces": [None, *range(1, count)],
            "landmarks": pa.FixedSizeListArray.from_arrays(landmarks.reshape(-1), 136),
            "status": ["ok"] * count,
        }
    )


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    (tmp_path / "space").mkdir()
    roots = {"set": tmp_path / "raw", "workspace": tmp_path / "space"}
    write_manifest(rows(), tmp_path / "train.parquet", roots=roots, info={"recipe": {"name": "x"}})
    return tmp_path / "train.parquet"


def test_every_column_has_a_type_and_a_meaning():
    assert len(set(NAMES)) == len(COLUMNS) == len(SCHEMA)
    for column in COLUMNS:
        assert column.meaning
        assert SCHEMA.field(column.name).metadata[b"meaning"] == column.meaning.encode()


def test_round_trip_sorts_by_sample_id_and_keeps_nulls(manifest: Path):
    found = open_manifest(manifest)
    assert found.table.column_names == list(NAMES)
    assert found.table.column("image").to_pylist() == ["0.jpg", "1.jpg", "2.jpg"]
    assert found.table.column("identity").to_pylist() == ["a", "a", None]
    assert found.table.column("faces").to_pylist() == [2, 1, None]
    assert found.table.column("mask_path").null_count == 3
    assert found.info["recipe"] == {"name": "x"}
    assert found.image_path("set", "1.jpg") == manifest.parent / "raw/1.jpg"


def test_read_gives_a_typed_frame(manifest: Path):
    frame = manifests.read(manifest)
    assert frame["faces"].dtype == pd.Int32Dtype()
    assert frame["faces"].isna().tolist() == [False, False, True]
    assert frame["landmarks"].iloc[0].shape == (136,)


def test_same_rows_give_the_same_bytes_and_fingerprint(tmp_path: Path, manifest: Path):
    roots = {"set": tmp_path / "raw", "workspace": tmp_path / "space"}
    write_manifest(rows(), tmp_path / "again.parquet", roots=roots, info={"recipe": {"name": "x"}})
    assert (tmp_path / "again.parquet").read_bytes() == manifest.read_bytes()
    write_manifest(rows(2), tmp_path / "other.parquet", roots=roots)
    prints = [open_manifest(tmp_path / f"{name}.parquet").fingerprint for name in ("again", "train", "other")]
    assert prints[0] == prints[1] != prints[2]


def test_writing_refuses_unknown_columns_and_wrong_types():
    with pytest.raises(ValueError, match="no such manifest column: colour"):
        conform(rows().append_column("colour", pa.array(["red"] * 3)))
    with pytest.raises(pa.ArrowInvalid):
        conform(rows().drop_columns(["faces"]).append_column("faces", pa.array(["many"] * 3)))
    with pytest.raises(ValueError, match="136 are expected"):
        conform(rows().drop_columns(["landmarks"]).append_column("landmarks", pa.array([[1.0]] * 3)))
    with pytest.raises(KeyError, match="colour"):
        subset(("image", "colour"))


def test_a_writer_that_fails_leaves_the_old_file(manifest: Path):
    before = manifest.read_bytes()
    with pytest.raises(ValueError, match="no such manifest column"):
        with manifest_writer(manifest, roots={}, info={}) as writer:
            writer.write(rows())
            writer.write(pa.table({"colour": ["red"]}))
    assert manifest.read_bytes() == before
    assert [path.name for path in manifest.parent.iterdir() if path.name.startswith(".part")] == []


def test_atomic_write_replaces_whole_files_only(tmp_path: Path):
    write_atomic(tmp_path / "deep/er/file.bin", b"one")
    write_atomic(tmp_path / "deep/er/file.bin", b"two")
    assert (tmp_path / "deep/er/file.bin").read_bytes() == b"two"
    with pytest.raises(IsADirectoryError), atomic_path(tmp_path / "x") as temporary:
        temporary.write_bytes(b"half")
        (tmp_path / "deep").read_bytes()
    with pytest.raises(NotWritten):
        write_atomic(tmp_path / "deep", b"a folder has the name")
    assert not (tmp_path / "x").exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_moved_roots_are_given_by_name(tmp_path: Path, manifest: Path):
    (tmp_path / "raw").rename(tmp_path / "moved")
    with pytest.raises(UsageError, match=r"--root set=FOLDER"):
        open_manifest(manifest)
    found = open_manifest(manifest, {"set": tmp_path / "moved"})
    assert found.image_path("set", "0.jpg") == tmp_path / "moved/0.jpg"
    with pytest.raises(UsageError, match="has only the roots set, workspace"):
        open_manifest(manifest, {"other": tmp_path})


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/passwd", "a/../../b.jpg"])
@pytest.mark.reliability("hostile paths: images of a manifest")
def test_paths_never_leave_their_root(manifest: Path, path: str):
    with pytest.raises(UsageError, match="leads out of"):
        open_manifest(manifest).image_path("set", path)


def test_bad_manifests_are_one_sentence(tmp_path: Path, manifest: Path):
    with pytest.raises(UsageError, match="there is no such manifest"):
        open_manifest(tmp_path / "none.parquet")
    with pytest.raises(UsageError, match="this is a folder"):
        open_manifest(tmp_path)
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(UsageError, match="not a readable Parquet file"):
        open_manifest(tmp_path / "text.parquet")
    pq.write_table(rows().drop_columns(["landmarks"]), tmp_path / "plain.parquet")
    with pytest.raises(UsageError, match="was not written as a manifest"):
        open_manifest(tmp_path / "plain.parquet")
    table = pq.read_table(manifest)
    pq.write_table(table.drop_columns(["landmarks", "status"]), tmp_path / "less.parquet")
    with pytest.raises(UsageError, match="the columns landmarks, status are missing"):
        open_manifest(tmp_path / "less.parquet")
    info = json.dumps({"format": 99, "roots": {}})
    pq.write_table(table.replace_schema_metadata({INFO_KEY: info}), tmp_path / "new.parquet")
    with pytest.raises(UsageError, match="its format is 99"):
        open_manifest(tmp_path / "new.parquet")


def test_usable_rows_are_ok_and_have_landmarks(tmp_path: Path):
    table = rows(4).set_column(6, "status", pa.array(["ok", "dropped", "ok", "ok"]))
    points = pa.array([None, *table.column("landmarks").to_pylist()[1:]], pa.list_(pa.float32()))
    write_manifest(table.set_column(5, "landmarks", points), tmp_path / "train.parquet", roots={})
    stream = open_stream(tmp_path / "train.parquet")  # sorted: the rows stand the other way round now
    usable = list(stream.usable_rows(["sample_id"]))
    assert [row["sample_id"] for row in usable] == ["set/0.jpg", "set/1.jpg"]
    np.testing.assert_array_equal(usable[1]["landmarks"], np.arange(272, 408).reshape(68, 2))
    assert stream.count_ok() == 3


def test_a_column_younger_than_the_file_is_null(tmp_path: Path, manifest: Path):
    older = tmp_path / "older.parquet"
    pq.write_table(pq.read_table(manifest).drop_columns(["identity_margin"]), older)
    stream = open_stream(older)
    names = ["identity_margin", "sample_id"]
    (batch,) = stream.batches(names)
    assert batch.column_names == names
    assert batch.column("identity_margin").null_count == batch.num_rows == 3
    assert stream.take([2], names).schema == stream.take([], names).schema == batch.schema
    with pytest.raises(KeyError):
        stream.take([2], ["no_such_column"])


def test_columns_beyond_the_core_stand_behind_it_with_unit_and_meaning(tmp_path: Path, manifest: Path):
    hue = Column("hue", pa.float32(), "deg", "mean hue")
    own = tmp_path / "own.parquet"
    table = pq.read_table(manifest).append_column("hue", pa.array([1.5, None, 3.0]))
    with manifest_writer(own, roots={}, info={}, added=[hue]) as writer:
        writer.write(table)
    assert pq.read_schema(own).field("hue").metadata == {b"unit": b"deg", b"meaning": b"mean hue"}
    assert open_manifest(own, check_roots=False).table.column("hue").to_pylist() == [1.5, None, 3.0]
    mine, plain = open_streams([own, manifest], {})
    assert mine.names == plain.names == (*NAMES, "hue")
    assert mine.added == plain.added == (hue,)
    (batch,) = plain.batches(["hue"])
    assert (batch.column("hue").type, batch.column("hue").null_count) == (pa.float32(), 3)
    with pytest.raises(ValueError, match="no such manifest column: hue"):
        write_manifest(table, tmp_path / "x.parquet", roots={})


def _saved(manifest: Path, name: str, change: pa.Table | None = None, **info: object) -> Path:
    """A copy of the manifest with other rows or another footer."""
    table = pq.read_table(manifest) if change is None else change
    footer = {**json.loads(pq.read_schema(manifest).metadata[INFO_KEY]), **info}
    path = manifest.with_name(name)
    pq.write_table(table.replace_schema_metadata({INFO_KEY: json.dumps(footer)}), path)
    return path


def test_a_column_that_stands_twice_is_one_sentence(manifest: Path):
    table = pq.read_table(manifest)
    path = _saved(manifest, "twice.parquet", table.append_column("image", table.column("image")))
    for opened in (open_manifest, open_stream):
        with pytest.raises(UsageError, match=r"twice\.parquet: it has the column image twice"):
            opened(path)


@pytest.mark.parametrize("name", ["roots", "sources", "recipe", "stages", "fingerprints", "bounds"])
def test_a_footer_with_parts_of_another_kind_is_one_sentence(manifest: Path, name: str):
    path = _saved(manifest, "odd.parquet", **{name: 5})
    with pytest.raises(UsageError, match=r"odd\.parquet: its metadata are damaged"):
        open_stream(path)


@pytest.mark.parametrize("bound", [5, ["yaw"], ["yaw", "x", "above"], [5, 0.5, "above"]])
def test_bounds_that_are_none_are_one_sentence(manifest: Path, bound: object):
    with pytest.raises(UsageError, match="its metadata are damaged"):
        open_stream(_saved(manifest, "odd.parquet", bounds=[bound]))


@pytest.mark.parametrize("name", ["sample_id", "dataset", "image"])
def test_a_kept_row_without_a_name_is_one_sentence(manifest: Path, name: str):
    table = pq.read_table(manifest)
    values = pa.array([None, *table.column(name).to_pylist()[1:]], pa.string())
    path = _saved(
        manifest, "nameless.parquet", table.set_column(table.column_names.index(name), name, values)
    )
    with pytest.raises(UsageError, match=rf"nameless\.parquet: a row of status ok has no {name}"):
        list(open_stream(path).usable_rows(["dataset", "image"]))


def test_a_manifest_without_landmarks_is_not_an_empty_one(manifest: Path):
    path = _saved(manifest, "less.parquet", pq.read_table(manifest).drop_columns(["landmarks"]))
    with pytest.raises(UsageError, match=r"less\.parquet: the column landmarks is missing"):
        list(open_stream(path).usable_rows(["image"]))


@pytest.mark.parametrize(("name", "count"), [("landmarks", 136), ("box", 4)])
def test_points_that_are_none_are_one_sentence_in_every_use(manifest: Path, name: str, count: int):
    table = pq.read_table(manifest)
    place = table.column_names.index(name)
    for wrong in ([1.0] * (count - 1), [float("nan")] * count, [float("inf")] * count):
        values = pa.array([None, wrong, None], pa.list_(pa.float32()))
        stream = open_stream(_saved(manifest, "odd.parquet", table.set_column(place, name, values)))
        with pytest.raises(UsageError, match=rf"odd\.parquet: the {name} of set/1.jpg are not \d+ finite"):
            stream.take([0, 1], ["sample_id", name])
