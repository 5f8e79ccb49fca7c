"""A stage of somebody's own: one file, and the commands, workers, manifest and report know of it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pytest

from manifests.images.decode import decode_file
from manifests.reading import open_manifest
from manifests.schema import NAMES
from pipelines.workspace.parts import read_part
from tests.e2e.conftest import environment

STAGE = '''
"""How colourful a photo is."""

import os

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from manifests.schema import Column


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    least: float = 1.0


class Colourfulness:
    """Hasler and Suesstrunk, Measuring colourfulness in natural images, 2003; drops grey photos."""

    name = "colourfulness"
    version = 1
    reads = ("box",)
    writes = ("colourfulness",)
    batch = 4
    Settings = Settings
    in_run = True
    command = ("colourfulness", "Measure how colourful each photo is.", "deca-data colourfulness ./mine")
    manifest_columns = (Column("colourfulness", pa.float32(), "grey levels", "spread of the colours"),)
    workspace_columns = (Column("process", pa.int64(), "", "who measured it"),)

    def __init__(self, settings):
        self.settings = settings

    def fingerprint(self):
        return {"settings": self.settings.model_dump()}

    def run(self, samples, workspace):
        for sample in samples:
            red, green, blue = np.moveaxis(sample.image.astype(np.float64), 2, 0)
            axes = np.stack([red - green, (red + green) / 2 - blue]).reshape(2, -1)
            score = np.hypot(*axes.std(axis=1)) + 0.3 * np.hypot(*axes.mean(axis=1))
            sample.row.update(colourfulness=float(score), process=os.getpid())
            if score < self.settings.least:
                sample.drop(self.name, "no colour")
'''


@pytest.fixture
def folder(tmp_path: Path, photos: Path) -> Path:
    """A folder with the stage's file, and two raw folders of eleven photos in all, one of them grey."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/colourfulness.py").write_text(STAGE)
    for name, person, given in (("mine", "anna", "n000001"), ("yours", "ben", "n000002")):
        (tmp_path / name / person).mkdir(parents=True)
        for number in range(1, 6):
            data = (photos / "train" / given / f"{number:04d}_01.jpg").read_bytes()
            (tmp_path / name / person / f"{number}.jpg").write_bytes(data)
    grey = cv2.imread(str(tmp_path / "mine/anna/1.jpg"), cv2.IMREAD_GRAYSCALE)
    assert grey is not None
    cv2.imwrite(str(tmp_path / "mine/anna/grey.png"), grey)
    return tmp_path


class Done(NamedTuple):
    code: int
    out: str
    err: str
    process: int


