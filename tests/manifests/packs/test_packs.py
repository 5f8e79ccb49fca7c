"""The pack format: what is written is read at any row, also by others, or refused in a sentence."""

from __future__ import annotations

import io
import json
import multiprocessing
import operator
import pickle
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import manifests.packs
from manifests.errors import UsageError
from manifests.packs.reading import Pack, read_index
from manifests.packs.schema import FORMAT, KEY, SCHEMA, Index, Shard, decode_mask, encode_mask
from manifests.packs.writing import shard_name, write_index, write_shard

SIZE = 64


def circle(number: int) -> np.ndarray:
    """The mask of a row."""
    return cv2.circle(np.zeros((SIZE, SIZE), np.uint8), (30, 30 + number % 9), 20, (255,), -1)


def face(number: int) -> dict[str, Any]:
    """A row of a pack; each fifth has neither mask nor identity."""
    random = np.random.default_rng(number)
    picture = cv2.resize(random.integers(0, 255, (4, 4, 3), np.uint8), (SIZE, SIZE))
    known = number % 5 > 0
    return {
        **{"sample_id": f"set/{number}", "dataset": "set", "identity": f"p{number // 9}" if known else None},
        "image_jpeg": cv2.imencode(".jpg", picture)[1].tobytes(),
        "landmarks": random.uniform(0, SIZE, 136).astype(np.float32),
        "mask_zlib": encode_mask(circle(number)) if known else None,
        **{"crop_left": -number, "crop_top": number, "crop_side": 200},
    }


def write_pack(folder: Path, *shards: list[dict[str, Any]]) -> Path:
    """Writes a pack of these shards and gives its index."""
    listed = tuple(
        Shard(name=shard_name("train", number), rows=len(rows), fingerprint=f"f{number}")
        for number, rows in enumerate(shards)
    )
    rows = sum(map(len, shards))
    settings = {"format": FORMAT, "size": SIZE, "scale": 2.05, "quality": 95}
    index = Index(**settings, split="train", manifest="m", rows=rows, shards=listed)
    for shard, faces in zip(listed, shards, strict=True):
        write_shard(folder, index, shard, faces)
    return write_index(folder, "train", index)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path / "packed", [face(n) for n in range(600)], [face(n) for n in range(600, 610)])


def test_every_row_comes_back_as_it_was_written(pack: Path):
    opened = Pack(pack)
    assert opened.index.rows == opened.table.num_rows == 610
    rows = opened.table.to_pylist()
    for number in (0, 1, 255, 256, 511, 512, 599, 600, 609):  # on both sides of batches and shards
        expected = face(number)
        assert opened.image_bytes(number).tobytes() == expected["image_jpeg"]
        assert opened.mask_bytes(number) == expected["mask_zlib"]
        assert rows[number]["landmarks"] == expected["landmarks"].tolist()
        assert {name: rows[number][name] for name in ("sample_id", "identity", "crop_left")} == {
            name: expected[name] for name in ("sample_id", "identity", "crop_left")
        }
    assert opened.place(0) == f"{pack.with_name('train-00000.arrow')}, row 0"
    assert opened.place(600) == f"{pack.with_name('train-00001.arrow')}, row 0"
    assert opened.place(609) == f"{pack.with_name('train-00001.arrow')}, row 9"


def test_pictures_stay_in_the_mapped_files(pack: Path):
    before = pa.total_allocated_bytes()
    opened = Pack(pack)
    pictures = [opened.image_bytes(row) for row in range(610)]
    assert sum(map(len, pictures)) > 300_000
    assert pa.total_allocated_bytes() - before < 20_000
    assert not any(picture.flags.owndata or picture.flags.writeable for picture in pictures)


def test_another_process_maps_the_files_itself(pack: Path):
    opened = Pack(pack)
    assert len(pickle.dumps(opened)) < 500
    with multiprocessing.get_context("spawn").Pool(1) as other:
        found = other.apply(operator.methodcaller("image_bytes", 603), (opened,))
    assert found.tobytes() == face(603)["image_jpeg"]


