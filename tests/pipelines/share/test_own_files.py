"""A result never replaces a file that the tool did not write."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.errors import UsageError
from pipelines.share.export.csv_table import export_csv
from pipelines.share.export.rows import Call
from pipelines.share.export.webdataset import export_webdataset
from pipelines.share.own_files import claim
from pipelines.share.pack import pack
from pipelines.share.pack_rows import CropSettings
from tests.pipelines.share.share_samples import small_dataset

FORMATS = {"csv": export_csv, "webdataset": export_webdataset}


@pytest.mark.parametrize(("form", "name"), [("csv", "train.csv"), ("webdataset", "train-000000.tar")])
def test_an_export_replaces_its_own_files_only(form: str, name: str, tmp_path: Path):
    manifest, out = small_dataset(tmp_path), tmp_path / "out"
    FORMATS[form](Call((manifest,), out, quiet=True))
    first = (out / name).read_bytes()
    FORMATS[form](Call((manifest,), out, quiet=True))
    assert (out / name).read_bytes() == first
    other = tmp_path / "other"
    other.mkdir()
    (other / name).write_text("mine")
    with pytest.raises(
        UsageError, match=rf"other: it holds a file '{name}' that no earlier call wrote; move"
    ):
        FORMATS[form](Call((manifest,), other, quiet=True))
    assert [each.name for each in other.iterdir()] == [name]
    assert (other / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["train.json", "train-00000.arrow"])
def test_a_pack_replaces_files_of_packs_only(name: str, tmp_path: Path):
    manifest, out = small_dataset(tmp_path), tmp_path / "out"
    pack([manifest], out, CropSettings(), quiet=True)
    pack([manifest], out, CropSettings(), quiet=True)
    (out / "train.json").unlink()
    (out / name).write_text('{"mine": 1}')
    with pytest.raises(UsageError, match=rf"out: {name} is no file of a pack; move it"):
        pack([manifest], out, CropSettings(), quiet=True)
    assert (out / name).read_text() == '{"mine": 1}'


@pytest.mark.parametrize("list_", [b"", b"{}", b"[1, 2]", b"\xff", b"null"])
def test_a_damaged_list_claims_nothing(list_: bytes, tmp_path: Path):
    claim(tmp_path, ["a.csv"])
    (tmp_path / "a.csv").write_text("a")
    claim(tmp_path, ["a.csv"])
    (tmp_path / ".written-here.json").write_bytes(list_)
    with pytest.raises(UsageError, match="no earlier call wrote"):
        claim(tmp_path, ["a.csv"])