def call(folder: Path, line: str) -> Done:
    names = {**environment(), "DECA_STAGES": str(folder / "stages")}
    with subprocess.Popen(
        line.split(), cwd=folder, env=names, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        out, err = process.communicate(timeout=300)
    return Done(process.returncode, out, err, process.pid)


def printed(folder: Path, line: str) -> str:
    done = call(folder, line)
    assert done.code == 0, done.err
    return done.out


def colourfulness(path: Path) -> float:
    """The formula once more, by OpenCV's own sums."""
    red, green, blue = cv2.split(decode_file(path).image.astype(np.float64))
    means, spreads = zip(*map(cv2.meanStdDev, (red - green, 0.5 * (red + green) - blue)), strict=True)
    return float(np.linalg.norm(spreads) + 0.3 * np.linalg.norm(means))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stage_is_one_file(folder: Path, workers: int):
    done = call(folder, f"deca-data run ./mine ./yours --workers {workers} --json")
    assert done.code == 0, done.err
    run = json.loads(done.out)
    assert run["statuses"] == {"ok": 10, "dropped": 1}
    assert run["reasons"] == {"colourfulness: no colour": 1}
    paths = (folder / "deca-workspace/parts").glob("*/colourfulness/*/*.parquet")
    parts = [read_part(path) for path in paths]
    assert len(parts) == 2
    processes = set(pa.concat_tables(parts)["process"].to_pylist())
    assert done.process not in processes  # a photo that kills the process must not end the run
    assert len(processes) <= workers

    status = json.loads(printed(folder, "deca-data status --json"))
    mine = {each["stage"]: each["done"] for each in status if each["dataset"] == "mine"}
    names = ("scan", "detect", "colourfulness", "landmarks", "consistency", "quality", "masks")
    assert list(mine.items()) == [(name, 6) for name in names]

    built = json.loads(printed(folder, "deca-data build-manifest --recipe keep-all --json"))
    assert ["dropped", "colourfulness", "no colour", 1] in built["reasons"]
    for side in ("train", "val"):
        table = open_manifest(folder / f"{side}.parquet").table
        assert table.column_names == [*NAMES, "colourfulness"]
        assert (table.schema.types[-1], table.schema.field("colourfulness").metadata) == (
            pa.float32(),
            {b"unit": b"grey levels", b"meaning": b"spread of the colours"},
        )
        for row in table.to_pylist():
            assert row["colourfulness"] == pytest.approx(
                colourfulness(folder / row["dataset"] / row["image"])
            )

    printed(folder, "deca-data report")
    page = (folder / "report.html").read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    data = json.loads(found[1])
    assert data["stages"][2:4] == ["detect", "colourfulness"]
    score = next(each for each in data["scores"] if each["name"] == "colourfulness")
    assert (score["unit"], score["meaning"]) == ("grey levels", "spread of the colours")
    assert sum(sum(bins) for bins in score["counts"].values()) == 11
    assert all("colourfulness" in card["scores"] for card in data["cards"])

    printed(folder, "deca-data export --format csv --out csv")
    head = (folder / "csv/train.csv").read_text().splitlines()[0]
    assert head.endswith(',"colourfulness"')


def test_the_commands_know_it(folder: Path):
    listed = printed(folder, "deca-data --help").splitlines()
    assert "  colourfulness   Measure how colourful each photo is." in listed
    assert "Example: deca-data colourfulness ./mine" in printed(folder, "deca-data colourfulness --help")
    last = json.loads(printed(folder, "deca-data schema --json"))[-1]
    meaning = {"unit": "grey levels", "meaning": "spread of the colours"}
    assert last == {"name": "colourfulness", "type": "float", **meaning}

    line = "deca-data colourfulness ./mine --workers 1 --set colourfulness.least=500 --json"
    assert json.loads(printed(folder, line))["reasons"] == {"colourfulness: no colour": 6}
    wrong = call(folder, "deca-data colourfulness --set colourfulness.most=3")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "its settings are least" in wrong.err


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("    in_run = True\n", "", "its class does not state in_run; add it"),
        ("    version = 1\n", "", "its class has no version; add it"),
        ('reads = ("box",)', 'reads = ("box")', "line 24: reads must be a literal tuple"),
        ('reads = ("box",)', "reads = ()", "it must read 'box' or a column made from it"),
        ('writes = ("colourfulness",)', 'writes = ("sharpness",)', "quality writes 'sharpness' already"),
        ('writes = ("colourfulness",)', 'writes = ("hue",)', "its column 'hue' must be described once"),
        ('name = "colourfulness"', 'name = "colour"', "no class that states `name = 'colourfulness'`"),
        ("import os", "import no_such_package", "cannot be imported (ModuleNotFoundError: No module named"),
        ("import os", "import os +", "line 4: invalid syntax; correct the file"),
        ("    batch = 4", '    backend_kind = "detector"\n    batch = 4', "state both, or neither"),
    ],
)
def test_what_is_wrong_with_a_stage_is_one_sentence(folder: Path, old: str, new: str, sentence: str):
    path = folder / "stages/colourfulness.py"
    assert STAGE.count(old) == 1
    path.write_text(STAGE.replace(old, new))
    done = call(folder, "deca-data colourfulness ./mine")
    assert done.code == 2, done.err
    assert done.err.startswith(f"error: {path}")
    assert sentence in done.err
    assert done.err.count("\n") == 1


def test_a_stage_whose_file_is_gone_is_one_sentence(folder: Path):
    printed(folder, "deca-data colourfulness ./mine --workers 1")
    (folder / "stages/colourfulness.py").unlink()
    status = json.loads(printed(folder, "deca-data status --json"))
    assert [each["stage"] for each in status] == ["scan", "detect"]
    done = call(folder, "deca-data build-manifest")
    assert done.code == 2
    assert "there is no stage 'colourfulness'" in done.err
    (folder / "stages").rmdir()
    done = call(folder, "deca-data --help")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "DECA_STAGES: there is no folder" in done.err
