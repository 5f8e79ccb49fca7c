"""A manifest whose strings lead elsewhere, at each door: nothing outside is read or written."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from deca_model.data.faces import open_table
from deca_model.data.loading import FaceDataset
from deca_model.data.sampler import SubjectSampler
from deca_model.evaluation.emotion_labels import read_labels
from manifests.errors import UsageError
from manifests.reading import open_manifest
from manifests.writing import write_manifest
from pipelines.share.export.csv_table import export_csv
from pipelines.share.export.deca import export_deca
from pipelines.share.export.emoca import export_emoca
from pipelines.share.export.rows import Call
from pipelines.share.export.smirk import export_smirk
from pipelines.share.export.webdataset import export_webdataset
from pipelines.share.pack import pack
from pipelines.share.pack_rows import CropSettings
from pipelines.share.report.page import write_report
from tests.conftest import ALL
from tests.pipelines.share.share_samples import small_dataset


def train(manifest: Path, out: Path) -> None:
    """Loads a batch as the trainer does."""
    table: Any = open_table([manifest])
    sampler = SubjectSampler(table.subjects, table.datasets, subjects=2, images=2, seed=0)
    FaceDataset(table, 64).load(sampler.batch(0, 0))


DOORS: dict[str, Callable[[Path, Path], object]] = {
    "train": train,
    "evaluate": lambda manifest, out: read_labels(manifest),
    "pack": lambda manifest, out: pack([manifest], out, crop=CropSettings(), quiet=True),
    "report": lambda manifest, out: write_report([manifest], out / "report.html", quiet=True),
    **{
        f"export --format {form}": lambda manifest, out, write=write: write(Call([manifest], out, quiet=True))
        for form, write in {
            **{"deca": export_deca, "emoca": export_emoca, "smirk": export_smirk},
            **{"csv": export_csv, "webdataset": export_webdataset},
        }.items()
    },
}
COLUMNS = ("dataset", "image", "mask_path", "landmark_path", "split", "identity", "sample_id")
UNREAD = ("evaluate", "export --format csv", "export --format deca")
"""Doors that open no photo; deca links them."""

NAMES = ("../secret.jpg", "/secret.jpg", "a/../../secret.jpg", "..", "a\0b", "")

watching: list[list[str]] = []


def listen(event: str, arguments: tuple[Any, ...]) -> None:
    if watching and event == "open" and isinstance(arguments[0], str | bytes):
        watching[-1].append(str(arguments[0]))


sys.addaudithook(listen)  # it cannot be removed


@contextmanager
def watched() -> Iterator[list[str]]:
    """The files that this process opens meanwhile."""
    found: list[str] = []
    watching.append(found)
    try:
        yield found
    finally:
        watching.clear()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "in"
    folder.mkdir()
    small_dataset(folder)
    for place in (folder, folder.parent):
        (place / "secret.jpg").write_bytes((folder / "raw/a/0.jpg").read_bytes())
    return folder


@pytest.mark.parametrize("door", DOORS)
def test_nothing_outside_is_read_or_written(door: str, dataset: Path, tmp_path: Path, count: Any):
    good = open_manifest(dataset / "train.parquet")
    before, names = contents(dataset), NAMES if ALL else NAMES[:1]
    with watched() as opened, suppress(UsageError):  # these faces have no emotions to be evaluated
        DOORS[door](dataset / "train.parquet", tmp_path / "good")
    assert door in UNREAD or any("/raw/" in path for path in opened)
    shutil.rmtree(tmp_path / "good", ignore_errors=True)
    for column in COLUMNS:
        place = good.table.column_names.index(column)
        for number, name in enumerate(names):
            folder = tmp_path / f"{column}{number}"
            folder.mkdir()
            values = pa.array([name] * len(good.table), pa.string())
            info = {key: value for key, value in good.info.items() if key != "roots"}
            table = good.table.set_column(place, good.table.field(place), values)
            roots = {**good.roots, name: dataset / "raw"}
            write_manifest(table, folder / "m.parquet", roots=roots, info=info)
            with watched() as opened, suppress(UsageError):  # or the row counts as one that cannot be read
                DOORS[door](folder / "m.parquet", folder / "out")
            assert not [path for path in opened if path.endswith("secret.jpg")], (column, name)
            assert {path.name for path in folder.iterdir()} <= {"m.parquet", "m.parquet.faces", "out"}
    assert contents(dataset) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{column}{number}" for column in COLUMNS for number in range(len(names))
    )
    count(f"hostile paths in manifests: {door}", len(COLUMNS) * len(names))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}
