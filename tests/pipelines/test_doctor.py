"""`deca-data doctor` and `sources`, and the errors of the share commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deca_data.backends import BACKENDS
from deca_data.sample import Sample
from deca_data.sources import SOURCES
from pipelines.demo.portraits import portraits
from pipelines.doctor import ENABLES, backends, examine, judge, packages
from pipelines.workspace.workspace import StageSpec
from tests.pipelines.share.share_samples import small_dataset


def call(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.argv = ['deca-data', *{list(words)!r}]; import cli; cli.deca_data_main()"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_the_self_test_finds_both_faces_and_none_in_the_blank_image():
    found = examine({})
    assert found.problem is None
    assert [(trial.photo, trial.expected, trial.passed) for trial in found.trials] == [
        ("astronaut", True, True),
        ("hopper", True, True),
        ("blank", False, True),
    ]
    assert all(0 < trial.milliseconds < 60_000 for trial in found.trials)
    json.dumps(found.as_dict())


def test_the_self_test_fails_where_landmarks_are_not_on_the_photo():
    image = portraits()["astronaut"]
    row = {"landmarks": np.full((68, 2), 5000.0), "faces": 1, "skin_fraction": 0.9}
    assert not judge("astronaut", Sample(image, dict(row)), True, 1.0).passed
    row["landmarks"] = np.full((68, 2), 100.0)
    assert judge("astronaut", Sample(image, dict(row)), True, 1.0).passed
    assert not judge("astronaut", Sample(image, {**row, "skin_fraction": 0.1}), True, 1.0).passed
    assert not judge("blank", Sample(image, dict(row)), False, 1.0).passed


def test_a_missing_weight_file_is_named_with_the_place_where_it_was_looked_for(tmp_path: Path):
    spec = StageSpec(name="masks", backend="bisenet", weights=tmp_path / "nowhere")
    found = {(each.kind, each.name): each for each in backends({"masks": spec})}
    assert set(found) == {(kind, name) for kind, entries in BACKENDS.items() for name in entries}
    assert set(found) == set(ENABLES)
    bisenet = found["parser", "bisenet"]
    assert not bisenet.works
    assert "parsing_bisenet.pth" in bisenet.details
    assert str(tmp_path / "nowhere") in bisenet.details
    assert found["landmarker", "mediapipe"].works
    diagnosis = examine({"masks": spec})
    assert diagnosis.problem is not None
    assert "parsing_bisenet.pth" in diagnosis.problem


def test_a_missing_package_is_shown_with_what_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipelines.doctor.PACKAGES", (("no-such-package", "nothing", "data"),))
    assert packages()[0].version is None
    assert packages()[0].fix == "pip install 'deca-data[data]'"


def test_sources_are_listed(tmp_path: Path):
    found = call("sources", "--json", cwd=tmp_path)
    assert [each["name"] for each in json.loads(found.stdout)] == list(SOURCES)


def test_the_commands_work_from_the_shell_and_say_what_is_wrong(tmp_path: Path):
    manifest = small_dataset(tmp_path)
    made = call("report", "--json", "--photos", "1", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["statuses"] == {"ok": 5, "dropped": 4, "failed": 1}
    assert (tmp_path / "report.html").is_file()
    wrong = call("export", "--format", "zip", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "error: --format zip: there is none of this name; choose deca, emoca, smirk, csv, webdataset.\n",
    )
    lost = call("pack", "-q", "--root", f"raw={tmp_path / 'gone'}", "--manifest", str(manifest), cwd=tmp_path)
    assert lost.returncode == 1
    assert "it was kept but cannot be read any more" in lost.stderr
    unknown = call("pack", "-q", "--root", "other=.", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "has only the roots raw, workspace" in unknown.stderr