def test_the_lines_of_the_description_read_a_shard(pack: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(pack.parent.parent)
    lines = re.findall(r"^    (.*)$", manifests.packs.__doc__ or "", re.MULTILINE)
    assert len(lines) == 5
    names: dict[str, Any] = {"pa": pa, "np": np, "io": io, "zlib": zlib, "PIL": PIL}
    exec("\n".join(lines), names)
    expected = face(3)
    assert names["row"]["sample_id"] == "set/3"
    np.testing.assert_array_equal(names["points"], expected["landmarks"].reshape(68, 2))
    assert np.array_equal(names["mask"] * 255, circle(3))
    jpeg = np.frombuffer(expected["image_jpeg"], np.uint8)
    np.testing.assert_array_equal(names["image"], cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB))


@pytest.mark.parametrize("size", [64, 67, 256])
def test_masks_come_back_in_black_and_white(size: int):
    grey = cv2.resize(np.random.default_rng(0).integers(0, 255, (6, 6), np.uint8), (size, size))
    stored = encode_mask(grey)
    found = decode_mask(stored, size)
    assert found is not None
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.where(grey > 127, 255, 0))
    for broken in (b"", stored[:-5], b"x" + stored, zlib.compress(b"short")):
        assert decode_mask(broken, size) is None


def test_an_error_while_writing_leaves_the_shard_that_was_there(pack: Path):
    before = pack.with_name("train-00001.arrow").read_bytes()
    index = Pack(pack).index

    def rows():
        yield face(0)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        write_shard(pack.parent, index, index.shards[1], rows())
    assert pack.with_name("train-00001.arrow").read_bytes() == before
    names = sorted(path.name for path in pack.parent.iterdir())
    assert names == ["train-00000.arrow", "train-00001.arrow", "train.json"]


def of_format_1(pack: Path) -> None:
    """The pack of two rows as it was before: Parquet, masks as PNG, lists of any length."""
    strings = [(name, pa.string()) for name in ("sample_id", "dataset", "identity")]
    pictures = [("image_jpeg", pa.binary()), ("mask_png", pa.binary())]
    schema = pa.schema([*strings, *pictures, ("landmarks", pa.list_(pa.float32()))])
    rows = [{**face(n), "mask_png": b"a PNG of one bit a pixel"} for n in range(2)]
    said = {"format": 1, "settings": {"size": SIZE, "scale": 2.05, "quality": 95, "format": 1}}
    table = pa.Table.from_pylist(rows, schema).replace_schema_metadata({KEY: json.dumps(said)})
    pq.write_table(table, pack.with_name("train-00000.parquet"), compression="NONE")
    shards = [{"name": "train-00000.parquet", "rows": 2, "fingerprint": "f0"}]
    pack.write_text(json.dumps({**said, "split": "train", "manifest": "m", "rows": 2, "shards": shards}))


def changed(**values: Any) -> Callable[[Path], None]:
    """Changes what the index says of the second shard."""

    def change(pack: Path) -> None:
        said = json.loads(pack.read_text())
        said["shards"][1].update(values)
        pack.write_text(json.dumps(said))

    return change


def written(name: str, data: bytes) -> Callable[[Path], None]:
    def write(pack: Path) -> None:
        pack.with_name(name).write_bytes(data)

    return write


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda pack: written(name, pack.with_name(name).read_bytes()[:size])(pack)


def moved_offset(pack: Path) -> None:
    """The place of the second picture of a shard is set to a place far outside of it."""
    shard = pack.with_name("train-00001.arrow")
    offsets = np.cumsum([0, *(len(face(n)["image_jpeg"]) for n in range(600, 610))]).astype("<i4").tobytes()
    data = shard.read_bytes()
    assert data.count(offsets) == 1
    shard.write_bytes(data.replace(offsets, offsets[:4] + b"\xff\xff\xff\x7f" + offsets[8:]))


