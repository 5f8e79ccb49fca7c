"""Manifests of any size and of other programs, as the trainer opens them."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from deca_model.data import face_columns
from deca_model.data.faces import NoFaces, open_table
from deca_model.data.loading import FaceDataset, training_batches
from deca_model.data.manifest_faces import FaceTable
from deca_model.data.sampler import SubjectSampler
from deca_model.settings.reading import load_config
from deca_model.training.loop import train
from manifests.errors import UsageError
from manifests.reading import open_manifest
from manifests.writing import write_manifest
from tests.deca_model.synthetic import make_manifest
from tests.deca_model.training.test_training import SMALL, Watch

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def manifest(tmp_path):
    return make_manifest(tmp_path, (4, None, 3, 5), unmasked=(2,), expressions=(*range(12), None))


def drawn(path, **more):
    """All that a run of one epoch gets from a manifest."""
    table = open_table([path], **more)
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=2, images=2, seed=5)
    found = list(
        itertools.islice(training_batches(FaceDataset(table, 64), sampler), sampler.batches_per_epoch)
    )
    return table, found


def same(first, second):
    assert len(first) == len(second) > 1
    for one, other in zip(first, second, strict=True):
        assert one.sample_ids == other.sample_ids
        for name in ("images", "masks", "landmarks", "squares", "has_mask", "subjects"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_a_mapped_manifest_gives_the_very_batches(manifest, monkeypatch):
    small, expected = drawn(manifest)
    assert isinstance(small, FaceTable)
    # as the whole table in memory gave them
    whole = open_manifest(manifest)
    assert small.fingerprint == _fingerprint(whole.fingerprint)
    landmarks = np.concatenate(whole.table["landmarks"].to_numpy())
    np.testing.assert_array_equal(small.landmarks[np.arange(len(small))].reshape(-1), landmarks)
    assert small.images.to_pylist() == whole.table["image"].to_pylist()
    expressions = whole.table["expression"].fill_null(-1).to_pylist()
    assert small.expressions.tolist() == expressions
    monkeypatch.setattr(face_columns, "BATCH", 4)  # several blocks
    monkeypatch.setattr(face_columns.read_columns, "__defaults__", (3,))
    for _ in range(2):  # made, then opened again
        mapped, found = drawn(manifest)
        assert len(mapped.landmarks.blocks) == 4
        same(found, expected)
        np.testing.assert_array_equal(mapped.subjects, small.subjects)
        assert len(list(manifest.parent.glob(".train.parquet.faces-*.arrow"))) == 1


def _fingerprint(of_rows: str) -> str:
    import hashlib

    return hashlib.blake2b(of_rows.encode(), digest_size=16).hexdigest()


@pytest.fixture
def always_mapped(monkeypatch):
    monkeypatch.setattr(face_columns.read_columns, "__defaults__", (0,))


def mapped_file(manifest: Path) -> Path:
    (found,) = manifest.parent.glob(".train.parquet.faces-*.arrow")
    return found


def test_a_changed_manifest_or_a_damaged_file_is_read_again(manifest, always_mapped):
    _, expected = drawn(manifest)
    own = mapped_file(manifest)
    for damaged in (own.read_bytes()[:-40], b"", b"x" * 999):
        own.unlink()  # the processes that have mapped it keep it
        own.write_bytes(damaged)
        same(drawn(manifest)[1], expected)
    opened = open_manifest(manifest)
    write_manifest(opened.table.slice(2), manifest, roots=opened.roots)
    assert len(open_table([manifest])) == len(opened.table) - 2
    assert mapped_file(manifest) != own


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to every folder")
def test_a_folder_that_cannot_be_written_needs_a_temporary_file(manifest, always_mapped, tmp_path):
    expected = drawn(manifest)[1]
    mapped_file(manifest).unlink()
    tmp_path.chmod(0o500)
    try:
        same(drawn(manifest)[1], expected)
    finally:
        tmp_path.chmod(0o700)


def test_without_room_beside_the_manifest_a_temporary_file_is_mapped(manifest, always_mapped, tmp_path):
    expected = drawn(manifest)[1]
    own = mapped_file(manifest)
    own.unlink()
    own.mkdir()  # nothing can be renamed to this name
    same(drawn(manifest)[1], expected)
    assert sorted(path.name for path in own.parent.glob(".part-*")) == []


ENDED = """
import resource, sys
from pathlib import Path
from deca_model.data import face_columns
from deca_model.data.faces import open_table
from manifests.errors import WorkFailed

