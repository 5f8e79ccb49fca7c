"""A selection that a user made with pandas or polars goes through every command that takes a manifest."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import manifests
from cli import deca_data
from commands.exit_codes import run_app
from manifests.reading import open_manifest
from tests.deca_model.data.test_face_columns import by_polars
from tests.deca_model.synthetic import make_manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    train = make_manifest(folder, (4, 4, 3))
    frame = manifests.read(train)
    frame[frame["identity"] != "train00"].to_parquet(folder / "pandas.parquet")
    by_polars(open_manifest(train).table.slice(4), folder / "polars.parquet")
    return folder


@pytest.mark.parametrize("name", ["pandas", "polars"])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pack --out packed-{name}", "packed-{name}: 7 photos"),
        ("report --out {name}.html", "{name}.html: 0."),
        ("export --format csv --out csv-{name}", "7"),
        ("export --format webdataset --out web-{name}", "7"),
        ("export --format deca --out deca-{name}", "2"),
        ("export --format emoca --out emoca-{name}", "data.training_datasets=[vggface2]"),
        ("export --format smirk --out smirk-{name}", "has the command that starts SMIRK's training"),
    ],
)
def test_a_selection_is_packed_reported_and_exported(
    folder: Path, name: str, line: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(folder)
    words = [*line.format(name=name).split(), "--manifest", f"{name}.parquet", "--quiet"]
    monkeypatch.setattr(sys, "argv", ["deca-data", *words])
    with pytest.raises(SystemExit) as exit_:
        run_app(deca_data)
    captured = capsys.readouterr()
    assert exit_.value.code in (0, None), captured.err
    assert said.format(name=name) in " ".join(captured.out.split())


def test_landmarks_that_are_not_finite_are_refused_by_every_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(folder)
    frame = manifests.read(folder / "train.parquet")
    frame["landmarks"] = [np.full(136, np.nan, np.float32), *frame["landmarks"][1:]]
    frame.to_parquet(folder / "spoilt.parquet")
    forms = ("webdataset", "deca", "emoca", "smirk")
    for line in ("pack --out x", *(f"export --format {form} --out {form}" for form in forms)):
        monkeypatch.setattr(sys, "argv", ["deca-data", *line.split(), "--manifest", "spoilt.parquet"])
        with pytest.raises(SystemExit) as exit_:
            run_app(deca_data)
        assert exit_.value.code == 2, line
        assert "spoilt.parquet: the landmarks of astronauts/train00/00.jpg are not 68 finite" in (
            capsys.readouterr().err
        )