def other_columns(pack: Path) -> None:
    metadata = {KEY: json.dumps({"fingerprint": "f1"})}
    schema = SCHEMA.remove(SCHEMA.get_field_index("crop_side")).with_metadata(metadata)
    table = pa.Table.from_pylist([face(n) for n in range(600, 610)], schema)
    with pa.ipc.new_file(pack.with_name("train-00001.arrow"), table.schema) as writer:
        writer.write_table(table)


def no_pictures(pack: Path) -> None:
    index = read_index(pack)
    faces = [{**face(number), "image_jpeg": None} for number in range(10)]
    write_shard(pack.parent, index, index.shards[1], faces)


NO_INDEX = r"train\.json: this is not the index of a pack"
SHARD = r"train-00001\.arrow: "
DAMAGED = SHARD + r"this shard of the pack is damaged \(.+\); run `deca-data pack` again"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            of_format_1,
            r"train\.json: this pack has format 1, this version reads 2; run `deca-data pack` again",
        ),
        (lambda pack: pack.unlink(), r"train\.json: there is no such pack; make one with `deca-data pack`"),
        (written("train.json", b"{"), rf"{NO_INDEX} \(Expecting property name.*\); make one with `deca-data"),
        (written("train.json", b"\xff"), rf"{NO_INDEX} \('utf-8' codec"),
        (written("train.json", b"[" * 100_000), rf"{NO_INDEX} \(maximum recursion"),
        (written("train.json", b"[]"), rf"{NO_INDEX} \(all of it: Input should be"),
        (written("train.json", b"{}"), rf"{NO_INDEX} \(format: Field required\)"),
        (changed(rows="many"), rf"{NO_INDEX} \(shards\.1\.rows: Input should be a valid integer"),
        (
            changed(name="../x.arrow"),
            r"train\.json: the shard '\.\./x\.arrow' lies outside the pack's folder",
        ),
        (changed(name="/x.arrow"), r"train\.json: the shard '/x\.arrow' lies outside the pack's folder"),
        (changed(name=".."), r"\.\.: this shard of the pack is missing"),
        (changed(name="x.arrow"), r"x\.arrow: this shard of the pack is missing; run `deca-data pack` again"),
        (changed(rows=11), rf"{SHARD}it has 10 rows, the index says 11; run `deca-data pack` again"),
        (
            changed(fingerprint="g"),
            rf"{SHARD}it was made from other rows or settings than the index says; run",
        ),
        (other_columns, rf"{SHARD}its columns are not those of a shard of format 2; run `deca-data pack`"),
        (no_pictures, rf"{SHARD}its columns are not those of a shard of format 2; run `deca-data pack`"),
        (written("train-00001.arrow", b""), DAMAGED),
        (written("train-00001.arrow", b"x" * 500), DAMAGED),
        (cut("train-00001.arrow", -1), DAMAGED),
        (cut("train-00001.arrow", 3000), DAMAGED),
        (moved_offset, DAMAGED),
    ],
)
@pytest.mark.reliability("damaged and hostile packs: index and shards")
def test_what_cannot_be_used_is_one_sentence(pack: Path, damage: Callable[[Path], None], sentence: str):
    damage(pack)
    with pytest.raises(UsageError, match=sentence) as error:
        Pack(pack)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def test_older_shards_of_the_same_manifest_are_removed(tmp_path: Path):
    folder = tmp_path / "packed"
    index = write_pack(folder, [face(0)], [face(1)], [face(2)])
    of_format_1(index)
    others = ["train-00001.parquet", "train-1.arrow", "val-00002.arrow", "train-00002.txt"]
    for name in others:  # not a shard of ours, or of another manifest
        (folder / name).write_bytes(b"")
    write_pack(folder, [face(0)], [face(1)])
    kept = ["train-00000.arrow", "train-00001.arrow", "train.json", *others]
    assert sorted(path.name for path in folder.iterdir()) == sorted(kept)
    assert Pack(index).index.rows == 2