face_columns.read_columns.__defaults__ = (0,)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    open_table([Path(sys.argv[1])])
except WorkFailed as error:
    print(error)
"""


@pytest.mark.reliability("the disk is full, then the same command")
def test_a_full_disk_is_said(manifest):
    done = subprocess.run(
        [sys.executable, "-c", ENDED, str(manifest)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "its faces cannot be written to a file to map, neither beside it (" in done.stdout
    assert "File too large); make room, or set TMPDIR, then repeat the command." in done.stdout
    assert [path.name for path in manifest.parent.iterdir() if path.name.startswith(".")] == []


def by_pandas(table: pa.Table, path: Path) -> None:
    """A selection in pandas: an index column, floats for whole numbers with gaps, no metadata of ours."""
    frame = table.to_pandas()
    frame = frame[frame["status"] == "ok"].copy()
    frame["width"] = frame["width"].astype(float)
    frame["mine"] = np.arange(len(frame))
    frame["dataset"] = frame["dataset"].astype("category")
    frame.to_parquet(path)


def by_polars(table: pa.Table, path: Path) -> None:
    """The types that polars saves: large strings and lists, categories, 64 bits."""
    kinds = {pa.string(): pa.large_string(), pa.int32(): pa.int64(), pa.float32(): pa.float64()}
    fields = [
        pa.field(f.name, pa.large_list(pa.float64()) if f.name == "landmarks" else kinds.get(f.type, f.type))
        for f in table.schema
    ]
    moved = table.cast(pa.schema(fields))
    coded = pc.dictionary_encode(moved["identity"])  # type: ignore[attr-defined]
    moved = moved.set_column(moved.column_names.index("identity"), "identity", coded)
    pq.write_table(moved.replace_schema_metadata(None), path)


def by_duckdb(table: pa.Table, path: Path) -> None:
    """The types stay, the metadata go; columns that are null throughout may become 32-bit numbers."""
    bare = pa.table({name: table[name] for name in table.column_names})
    place = bare.column_names.index("clip")
    bare = bare.set_column(place, "clip", pa.nulls(bare.num_rows, pa.int32()))
    pq.write_table(bare, path)


@pytest.mark.parametrize("save", [by_pandas, by_polars, by_duckdb])
def test_what_other_programs_saved_gives_the_same_batches(manifest, save):
    expected = drawn(manifest)[1]
    mine = manifest.with_name("mine.parquet")
    save(open_manifest(manifest).table, mine)
    same(drawn(mine)[1], expected)
    # in a folder without our manifests, the folders must be given
    away = manifest.parent / "away/mine.parquet"
    away.parent.mkdir()
    shutil.move(mine, away)
    with pytest.raises(UsageError, match=r"no folder for 'astronauts'; give .* --root astronauts=FOLDER"):
        open_table([away])
    roots = {"astronauts": manifest.parent / "astronauts"}
    with pytest.raises(UsageError, match=r"no folder for 'workspace'; give it with --root workspace=FOLDER"):
        open_table([away], roots)
    same(drawn(away, roots={**roots, "workspace": manifest.parent / "workspace"})[1], expected)


def test_a_selection_without_masks_needs_no_workspace(manifest):
    away = manifest.parent / "away/mine.parquet"
    away.parent.mkdir()
    frame = pd.DataFrame(open_manifest(manifest).table.to_pandas())
    frame[frame["mask_path"].isna()].to_parquet(away)
    assert len(open_table([away], {"astronauts": manifest.parent / "astronauts"})) == 3


def spoilt(manifest: Path, column: str, value: object) -> Path:
    """The manifest as pandas saves it, with another value in row 1."""
    frame = open_manifest(manifest).table.to_pandas()
    values = list(frame[column])
    values[1] = value
    frame[column] = values
    frame.to_parquet(manifest)
    make_manifest(manifest.parent, (1,), name="val")  # knows the folders
    return manifest


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("landmarks", [float("nan")] * 136, r"train00/01\.jpg are not 68 finite points"),
        ("landmarks", [float("inf")] * 136, r"train00/01\.jpg are not 68 finite points"),
        ("landmarks", [1.0] * 10, r"train00/01\.jpg are not 68 finite points"),
        ("landmarks", [None] * 136, r"train00/01\.jpg are not 68 finite points"),
        ("image", None, "a row of status ok has no image"),
        ("dataset", None, "a row of status ok has no dataset"),
        ("width", 0.5, "the column width holds double, which cannot be read as int32"),
        ("width", 1e12, "the column width holds double, which cannot be read as int32"),
    ],
)
def test_values_that_cannot_be_are_one_sentence(manifest, column, value, sentence):
    with pytest.raises(UsageError, match=r"train\.parquet: .*" + sentence):
        open_table([spoilt(manifest, column, value)])


@pytest.mark.parametrize("far", [4e4, 9e5, 3e38])
def test_landmarks_far_outside_cost_no_memory(manifest, far):
    """Their crop would have gigabytes of background, or more pixels than there are numbers."""
    points = np.linspace(-far / 2, far / 2, 136).tolist()
    table = open_table([spoilt(manifest, "landmarks", points)])
    draws = SubjectSampler(table.subjects, table.datasets, subjects=1, images=1, seed=0).batch(0, 0)
    batch = FaceDataset(table, 64).load(draws._replace(rows=np.array([1])))
    assert batch.images.shape == (1, 64, 64, 3)
    assert torch.isfinite(batch.landmarks).all()


@pytest.mark.reliability("damaged and hostile manifests: metadata")
def test_damaged_manifests_are_one_sentence(manifest, tmp_path):
    intact = manifest.read_bytes()
    random = np.random.default_rng(0)
    said = []
    for trial in range(60):
        data = bytearray(intact)
        if trial % 3:
            for place in random.integers(4, len(data) - 8, size=8):
                data[place] ^= 1 << int(random.integers(8))
        else:
            del data[int(random.integers(len(data))) :]
        manifest.write_bytes(data)
        try:
            open_table([manifest])
        except UsageError as error:
            said.append(str(error))
    assert len(said) > 20
    assert all(text.startswith(f"{manifest}: ") and "\n" not in text for text in said)


@pytest.mark.reliability("damaged and hostile manifests: metadata")
def test_metadata_that_are_damaged_are_one_sentence(manifest):
    table = pq.read_table(manifest)
    for raw in (b"{", b"[]", b'{"format": 1, "roots": [1]}', b"[" * 100_000):
        pq.write_table(table.replace_schema_metadata({b"deca-manifest": raw}), manifest)
        with pytest.raises(UsageError, match=r"train\.parquet: its metadata are damaged"):
            open_table([manifest])


def test_an_empty_val_beside_the_manifest_means_no_held_out_faces(manifest, tmp_path):
    opened = open_manifest(manifest)
    val = manifest.with_name("val.parquet")
    write_manifest(opened.table.slice(0, 0), val, roots=opened.roots)
    watch = Watch()
    config = load_config("cpu", [*SMALL, "pretrain.steps=1"])
    train(config, manifest, None, tmp_path / "out", progress=watch)
    assert len(watch.totals) == 1
    assert any("val.parquet has no face, so nothing is measured" in note for note in watch.notes)
    with pytest.raises(NoFaces, match="no row has status ok"):
        train(config, manifest, val, tmp_path / "asked", progress=watch)
